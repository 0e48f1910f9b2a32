"""The class that most models name; the first one of them where there are several."""

from __future__ import annotations

from collections import Counter

from seldon_core.user_model import SeldonComponent


class Vote(SeldonComponent):
    def aggregate(self, features_list, feature_names_list):
        votes = zip(*(answer.tolist() for answer in features_list), strict=True)
        return [Counter(row).most_common(1)[0][0] for row in votes]

    def tags(self):
        return {"combined": "by vote"}
