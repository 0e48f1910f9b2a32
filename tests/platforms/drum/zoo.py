"""Code folders of every target type, with hooks alone, for the tests of the protocol."""

from __future__ import annotations

from pathlib import Path

from tests.platforms.drum.folders import write_folder

_HEAD = """
import pandas as pd


def load_model(code_dir):
    return "a model"

"""

_DOUBLE = """
def score(data, model, **kwargs):
    if (data["x"] == 13).any():
        raise ValueError("13 is unlucky")
    return pd.DataFrame({"Predictions": data["x"] * 2})
"""

_YESNO = """
def score(data, model, positive_class_label, negative_class_label, **kwargs):
    return pd.DataFrame({positive_class_label: data["x"], negative_class_label: 1 - data["x"]})
"""

_LEVELS = """
def score(data, model, class_labels, **kwargs):
    rest = data["x"].where(data["x"] < 1, 1.5) / 2  # from 1 on, no longer probabilities
    return pd.DataFrame(dict(zip(class_labels, [1 - data["x"], rest, rest])))
"""

_CLEAN = """
def transform(data, model):
    return pd.DataFrame({"x": data["x"].fillna(0), "said": data["y"].str.upper(), "odd, name": data["y"].isna()})
"""

_TALK = """
def score(data, model, **kwargs):
    return pd.DataFrame({"reply": ["you said " + said for said in data["y"]]})
"""

_ECHO = '''
import json
import os


def load_model(code_dir):
    return "echo"


def score_unstructured(model, data, mimetype, charset, query):
    """What it was given, unless the query says what else to do."""
    if "raise" in query:
        raise ValueError(query["raise"])
    if "exit" in query:
        os._exit(3)
    told = {name: query[name] for name in ("mimetype", "charset") if name in query}
    if query.get("as") == "bytes":
        return data if isinstance(data, bytes) else data.encode(), told
    if query.get("as") == "str":
        return data, told
    kind = type(data).__name__
    data = data if kind == "str" else data.hex()
    return json.dumps({"kind": kind, "data": data, "mimetype": mimetype, "charset": charset, "query": query})
'''

_LEVEL_LABELS = ["low", "mid, or so", 'so-called "high"']

MODELS = {
    "double": (_HEAD + _DOUBLE, "targetType: regression"),
    "strange": (_HEAD + _DOUBLE, "targetType: anomaly"),
    "yesno": (
        _HEAD + _YESNO,
        "targetType: binary\ninferenceModel: {positiveClassLabel: 'yes', negativeClassLabel: 'no', targetName: ok}",
    ),
    "levels": (_HEAD + _LEVELS, f"targetType: multiclass\ninferenceModel: {{classLabels: {_LEVEL_LABELS}}}"),
    "clean": (_HEAD + _CLEAN, "targetType: transform"),
    "talk": (_HEAD + _TALK, "targetType: textgeneration\ninferenceModel: {targetName: reply}"),
    "echo": (_ECHO, "targetType: unstructured"),
}


def write(place: Path, name: str) -> Path:
    """The code folder of one model, below ``place``."""
    custom, metadata = MODELS[name]
    return write_folder(place / name, custom, metadata)


def write_all(place: Path) -> list[Path]:
    return [write(place, name) for name in MODELS]
