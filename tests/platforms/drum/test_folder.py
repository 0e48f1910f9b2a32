"""What is read of a code folder before anything of it runs: target, labels, parameters, and every fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelport.contracts.drum import manifest
from modelport.contracts.drum.manifest import ENVIRONMENT
from modelport.errors import ConfigError
from tests.platforms.drum.folders import read, write_folder

SCORE = "def score(data, model, **kwargs):\n    return data\n"
BINARY = """
    name: churn
    targetType: binary
    inferenceModel:
      targetName: churned
      positiveClassLabel: yes
      negativeClassLabel: no
      predictionThreshold: 0.3
    """


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*ENVIRONMENT.values(), "CUSTOM_MODEL_WORKERS"):
        monkeypatch.delenv(variable, raising=False)


def faults(folder: Path, target: str | None = None, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, target, **options)
    return caught.value.faults


def test_a_folder_with_a_custom_py_is_one_model(tmp_path: Path) -> None:
    spec = read(write_folder(tmp_path / "my model (2)", SCORE))
    assert (spec.name, spec.contract, spec.operation) == ("my-model-2", "drum", "predict")
    assert spec.options["target"] is None


def test_metadata_says_target_labels_and_threshold(tmp_path: Path) -> None:
    options = read(write_folder(tmp_path, SCORE, BINARY)).options
    assert (options["target"], options["target_name"], options["threshold"]) == ("binary", "churned", 0.3)
    assert options["labels"] == ["no", "yes"]  # as written: to YAML these would be truth values


@pytest.mark.parametrize("written", ['"1"', "1"])
def test_labels_are_text_however_they_are_written(tmp_path: Path, written: str) -> None:
    metadata = f"targetType: binary\ninferenceModel:\n  positiveClassLabel: {written}\n  negativeClassLabel: 0\n"
    assert read(write_folder(tmp_path, SCORE, metadata)).options["labels"] == ["0", "1"]


def test_options_go_before_the_environment_and_that_before_the_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path, SCORE, BINARY)
    monkeypatch.setenv("POSITIVE_CLASS_LABEL", "pos")
    monkeypatch.setenv("NEGATIVE_CLASS_LABEL", "neg")
    assert read(folder).options["labels"] == ["neg", "pos"]
    assert read(folder, positiveClassLabel="p", negativeClassLabel="n").options["labels"] == ["n", "p"]
    monkeypatch.setenv("TARGET_TYPE", "regression")
    assert read(folder).options["target"] == "regression"
    assert read(folder, "anomaly").options["target"] == "anomaly"


@pytest.mark.parametrize("text", ["a\nb\nc\n", "a\r\nb\r\n\r\nc", "\ufeffa\nb\nc"])
def test_labels_come_from_a_file(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "model", SCORE, labels__txt=text.encode())
    options = read(folder, classLabelsFile="labels.txt").options
    assert (options["labels"], options["target"]) == (["a", "b", "c"], "multiclass")
    monkeypatch.setenv("CLASS_LABELS_FILE", str(folder / "labels.txt"))
    assert read(folder).options["labels"] == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["a,b,c", '["a", "b", "c"]', "a\nb\nc"])
def test_labels_come_from_one_variable(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASS_LABELS", text)
    assert read(write_folder(tmp_path, SCORE)).options["labels"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("custom", "expected"),
    [
        (SCORE, None),
        ("def score_unstructured(model, data, **kwargs):\n    return data\n", "unstructured"),
        ("from helpers import score_unstructured\n", "unstructured"),
        ("def transform(data, model):\n    return data\n", "transform"),
        ("def transform(data, model):\n    return data\ndef score(data, model):\n    return data\n", None),
        ("def load_model(code_dir):\n    return 1\n", None),
    ],
)
def test_hooks_tell_what_they_can(tmp_path: Path, custom: str, expected: str | None) -> None:
    spec = read(write_folder(tmp_path, custom))
    assert spec.options["target"] == expected
    assert spec.operation == ("function" if expected == "unstructured" else "predict")


def test_target_types_are_read_however_they_are_spelled(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, SCORE)
    assert read(folder, "text_generation").options["target"] == "textgeneration"
    assert read(folder, "TextGeneration").options["target"] == "textgeneration"


def test_every_fault_is_listed(tmp_path: Path) -> None:
    metadata = """
        targetType: clustering
        inferenceModel:
          positiveClassLabel: a
          predictionThreshold: 3
        runtimeParameterDefinitions:
          - fieldName: 1x
            type: string
          - fieldName: ok
            type: colour
        """
    told = faults(
        write_folder(tmp_path, SCORE, metadata), artifact="gone.pkl", sparseColumnFile="nope", colour=1, classLabels=7
    )
    text = "\n".join(told)
    for part in ("colour", "classLabels", "predictionThreshold", "fieldName", "type"):
        assert part in text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"positiveClassLabel": "a"}, "positiveClassLabel and negativeClassLabel belong together"),
        ({"positiveClassLabel": "a", "negativeClassLabel": "a"}, "both class labels are 'a'"),
        ({"classLabels": ["a"]}, "a classification needs two class labels or more, not 1"),
        ({"classLabels": ["a", "b", "a"]}, "class label 'a' is there twice"),
        ({"classLabelsFile": "gone.txt"}, "classLabelsFile: there is no 'gone.txt'"),
        ({"artifact": "gone.pkl"}, "artifact: there is no 'gone.pkl'"),
        ({"sparseColumnFile": "gone"}, "sparseColumnFile: there is no 'gone'"),
        ({"runtimeParameters": {"x": 1}}, "runtime parameter 'x' is not defined in model-metadata.yaml"),
        ({"targetType": "binary", "classLabels": ["a", "b", "c"]}, "a binary target has two class labels, not 3"),
    ],
)
def test_faults_are_told_precisely(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    assert told in faults(write_folder(tmp_path, SCORE), **options)


@pytest.mark.parametrize(
    ("definition", "value", "told"),
    [
        ("type: numeric\n    minValue: 2", 1, "1 is below 2"),
        ("type: numeric\n    maxValue: 2", 3, "3 is above 2"),
        ("type: numeric", "x", "'x' is no number"),
        ("type: boolean", "perhaps", "'perhaps' is neither true nor false"),
        ("type: string\n    allowEmpty: false", None, "it needs a value"),
    ],
)
def test_runtime_parameters_are_checked(tmp_path: Path, definition: str, value: Any, told: str) -> None:
    metadata = f"runtimeParameterDefinitions:\n  - fieldName: p\n    {definition}\n"
    given = {} if value is None else {"p": value}
    assert faults(write_folder(tmp_path, SCORE, metadata), runtimeParameters=given) == [f"runtime parameter p: {told}"]


def test_keys_that_say_nothing_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    metadata = """
        name:
        targetType: regression
        inferenceModel:
          targetName: null
          classLabels: ~
          positiveClassLabel:
          predictionThreshold: null
        runtimeParameterDefinitions:
          # - fieldName: x
        """
    options = read(write_folder(tmp_path, SCORE, metadata)).options
    assert (options["target"], options["labels"], options["target_name"]) == ("regression", None, None)
    assert (options["threshold"], options["parameters"]) == (0.5, {})


def test_labels_of_one_source_are_not_mixed_with_anothers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSITIVE_CLASS_LABEL", "p")
    monkeypatch.setenv("NEGATIVE_CLASS_LABEL", "n")
    folder = write_folder(tmp_path, SCORE, BINARY)
    assert read(folder, classLabels=["a", "b", "c"], targetType="multiclass").options["labels"] == ["a", "b", "c"]
    assert read(folder).options["labels"] == ["n", "p"]


def test_a_labels_file_that_cannot_be_read_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path, SCORE, labels__txt="a\nb\n")

    def denied(*_: Any, **__: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(ConfigError) as caught:
        manifest.read(str(folder), {"options": {"classLabelsFile": "labels.txt"}})
    assert any("labels.txt: Permission denied" in fault for fault in caught.value.faults)


@pytest.mark.parametrize("value", ["inf", "2.5", "x", "{}", "0"])
def test_a_number_of_workers_that_is_none(tmp_path: Path, value: str) -> None:
    parameter = f"  - fieldName: CUSTOM_MODEL_WORKERS\n    type: string\n    defaultValue: '{value}'\n"
    metadata = f"runtimeParameterDefinitions:\n{parameter}"
    assert faults(write_folder(tmp_path, SCORE, metadata)) == [f"CUSTOM_MODEL_WORKERS must be 1 to 40, not {value}"]


def test_the_older_form_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = "runtimeParameterDefinitions:\n  - fieldName: p\n    type: string\n    allowEmpty: false\n"
    folder = write_folder(tmp_path, SCORE, metadata)
    monkeypatch.setenv("MLOPS_RUNTIME_PARAM_p", '{"type": "string", "payload": "x"}')
    monkeypatch.setenv("MLOPS_RUNTIME_PARAM_CUSTOM_MODEL_WORKERS", '{"type": "numeric", "payload": 2}')
    assert read(folder).pool.ceil == 2


def test_text_that_yaml_took_for_a_number_is_a_fault(tmp_path: Path) -> None:
    metadata = "runtimeParameterDefinitions:\n  - fieldName: p\n    type: string\n"
    told = faults(write_folder(tmp_path, SCORE, metadata), runtimeParameters={"p": 1.1})
    assert told == ["runtime parameter p: 1.1 is no text: put it in quotes"]


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "targetType: [1]\n", "\x00"])
def test_metadata_that_cannot_be_read_is_a_fault(tmp_path: Path, text: str) -> None:
    folder = write_folder(tmp_path, SCORE, text)
    assert "model-metadata.yaml" in faults(folder)[0]


def test_as_many_workers_as_the_platform_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path, SCORE)
    pool = read(folder).pool
    assert (pool.floor, pool.ceil, pool.run_timeout) == (1, 1, 600_000)
    monkeypatch.setenv("CUSTOM_MODEL_WORKERS", "3")
    assert (read(folder).pool.floor, read(folder).pool.ceil) == (3, 3)
    monkeypatch.setenv("CUSTOM_MODEL_WORKERS", "41")
    assert faults(folder) == ["CUSTOM_MODEL_WORKERS must be 1 to 40, not 41"]


def test_what_only_serves_to_upload_a_model_does_no_harm(tmp_path: Path) -> None:
    metadata = (
        "name: x\ntype: inference\nenvironmentID: 5e8\nmodelID: 5f1\nmajorVersion: true\nvalidation:\n  input: a.csv\n"
    )
    assert read(write_folder(tmp_path, SCORE, metadata)).options["target"] is None
