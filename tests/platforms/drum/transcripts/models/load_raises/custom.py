from __future__ import annotations


def load_model(code_dir):
    raise RuntimeError("deliberate load failure")


def score_unstructured(model, data, **kwargs):
    return "never"
