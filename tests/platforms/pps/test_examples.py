"""The folders under ``examples/pps``, packed and served as their README says; packages from training data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelport.packages import archive
from tests.cli.conftest import modelport
from tests.harness import serving
from tests.platforms.pps.test_predictions import CSV, WANTS_CSV

EXAMPLES = Path(__file__).parents[3] / "examples" / "pps"


def pack(folder: Path, output: Path, *options: Any) -> archive.Contents:
    done = modelport("pack", folder, "-o", output, *options)
    assert done.returncode == 0, done.stderr
    return archive.read(output)


def test_they_answer(tmp_path: Path, cache: dict[str, str]) -> None:
    for name in ("fraud", "nile"):
        (tmp_path / name).mkdir()
        pack(EXAMPLES / name, tmp_path / name / f"{name}.mlpkg")
    with serving(tmp_path, "--port", "0", verb=("pps",), env=cache) as server:
        body = (EXAMPLES / "fraud" / "input.csv").read_bytes()
        rows = server.post("/deployments/fraud/predictions?maxExplanations=2", body, headers=CSV).json()["data"]
        assert [row["prediction"] for row in rows] == ["no", "yes"]
        assert rows[1]["predictionExplanations"][0] == {
            "feature": "amount",
            "featureValue": 300,
            "strength": pytest.approx(0.55),
            "label": "yes",
            "qualitativeStrength": "+++",
        }
        body = (EXAMPLES / "nile" / "input.csv").read_bytes()
        lines = server.post("/deployments/nile/predictions", body, headers=WANTS_CSV).body.decode().splitlines()
        assert lines[0] == "volume_PREDICTION,year,FORECAST_POINT,FORECAST_DISTANCE"
        assert [line.partition(",")[2] for line in lines[1:]] == [
            f"{1970 + ahead}-01-01,1970-01-01T00:00:00.000000Z,{ahead}" for ahead in (1, 2, 3)
        ]
        assert 700 < float(lines[1].partition(",")[0]) < 900


def test_a_folder_with_a_card_answers_unpacked(cache: dict[str, str]) -> None:
    with serving(EXAMPLES / "fraud", env=cache) as server:
        body = (EXAMPLES / "fraud" / "input.csv").read_bytes()
        (_, row) = server.post("/pps/predictions?maxExplanations=1", body, headers=CSV).json()["data"]
        assert (row["prediction"], row["predictionExplanations"][0]["feature"]) == ("yes", "amount")
        assert server.post("/predict/", body, headers=CSV).json()["predictions"][1]["yes"] == pytest.approx(0.85)


def test_inspect_says_what_is_in_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPORT_CACHE_DIR", str(tmp_path / "cache"))
    pack(EXAMPLES / "fraud", tmp_path / "f.mlpkg")
    done = modelport("inspect", tmp_path / "f.mlpkg")
    for word in ("isfraud (binary)", "yes, no", "above 0.5", "amount (numeric)", "xemp", "custom.py", "input.csv"):
        assert word in done.stdout
    told = json.loads(modelport("inspect", tmp_path / "f.mlpkg", "--json").stdout)
    assert told["target"]["positiveClass"] == "yes"
    raw = bytearray((tmp_path / "f.mlpkg").read_bytes())
    raw[-200] ^= 1
    (tmp_path / "f.mlpkg").write_bytes(raw)
    done = modelport("inspect", tmp_path / "f.mlpkg")
    assert (done.returncode, done.stderr.startswith("error: ")) == (2, True)


def test_pack_tells_what_is_wrong(tmp_path: Path) -> None:
    done = modelport("pack", tmp_path / "none", "-o", tmp_path / "m.mlpkg")
    assert (done.returncode, "is no folder" in done.stderr) == (2, True)
    done = modelport("pack", EXAMPLES / "fraud", "-o", tmp_path / "m.zip")
    assert (done.returncode, ".mlpkg" in done.stderr) == (2, True)
    (tmp_path / "card.yaml").write_text("target: {type: odd}")
    done = modelport("pack", EXAMPLES / "fraud", "-o", tmp_path / "m.mlpkg", "--card", tmp_path / "card.yaml")
    assert (done.returncode, "target.type" in done.stderr) == (2, True)
    assert not (tmp_path / "m.mlpkg").exists()


TRAINING = "x,size,kind,note,seen,ok,y\n" + "".join(
    f"{n},{n / 4},{'ab'[n % 3 == 0]},note {n},2026-01-{n % 28 + 1:02},{n % 2 == 0},{n}\n" for n in range(100)
)


def test_training_data_tells_features_and_baseline(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "custom.py").write_text("def score(data, model, **kwargs):\n    return data\n")
    (folder / "modelport.yaml").write_text("package: {target: {name: y, type: regression}}\n")
    (tmp_path / "train.csv").write_text(TRAINING)
    found = pack(folder, tmp_path / "m.mlpkg", "--data", tmp_path / "train.csv")
    assert {feature.name: feature.type for feature in found.features} == {
        "x": "numeric",
        "size": "numeric",
        "kind": "categorical",
        "note": "text",
        "seen": "date",
        "ok": "boolean",
    }
    assert found.explanations is not None
    assert found.explanations.algorithm == "xemp"
    assert found.explanations.baseline == {
        "x": [5, 15, 25, 35, 45, 55, 65, 75, 85, 95],
        "size": [1.25, 3.75, 6.25, 8.75, 11.25, 13.75, 16.25, 18.75, 21.25, 23.75],
        "kind": ["a", "b"],
        "ok": [True, False],
    }
    (folder / "modelport.yaml").write_text("package: {features: [{name: x}], explanations: {algorithm: shap}}\n")
    found = pack(folder, tmp_path / "m.mlpkg", "--data", tmp_path / "train.csv")
    assert found.explanations is not None
    assert found.explanations.baseline == {"x": [50]}
    (folder / "modelport.yaml").write_text("package: {features: [{name: gone}]}\n")
    done = modelport("pack", folder, "-o", tmp_path / "m.mlpkg", "--data", tmp_path / "train.csv")
    assert (done.returncode, "gone" in done.stderr) == (2, True)
