"""What is known of a code folder before it is loaded: options, environment, ``model-metadata.yaml``, labels.

Front only, and imported only when a folder is read: the worker half of this contract needs no third-party code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from modelport.contracts.drum.detect import CODE, METADATA, artifacts, hooks
from modelport.contracts.drum.labels import label
from modelport.contracts.drum.parameters import OLD, payload
from modelport.core.call import FUNCTION, PREDICT
from modelport.core.model import ModelSpec, PoolSettings, as_name
from modelport.errors import ConfigError

TARGETS = ("regression", "binary", "multiclass", "anomaly", "transform", "unstructured", "textgeneration")
Outline = TypeVar("Outline", bound=BaseModel)

WORKERS, MAX_WORKERS = "CUSTOM_MODEL_WORKERS", 40
WAITING, TIMEOUT = 64, 600_000
"""Requests that wait, and the milliseconds that one may wait and run: clients of the platform give up after 600 s."""


NULLS = (None, "", "null", "~")


def _text(value: Any) -> Any:
    """Labels are text; YAML takes unquoted ones for numbers and truth values."""
    return label(value) if isinstance(value, (bool, int, float)) else value


Label = Annotated[str, BeforeValidator(_text)]


class Inference(BaseModel):
    """``inferenceModel``; ``classLabelsFile`` is a path in the code folder."""

    model_config = ConfigDict(extra="ignore")
    targetName: Label | None = None
    positiveClassLabel: Label | None = None
    negativeClassLabel: Label | None = None
    classLabels: list[Label] | None = None
    classLabelsFile: str | None = None
    predictionThreshold: Annotated[float | None, Field(ge=0, le=1)] = None


class Parameter(BaseModel):
    """One of ``runtimeParameterDefinitions``."""

    model_config = ConfigDict(extra="ignore")
    fieldName: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    type: Literal["string", "boolean", "numeric", "credential", "deployment"]
    defaultValue: Any = None
    minValue: float | None = None
    maxValue: float | None = None
    allowEmpty: bool = True


class Metadata(BaseModel):
    """``model-metadata.yaml``; what only serves to upload a model is left unread."""

    model_config = ConfigDict(extra="ignore")
    name: Label | None = None
    targetType: str | None = None
    inferenceModel: Inference = Inference()
    runtimeParameterDefinitions: list[Parameter] = []


class Options(Inference):
    """What may be set beside the model: ``options`` of ``modelport.yaml``, and the options of ``modelport drum``.

    ``binaryOrder`` is the order of the two columns of a model that answers with both and does not name its classes.
    """

    model_config = ConfigDict(extra="forbid")
    targetType: str | None = None
    binaryOrder: Literal["negative-first", "positive-first"] = "negative-first"
    sparseColumnFile: str | None = None
    artifact: str | None = None
    runtimeParameters: dict[str, Any] = {}


ENVIRONMENT = {
    "targetType": "TARGET_TYPE",
    "targetName": "TARGET_NAME",
    "positiveClassLabel": "POSITIVE_CLASS_LABEL",
    "negativeClassLabel": "NEGATIVE_CLASS_LABEL",
    "classLabels": "CLASS_LABELS",
    "classLabelsFile": "CLASS_LABELS_FILE",
}
"""Options that the environment may give, by the names that the platform's containers use."""


def read(path: str, given: Mapping[str, Any]) -> list[ModelSpec]:
    """The one model of a code folder, or of a model file. Raises ``ConfigError`` with every fault."""
    place = Path(path)
    root = place if place.is_dir() else place.parent
    faults: list[str] = []
    options = _options(given, faults)
    environment = _environment(faults)
    metadata = _metadata(root / METADATA, faults) if place.is_dir() else Metadata()
    if place.is_file():
        options.artifact = place.name
    elif options.artifact is not None and not (root / options.artifact).is_file():
        faults.append(f"artifact: there is no {options.artifact!r}")
    inference = metadata.inferenceModel
    labels = _Labels(root, (options, environment, inference), faults)
    found = hooks(str(root / CODE)) if place.is_dir() else []
    has_model = place.is_file() or bool(artifacts(str(root)))
    stated = options.targetType or environment.targetType or metadata.targetType
    target = _target(stated, labels, found, has_model, faults)
    sparse = _file(root, options.sparseColumnFile, "sparseColumnFile", faults)
    parameters = _parameters(metadata.runtimeParameterDefinitions, options.runtimeParameters, faults)
    pool = _pool(parameters, faults)
    if faults:
        raise ConfigError(f"{path} has faults", faults=faults)
    return [
        ModelSpec(
            name=given.get("name") or as_name(place.stem if place.is_file() else place.name),
            contract="drum",
            root=str(root),
            version="1",
            pool=pool,
            operation=FUNCTION if target == "unstructured" else PREDICT,
            options={
                "path": ["."],
                "code": CODE if (place / CODE).is_file() else None,
                "artifact": options.artifact,
                "target": target,
                "target_name": options.targetName or environment.targetName or inference.targetName,
                "labels": labels.names,
                "threshold": labels.threshold,
                "positive_first": options.binaryOrder == "positive-first",
                "sparse_columns": sparse,
                "parameters": parameters,
            },
        )
    ]


def _options(given: Mapping[str, Any], faults: list[str]) -> Options:
    said = dict(given.get("options") or {})
    if given.get("target"):
        said.setdefault("targetType", given["target"])
    return _checked(Options, said, "options", faults)


def _environment(faults: list[str]) -> Options:
    said = {name: os.environ[variable] for name, variable in ENVIRONMENT.items() if os.environ.get(variable)}
    listed = {name: _listed(value) if name == "classLabels" else value for name, value in said.items()}
    return _checked(Options, listed, "environment", faults)


def _listed(text: str) -> Any:
    """Labels in one variable: a JSON list, or separated by commas or ends of lines."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return [label.strip() for label in text.replace("\n", ",").split(",") if label.strip()]


def _metadata(file: Path, faults: list[str]) -> Metadata:
    try:
        # everything as the text it was written as: an unquoted yes is a label, and no truth value
        content = yaml.BaseLoader(file.read_text("utf-8")).get_single_data() or {}
    except FileNotFoundError:
        return Metadata()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        faults.append(f"{METADATA}: {' '.join(str(fault).split())}")
        return Metadata()
    return _checked(Metadata, _stated(content), METADATA, faults)


def _stated(content: Any) -> Any:
    """Without the keys that are there but say nothing."""
    if isinstance(content, dict):
        return {key: _stated(value) for key, value in content.items() if value not in NULLS}
    return [_stated(item) for item in content] if isinstance(content, list) else content


def _checked(kind: type[Outline], content: Any, where: str, faults: list[str]) -> Outline:
    """The outline of ``content``, or an empty one and its faults."""
    try:
        return kind.model_validate(content)
    except ValidationError as fault:
        faults += [
            ": ".join(filter(None, [where, ".".join(map(str, error["loc"])), error["msg"]])) for error in fault.errors()
        ]
        return kind()


class _Labels:
    """``names``: the class labels, for a binary target the negative one first; None where nobody says them."""

    def __init__(self, root: Path, sources: Sequence[Inference], faults: list[str]) -> None:
        for source in sources:
            self.is_binary = bool(source.positiveClassLabel or source.negativeClassLabel)
            self.names = self._from(root, source, faults)
            if self.names is not None or self.is_binary:
                break
        thresholds = [source.predictionThreshold for source in sources]
        self.threshold = next((value for value in thresholds if value is not None), 0.5)

    def _from(self, root: Path, source: Inference, faults: list[str]) -> list[str] | None:
        pair = [source.negativeClassLabel, source.positiveClassLabel]
        if self.is_binary:
            if None in pair:
                faults.append("positiveClassLabel and negativeClassLabel belong together")
                return None
            if pair[0] == pair[1]:
                faults.append(f"both class labels are {pair[0]!r}")
            return [label for label in pair if label is not None]
        names = source.classLabels
        file = _file(root, source.classLabelsFile, "classLabelsFile", faults)
        if names is None and file is not None:
            names = _lines(Path(file), faults)
        if names is None:
            return None
        if len(names) < 2:
            faults.append(f"a classification needs two class labels or more, not {len(names)}")
        doubles = sorted({name for name in names if names.count(name) > 1})
        faults += [f"class label {name!r} is there twice" for name in doubles]
        return names


def _lines(file: Path, faults: list[str]) -> list[str]:
    try:
        lines = file.read_text("utf-8-sig", errors="replace").splitlines()
    except OSError as fault:
        faults.append(f"classLabelsFile: {file}: {fault.strerror}")
        return []
    return [line.strip() for line in lines if line.strip()]


def _target(stated: str | None, labels: _Labels, found: list[str], has_model: bool, faults: list[str]) -> str | None:
    """The kind of target; None where only the loaded model can tell."""
    if stated is not None:
        target = stated.replace("_", "").replace("-", "").lower()
        if target not in TARGETS:
            faults.append(f"target type {stated!r} is not one of {', '.join(TARGETS)}")
        if target == "binary" and labels.names is not None and len(labels.names) != 2:
            faults.append(f"a binary target has two class labels, not {len(labels.names)}")
        return target
    if labels.names is not None:
        return "binary" if len(labels.names) == 2 else "multiclass"
    if "score_unstructured" in found and "score" not in found:
        return "unstructured"
    if "transform" in found and not has_model and not {"score", "load_model"} & set(found):
        return "transform"
    return None


def _pool(parameters: Mapping[str, Any], faults: list[str]) -> PoolSettings:
    """As many processes as the platform would run: one, unless a model says that several may run."""
    stated = parameters.get(WORKERS, {}).get("value")
    stated = os.environ.get(WORKERS, 1 if stated is None else stated)
    if OLD + WORKERS in os.environ:
        try:
            stated = payload(os.environ[OLD + WORKERS])
        except ValueError:
            pass  # it does not load, and says why
    try:
        workers = int(stated) if float(stated) == int(stated) else 0
    except (ValueError, TypeError, OverflowError):
        workers = 0
    if not 1 <= workers <= MAX_WORKERS:
        faults.append(f"{WORKERS} must be 1 to {MAX_WORKERS}, not {stated}")
        return PoolSettings()
    return PoolSettings(workers, workers, workers, WAITING, TIMEOUT, TIMEOUT)


def _file(root: Path, path: str | None, where: str, faults: list[str]) -> str | None:
    """A file that is named from the code folder, or from where the command runs."""
    if path is None:
        return None
    for candidate in (root / path, Path(path)):
        if candidate.is_file():
            return str(candidate.resolve())
    faults.append(f"{where}: there is no {path!r}")
    return None


def _parameters(definitions: list[Parameter], given: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """Name to {"type", "value"}: what was given, else the default."""
    known = {item.fieldName: item for item in definitions}
    faults += [f"runtime parameter {name!r} is not defined in {METADATA}" for name in given if name not in known]
    values: dict[str, Any] = {}
    for name, item in known.items():
        value = given.get(name, item.defaultValue)
        value = None if isinstance(value, str) and value in NULLS else value
        if item.type == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        if item.type == "numeric" and isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                pass
        values[name] = {"type": item.type, "value": value}
        fault = _parameter_fault(item, value)
        if fault and not {name, OLD + name} & os.environ.keys():
            faults.append(f"runtime parameter {name}: {fault}")
    return values


def _parameter_fault(item: Parameter, value: Any) -> str | None:
    if value is None:
        return None if item.allowEmpty else "it needs a value"
    if item.type == "string" and not isinstance(value, str):
        return f"{value!r} is no text: put it in quotes"
    if item.type == "boolean" and not isinstance(value, bool):
        return f"{value!r} is neither true nor false"
    if item.type == "numeric":
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f"{value!r} is no number"
        if item.minValue is not None and value < item.minValue:
            return f"{value:g} is below {item.minValue:g}"
        if item.maxValue is not None and value > item.maxValue:
            return f"{value:g} is above {item.maxValue:g}"
    return None
