"""Nothing that a client sends is ever unpickled or evaluated."""

from __future__ import annotations

import ast
import base64
import json
import pickle
from pathlib import Path

import pytest

from tests.harness import Running

PACKAGE = Path(__file__).parents[2] / "src" / "modelport"
CONTENT_TYPES = [
    "application/octet-stream", "application/python-pickle", "application/x-pickle", "application/vnd.pickle",
    "application/x-python-serialize", "application/vnd.bentoml+pickle", "application/json", "application/cloudpickle",
    "application/x-numpy", "application/x-npy", "application/x-joblib", "multipart/form-data; boundary=x",
    "application/x-yaml", "application/x-msgpack", "text/plain", "",
]  # fmt: skip
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "cloudpickle", "dill", "joblib", "jsonpickle", "_pickle"}
ALLOWED = {
    "contracts/drum/predictors/pickle_model.py": ["pickle"],
    "contracts/seldon/servers.py": ["joblib"],
}
"""A model file may be a pickle; it is read in a worker, from the model's own folder."""
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_never_opened(plain: Running, tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    poison = pickle.dumps(Canary(canary), protocol)
    pickle.loads(poison)
    assert canary.exists(), "the canary does not work"
    canary.unlink()
    for kind in CONTENT_TYPES:
        headers = {"Content-Type": kind, "Accept": kind or "*/*"}
        for path in ("/public/api/v1/svc/ep/predict", "/public/api/v1/svc/fn/run", "/v2/models/ep/infer"):
            answer = plain.post(path, poison, headers=headers)
            assert answer.status == 400, answer
        split = {**headers, "Inference-Header-Content-Length": "0"}
        assert plain.post("/v2/models/ep/infer", poison, headers=split).status == 400
    assert not canary.exists()


def test_pickles_inside_of_requests_are_text(plain: Running, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    poison = base64.b64encode(pickle.dumps(Canary(canary))).decode()
    yaml = f"!!python/object/apply:pathlib.Path.touch ['{canary}']"
    for text in (poison, yaml, f"__import__('pathlib').Path('{canary}').touch()", f"{{{{ open('{canary}', 'w') }}}}"):
        assert plain.post("/public/api/v1/svc/fn/run", {"a": text}).json()["response"] == {"a": text}
        plain.post("/public/api/v1/svc/ep/predict", {"features": {text: text, "a": 1}})
        for content_type in ("pickle", "base64", "np", "pd", "application/x-pickle"):
            head = json.dumps({"inputs": [{"name": "a", "datatype": "BYTES", "shape": [1], "data": [text],
                                           "parameters": {"content_type": content_type}}],
                               "parameters": {"content_type": content_type}})  # fmt: skip
            plain.post("/v2/models/fn/infer", head.encode())
    binary = pickle.dumps(Canary(canary))
    element = len(binary).to_bytes(4, "little") + binary
    head = json.dumps({"inputs": [{"name": "a", "datatype": "BYTES", "shape": [1],
                                   "parameters": {"binary_data_size": len(element)}}]})  # fmt: skip
    headers = {"Inference-Header-Content-Length": str(len(head))}
    plain.post("/v2/models/fn/infer", head.encode() + element, headers=headers)
    assert not canary.exists()


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_the_source_has_no_way_to_run_data(file: Path) -> None:
    """User code is loaded from files by the import system, and by nothing else."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS:
                found.append(called.id)
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                dotted = f"{called.value.id}.{called.attr}"
                found += [dotted] if dotted in ("yaml.load", "yaml.unsafe_load", "os.system", "os.popen") else []
            if any(key.arg == "shell" and not _is_false(key.value) for key in node.keywords):
                found.append("shell=")
    assert found == ALLOWED.get(str(file.relative_to(PACKAGE)), [])


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
