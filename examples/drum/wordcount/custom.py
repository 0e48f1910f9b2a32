"""Unstructured: text in, JSON out. `?least=2` leaves out words that come up less often."""

from __future__ import annotations

import json
import re
from collections import Counter


def load_model(code_dir):
    return re.compile(r"\w+")


def score_unstructured(model, data, query=None, **kwargs):
    counts = Counter(model.findall(data.lower()))
    least = int((query or {}).get("least", 1))
    return json.dumps({word: n for word, n in sorted(counts.items()) if n >= least}), {"mimetype": "application/json"}
