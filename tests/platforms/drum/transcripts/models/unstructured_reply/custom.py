# Returns a different kind of value depending on the first word of the request text.
from __future__ import annotations


def load_model(code_dir):
    return object()


def score_unstructured(model, data, **kwargs):
    word = data.split()[0]
    if word == "str":
        return "grüße"
    if word == "bytes":
        return b"\x00\x01\xff"
    if word == "mime":
        return '{"a": 1}', {"mimetype": "application/json"}
    if word == "latin1":
        return "é", {"mimetype": "text/plain", "charset": "latin-1"}
    raise ValueError("unknown word " + word)
