"""How often each word is in a text."""

from __future__ import annotations

import collections
import re

from marshmallow import fields as answer
from webargs import fields, validate

schema = {
    "words": answer.Integer(required=True),
    "most": answer.List(answer.Nested({"word": answer.Str(required=True), "times": answer.Int(required=True)})),
}


def get_metadata():
    return {"name": "words", "description": "Counts words.", "license": "Apache-2.0", "version": "1.0.0"}


def get_predict_args():
    return {
        "text": fields.Str(load_default="", metadata={"description": "the text"}),
        "data": fields.Raw(
            load_default=None, metadata={"type": "file", "location": "form", "description": "or a file with it"}
        ),
        "most": fields.Int(
            load_default=5, validate=validate.Range(min=1, max=100), metadata={"description": "how many words"}
        ),
        "accept": fields.Str(validate=validate.OneOf(["application/json", "text/csv"])),
    }


def predict(text, data, most, accept):
    if data is not None:
        with open(data.filename, encoding="utf-8") as file:
            text = file.read()
    words = re.findall(r"\w+", text.lower())
    common = collections.Counter(words).most_common(most)
    if accept == "text/csv":
        return "word,times\n" + "".join(f"{word},{times}\n" for word, times in common)
    return {"words": len(words), "most": [{"word": word, "times": times} for word, times in common]}
