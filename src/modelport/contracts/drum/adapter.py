"""Runs DRUM code folders and plain model files: read, transform, score, post-process."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl

from modelport.contracts.drum import detect, predictors
from modelport.contracts.drum.forecasting import Forecasting
from modelport.contracts.drum.hooks import Hooks
from modelport.contracts.drum.labels import labels as class_labels
from modelport.contracts.drum.outputs import CLASSES, NUMERIC, Target, framed
from modelport.contracts.drum.parameters import deliver
from modelport.contracts.drum.predictors import pmml_model, refusals, unpickling
from modelport.core import mediatype, tabular
from modelport.core.call import PREDICT, Call, Outcome
from modelport.core.charset import decoded
from modelport.core.contract import Model, Needs
from modelport.core.dataframe import Frames
from modelport.core.model import Description, Field, ModelSpec
from modelport.core.payload import Blob, Payload, Table
from modelport.errors import InvalidOutput, LoadError

MAX_MIMETYPE = 200
"""Characters that a hook may mark its answer with."""

LIBRARIES = {"onnx": "onnxruntime", "pmml": "pypmml"}
"""What reads a kind of model file, where that is not called like it."""


class DrumContract:
    """Code folders with a ``custom.py``, a model file, or both; or a model file alone."""

    name = "drum"

    def find(self, path: str) -> str | None:
        return detect.find(path)

    def adopt(self, path: str) -> str | None:
        return detect.adopt(path)

    def read(self, path: str, manifest: dict[str, Any]) -> list[ModelSpec]:
        from modelport.contracts.drum import manifest as folder

        return folder.read(path, manifest)

    def card(self, spec: ModelSpec) -> dict[str, Any]:
        options, target = spec.options, spec.options["target"]
        if target in ("transform", "unstructured"):
            return {}
        told = {"name": options["target_name"], "type": target, "threshold": options["threshold"]}
        labels = options["labels"]
        if target == "binary" and labels is not None:
            told.update(classLabels=labels[::-1], positiveClass=labels[1])
        elif target in CLASSES:
            told.update(classLabels=labels)
        return {"target": {name: value for name, value in told.items() if value is not None}}

    def options(self, card: dict[str, Any]) -> dict[str, Any]:
        target = card["target"]
        positive, labels = target["positiveClass"], target["classLabels"]
        said = {
            "targetType": target["type"],
            "targetName": target["name"],
            "predictionThreshold": target["threshold"],
        }
        if labels is not None and positive in labels and len(labels) == 2:
            said["positiveClassLabel"] = positive
            said["negativeClassLabel"] = next(label for label in labels if label != positive)
        elif labels is not None:
            said["classLabels"] = labels
        return {name: value for name, value in said.items() if value is not None}

    def shims(self) -> list[str]:
        return [os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")]

    def needs(self, spec: ModelSpec) -> Needs:
        """What reads its model file; for a pickle, the libraries whose objects it holds."""
        named = spec.options["artifact"]
        files = [named] if named else detect.artifacts(spec.root)
        needs = Needs({"pandas"} if spec.operation == PREDICT else set(), {})
        for path in (os.path.join(spec.root, file) for file in files):
            kind = str(detect.kind_of(path))
            needs.modules.update(unpickling.held(path) if kind == "pickle" else [LIBRARIES.get(kind, kind)])
            if kind == "pmml" and not pmml_model.has_java():
                needs.programs["Java"] = pmml_model.JAVA
        return needs

    def load(self, spec: ModelSpec) -> Model:
        deliver(spec.options["parameters"])
        hooks = Hooks(spec.root, spec.options["code"])
        if hooks.init is not None:
            hooks.init(code_dir=spec.root)
        if (spec.card or {}).get("timeSeries") is not None and callable(hooks.forecast):
            return Forecasting(spec, hooks, unloaded(spec) if hooks.load_model is None else loaded(spec, hooks))
        return Unstructured(spec, hooks) if spec.options["target"] == "unstructured" else Structured(spec, hooks)


contract = DrumContract()


def loaded(spec: ModelSpec, hooks: Hooks) -> Any:
    """What ``load_model`` returns."""
    assert hooks.load_model is not None
    model = hooks.load_model(spec.root)
    if model is None:
        raise LoadError("load_model returned None", hint="it must return the model")
    return model


def unloaded(spec: ModelSpec) -> Any:
    """What hooks get where there is no ``load_model``: the object in the named model file, or in the only one.

    Else None: the files may be another hook's affair.
    """
    named = spec.options["artifact"]
    if named is None and len(detect.artifacts(spec.root)) != 1:
        return None
    return predictors.read(predictors.choose(spec.root, named))


class Structured:
    """A model that takes rows."""

    def __init__(self, spec: ModelSpec, hooks: Hooks) -> None:
        self._hooks = hooks
        self._sparse_columns = spec.options["sparse_columns"]
        self._limit = spec.limits.body
        self._predictor: predictors.Predictor | None = None
        self._model = self._load(spec)
        # as tables, requests can be put together
        self._takes_bodies = (
            spec.max_batch == 1 or hooks.read_input_data is not None or self._sparse_columns is not None
        )
        self._target = self._find_target(spec)
        self._labels = self._label_arguments()
        self._frames = Frames()
        self.description = self._describe()

    def _load(self, spec: ModelSpec) -> Any:
        """The model that the hooks get; where no hook scores, also what predicts with it."""
        hooks, options = self._hooks, spec.options
        if hooks.score is not None or options["target"] == "transform":
            return unloaded(spec) if hooks.load_model is None else loaded(spec, hooks)
        model = None if hooks.load_model is None else loaded(spec, hooks)
        try:
            if model is not None:
                self._predictor = predictors.wrap(model)
            else:
                self._predictor = predictors.load(predictors.choose(spec.root, options["artifact"]))
        except LoadError as fault:
            if hooks.transform is not None and options["target"] is None:
                only = "targetType: transform in model-metadata.yaml, if all it does is to transform"
                fault.hint = f"{fault.hint}; or {only}" if fault.hint else only
            raise
        return self._predictor.model

    def _find_target(self, spec: ModelSpec) -> Target:
        options, predictor = spec.options, self._predictor
        kind, labels = options["target"], options["labels"]
        classes = predictor.classes if predictor is not None else None
        if kind is None:
            is_classifier = predictor is not None and self._hooks.score is None and predictor.is_classifier
            kind = ("binary" if len(classes or []) == 2 else "multiclass") if is_classifier else "regression"
        if kind == "transform" and self._hooks.transform is None:
            raise LoadError("a transform task needs the hook transform in custom.py")
        if kind in CLASSES and labels is None:
            labels = classes or class_labels(getattr(self._model, "classes_", None))
            if labels is None:
                raise LoadError(
                    f"the class labels of this {kind} model are not known",
                    hint="positiveClassLabel and negativeClassLabel, or classLabels, in model-metadata.yaml",
                )
        if kind == "binary" and len(labels or []) != 2:
            raise LoadError(f"a binary target has two class labels, and the model has {len(labels or [])}")
        target = Target(kind, labels, options["target_name"], options["threshold"], options["positive_first"], classes)
        if kind in CLASSES:
            target.order()  # or say now that it does not fit
        return target

    def _label_arguments(self) -> dict[str, Any]:
        """What a ``score`` hook is told of the classes."""
        target = self._target
        if target.kind == "binary":
            return {"positive_class_label": target.labels[1], "negative_class_label": target.labels[0]}
        return {"class_labels": target.labels} if target.kind == "multiclass" else {}

    def _describe(self) -> Description:
        target = self._target
        hooks, predictor = self._hooks, self._predictor
        is_behind = hooks.transform is not None or hooks.read_input_data is not None  # then its columns are made there
        columns = [] if predictor is None or is_behind else predictor.columns or []
        are_numbers = predictor is not None and predictor.is_numeric
        is_number = target.kind in ("regression", "anomaly")
        outputs = [Field("predict", "FP64" if is_number else "BYTES", [-1, 1])]
        if target.kind in CLASSES:
            outputs.append(Field("predict_proba", "FP64", [-1, len(target.labels)]))
        return Description(
            "table",
            "drum",
            columns,
            [Field(name, "FP64", [-1, 1]) for name in columns] if are_numbers else [],
            outputs if target.kind != "transform" else [],
            target.labels or None,
            also=["blob"] if self._takes_bodies else [],
            details={"targetType": target.kind, "targetName": target.name},
        )

    def call(self, payload: Payload, call: Call) -> Outcome:
        hooks, model = self._hooks, self._model
        data = self._read(payload)
        rows = len(data) if hasattr(data, "columns") else None
        if rows == 0 and not len(data.columns):  # an empty list of records: no hook could find its columns
            is_transform = self._target.kind == "transform"
            return Outcome(payload=Table.empty(0)) if is_transform else Outcome(predictions=[])
        hook, source = "the model", "read_input_data"
        if hooks.transform is not None:
            data, source = hooks.transform(data, model), "transform"
            if self._target.kind == "transform":
                return self._transformed(data, rows)
        if hooks.score is not None:
            data, hook = hooks.score(data, model, **self._labels), "score"
        elif self._predictor is not None:
            if rows == 0:
                return Outcome(predictions=[], probabilities=None)
            _expect_frame(data, source)
            answer = refusals.answer(self._predictor, data, self._target.kind in CLASSES)
            if hooks.post_process is None and self._target.kind in NUMERIC:
                return self._target.read_numbers(answer, rows)
            data = framed(answer, self._target)
        if hooks.post_process is not None:
            data, hook = hooks.post_process(data, model), "post_process"
        return self._target.read(data, rows, hook)

    def _read(self, payload: Payload) -> Any:
        """The data as ``transform`` or ``score`` get it."""
        if isinstance(payload, Blob):
            if self._hooks.read_input_data is not None:
                data = self._hooks.read_input_data(bytes(payload.data))
                if data is None:
                    raise InvalidOutput("read_input_data returned None; the data was expected")
                return data
            return tabular.read_frame(payload, self._sparse_columns, self._limit)
        assert isinstance(payload, Table)
        return tabular.frame_of(payload, self._frames)

    def _transformed(self, data: Any, rows: int | None) -> Outcome:
        _expect_frame(data, "transform")
        if rows is not None and len(data) != rows:
            raise InvalidOutput(f"transform returned {len(data)} rows for {rows}")
        return Outcome(payload=tabular.table_of(data))


def _expect_frame(data: Any, hook: str) -> None:
    if not hasattr(data, "columns") or not hasattr(data, "to_numpy"):
        raise InvalidOutput(f"{hook} returned {type(data).__name__}; a pandas DataFrame was expected")


class Unstructured:
    """A model that takes text or bytes, and answers with either."""

    def __init__(self, spec: ModelSpec, hooks: Hooks) -> None:
        if hooks.score_unstructured is None:
            raise LoadError("an unstructured model needs score_unstructured in custom.py")
        self._score = hooks.score_unstructured
        self._model = unloaded(spec) if hooks.load_model is None else loaded(spec, hooks)
        self.description = Description(
            "blob", "drum", outputs=[Field("response", "BYTES", [1])], details={"targetType": "unstructured"}
        )

    def call(self, payload: Payload, call: Call) -> Outcome:
        assert isinstance(payload, Blob)
        mimetype = payload.media_type or "text/plain"
        charset = payload.charset or "utf8"
        data: Any = bytes(payload.data)
        if mediatype.is_text(mimetype):
            data = decoded(data, charset)
        query = dict(parse_qsl(call.query, keep_blank_values=True))
        answer = self._score(self._model, data, mimetype=mimetype, charset=charset, query=query)
        return Outcome(payload=blob_of(answer))


def blob_of(answer: Any) -> Blob:
    """What ``score_unstructured`` returned: text or bytes, perhaps with a mimetype and a charset."""
    told: Any = {}
    if isinstance(answer, tuple):
        if len(answer) != 2 or not isinstance(answer[1], dict):
            raise InvalidOutput("score_unstructured returned a tuple that is not (data, dict)")
        answer, told = answer
    mimetype, charset = told.get("mimetype"), told.get("charset")
    if not isinstance(mimetype, (str, type(None))) or len(mimetype or "") > MAX_MIMETYPE:
        raise InvalidOutput(f"score_unstructured returned {str(mimetype)[:80]!r} as mimetype")
    charset = charset or mediatype.parsed(mimetype or "")[1]
    if isinstance(answer, str):
        charset = charset or "utf8"
        try:
            return Blob(answer.encode(charset), mimetype or "text/plain", charset)
        except (LookupError, UnicodeEncodeError) as fault:
            raise InvalidOutput(f"the answer has no form in charset {str(charset)[:40]}: {fault}") from None
    if isinstance(answer, (bytes, bytearray, memoryview)):
        return Blob(bytes(answer), mimetype or "application/octet-stream", charset)
    raise InvalidOutput(f"score_unstructured returned {type(answer).__name__}; text or bytes were expected")
