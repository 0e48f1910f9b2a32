"""A model that runs in an environment of its own, with other versions than the server's and without orjson."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from tests import environments
from tests.harness import Running, function, regression, serving, write_service
from tests.platforms.dataiku import test_returns as returns
from tests.platforms.dataiku.conftest import SOURCES, ask, classification, results

pytestmark = pytest.mark.timeout(400)  # the environment is installed once

VERSIONS = "(pd.Series([0.0] * n), [{'numpy': np.__version__, 'pandas': pd.__version__}] * n)"
ABOUT = """
import sys

def about():
    def has(name):
        import importlib.util
        return importlib.util.find_spec(name) is not None
    return {"prefix": sys.prefix, "numpy": __import__("numpy").__version__,
            "found": [name for name in ("orjson", "uvicorn", "pydantic", "psutil", "cyclopts") if has(name)],
            "modelport": [entry for entry in sys.path if "src/modelport" in entry and "shim" not in entry]}
"""


@pytest.fixture(scope="session")
def environment() -> Path:
    """A virtual environment with numpy 1 and pandas 2."""
    return environments.made("numpy1")


@pytest.fixture(scope="module")
def other(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Service "svc" as ``node`` has it, in the other environment; "own" is in the server's."""
    elsewhere = {"environment": str(environment)}
    folder = write_service(
        tmp_path_factory.mktemp("environment") / "svc",
        regression("ep", "regressor.py", **elsewhere),
        regression("own", "regressor.py"),
        classification("cl", **elsewhere),
        function("fn", **elsewhere),
        function("compute", function="compute", **elsewhere),
        function("about", "about.py", "about", environment=f"{environment}/bin/python"),
        code={**SOURCES, "about.py": ABOUT},
    )
    with serving(folder) as server:
        yield server


def test_the_model_sees_its_own_versions(other: Running) -> None:
    (theirs,) = results(other, "ep", VERSIONS, 1)
    (ours,) = results(other, "own", VERSIONS, 1)
    assert theirs["customKeys"] == {"numpy": "1.26.4", "pandas": "2.2.3"}
    assert ours["customKeys"] == {"numpy": numpy.__version__, "pandas": pandas.__version__}
    assert theirs["customKeys"] != ours["customKeys"]


def test_nothing_of_the_servers_environment_is_in_reach(other: Running, environment: Path) -> None:
    about = other.post("/public/api/v1/svc/about/run").json()["response"]
    assert about == {"prefix": str(environment), "numpy": "1.26.4", "found": [], "modelport": []}


@pytest.mark.parametrize("case", returns.REGRESSION)
def test_a_regression_returns_the_same_there(other: Running, case: str) -> None:
    code, expected = returns.REGRESSION[case]
    assert results(other, "ep", code, len(expected)) == expected


@pytest.mark.parametrize("case", returns.CLASSIFICATION)
def test_a_classification_returns_the_same_there(other: Running, case: str) -> None:
    code, expected = returns.CLASSIFICATION[case]
    assert results(other, "cl", code) == expected


@pytest.mark.parametrize("case", returns.ILLEGAL_FOR_REGRESSION)
def test_what_is_illegal_is_so_there(other: Running, case: str) -> None:
    returns.check_refused(other, "ep", *returns.ILLEGAL_FOR_REGRESSION[case])


@pytest.mark.parametrize("code", returns.VALUES)
def test_values_have_the_same_form_there(other: Running, code: str) -> None:
    answer = other.post("/public/api/v1/svc/compute/run", {"code": code})
    assert answer.status == 200, answer.body
    assert answer.json()["response"] == returns.VALUES[code]


def test_bodies_are_read_the_same_there(other: Running, node: Running) -> None:
    def both(body: bytes) -> tuple[int, Any]:
        answers = [server.post("/public/api/v1/svc/fn/run", body) for server in (other, node)]
        assert answers[0].status == answers[1].status, (body[:60], answers)
        return answers[0].status, [answer.json().get("response") for answer in answers]

    good = [
        b'{"a": NaN, "b": [Infinity]}',
        b'{"a": 18446744073709551615}',
        b'{"a": "\\u00e9", "\xc3\xa9": 1.5e300}',
        b'{"a": 1, "a": 2}',
        b"",
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": 0.1, "b": -0.0, "c": 1e-7, "d": 5e-324}',
    ]
    for body in good:
        status, (theirs, ours) = both(body)
        assert (status, theirs) == (200, ours)
    for body in (b"{", b"[]", b'{"a": 01}', b'{"a": "\n"}', b"\xff", b'{"a": "\\ud800"}', b"[" * 100_000, b"null"):
        assert both(body)[0] == 400


def test_predict_takes_records_with_gaps_there(other: Running) -> None:
    items = [{"features": {"code": "df['x'].fillna(-1)", "x": 1}}, {"features": {}}, {"features": {"x": None}}]
    answer = other.post("/public/api/v1/svc/ep/predict-multi", {"items": items})
    assert [result["prediction"] for result in answer.json()["results"]] == [1, -1, -1]
    assert ask(other, "ep", "1 / 0").json()["errorType"] == "ZeroDivisionError"


def test_other_protocols_work_there(other: Running) -> None:
    body = {"inputs": [{"name": "a", "datatype": "FP64", "shape": [2, 1], "data": [1.0, 2.0]}]}
    answer = other.post("/v2/models/ep/infer", body)
    assert answer.status == 200, answer.body
    assert answer.json()["outputs"][0]["data"] == [1.5, 1.5]


def test_a_manifest_names_the_environment_too(environment: Path, tmp_path: Path) -> None:
    folder = write_service(tmp_path / "svc", function("about", "about.py", "about"), code={"about.py": ABOUT})
    (folder / "env").symlink_to(environment)
    (folder / "modelport.yaml").write_text("environment: env\n")
    with serving(folder) as server:
        assert server.post("/public/api/v1/svc/about/run").json()["response"]["numpy"] == "1.26.4"


def test_an_environment_that_is_not_there(tmp_path: Path) -> None:
    for name in ("absent", "empty", "file"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        (tmp_path / "file").write_text("no program")
        folder = write_service(
            tmp_path / f"svc-{name}",
            function(environment=str(tmp_path / name)),
            function("good"),
            code={"functions.py": "def run():\n    return 1\n"},
        )
        with serving(folder) as server:
            said = "\n".join(server.said)
            assert "cannot start" in said
            assert str(tmp_path / name) in said
            assert "is that the interpreter of the model's environment?" in said
            answer = server.post("/public/api/v1/svc/fn/run")
            assert (answer.status, answer.json()["errorType"]) == (503, "ModelUnavailable")
            assert server.post("/public/api/v1/svc/good/run").json()["response"] == 1
            assert server.get("/healthz/ready").status == 503
