"""Loads the model behind an entry point and calls it with arguments that fit its declarations."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
import traceback
from typing import Any, Callable

from modelport.contracts.deepaas import answers, describe, detect
from modelport.contracts.deepaas.answers import PLATFORM, ResponseSchema
from modelport.contracts.deepaas.arguments import ACCEPT, Arguments
from modelport.contracts.deepaas.uploads import Uploads, shown
from modelport.core.call import Call, Outcome
from modelport.core.contract import Model
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Args, Json, Payload
from modelport.core.task import FAILURE
from modelport.errors import ModelRejected

FUNCTIONS = ("get_metadata", "warm", "get_predict_args", "predict", "get_train_args", "train")
CHECK, TRAIN = "train", "train-now"
"""The verbs of a training: whether its arguments fit, and the training itself."""


class DeepaasContract:
    """Packages that declare models as entry points, installed or as they lie in a folder."""

    name = PLATFORM

    def find(self, path: str) -> str | None:
        return detect.find(path)

    def adopt(self, path: str) -> str | None:
        return None

    def read(self, path: str, manifest: dict[str, Any]) -> list[ModelSpec]:
        from modelport.contracts.deepaas import manifest as package

        return package.read(path, manifest)

    def shims(self) -> list[str]:
        return [os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")]

    def load(self, spec: ModelSpec) -> Model:
        return DeepaasModel(spec)


contract = DeepaasContract()


class DeepaasModel:
    """One object for all calls, so that it keeps what ``warm`` gave it."""

    def __init__(self, spec: ModelSpec) -> None:
        self._name = spec.name
        self._model = _object(spec.options["entry"])
        schema = getattr(self._model, "schema", None)
        self._schema = None if schema is None else ResponseSchema(schema)
        self._arguments = {function: self._declared(function) for function in ("predict", "train")}
        if spec.options["warm"]:
            self._optional("warm")
        self.description = self._describe()

    def _declared(self, function: str) -> Arguments:
        fields = self._optional(f"get_{function}_args")
        return Arguments({} if fields is None else fields, f"get_{function}_args")

    def _optional(self, name: str) -> Any:
        """What a function returns that a model may do without; None where it does."""
        function = getattr(self._model, name, None)
        try:
            return None if function is None else function()
        except NotImplementedError:
            return None

    def _describe(self) -> Description:
        predict, schema = self._arguments["predict"], self._schema
        details = {
            "metadata": self._metadata(),
            "predict": describe.parameters(predict),
            "train": describe.parameters(self._arguments["train"]),
            "produces": predict.choices or [answers.JSON],
            "answer": None if schema is None else schema.name,
            "schema": None if schema is None else describe.schema(schema.fields),
        }
        return Description("args", PLATFORM, inputs=list(describe.inputs(predict)), details=details)

    def _metadata(self) -> dict[str, Any] | None:
        """None where the model has some and fails to tell."""
        unknown = f"Could not load description from underlying model (loaded '{self._name}')"
        try:
            given = self._optional("get_metadata")
        except Exception:
            answers.log.exception("get_metadata failed")
            return None
        return {"id": "0", "description": unknown} if given is None else dict(given)

    def call(self, payload: Payload, call: Call) -> Outcome:
        assert isinstance(payload, Args)
        is_own = payload.places is not None
        name = "train" if is_own and call.verb in (CHECK, TRAIN) else "predict"
        arguments = self._arguments[name].read(payload)
        function = self._function(name)
        if is_own and call.verb == CHECK:
            return Outcome(payload=Json({key: shown(key, value) for key, value in arguments.items()}))
        with contextlib.closing(Uploads()) as uploads:
            given = uploads.kept(arguments)
            if name == "train":
                return _trained(function, given)
            outcome = self._predicted(function, given, is_own)
            if outcome.reply is not None:  # which is still being made
                outcome.reply = outcome.reply._replace(body=uploads.outlasting(outcome.reply.body))
        return outcome

    def _predicted(self, predict: Callable[..., Any], arguments: dict[str, Any], is_own: bool) -> Outcome:
        try:
            value = predict(**arguments)
        except Exception as fault:
            rejected = rejection(fault)
            if rejected is None:
                raise
        else:
            return answers.outcome(value, arguments.get(ACCEPT), self._schema, is_own)
        raise rejected

    def _function(self, name: str) -> Callable[..., Any]:
        """Raises ``ModelRejected`` where the model has none of that name."""
        function: Callable[..., Any] | None = getattr(self._model, name, None)
        if function is None:
            missing = f"Not implemented by underlying model (loaded '{self._name}')"
            raise ModelRejected("NotImplementedError", missing, 501)
        return function


def _object(entry: str) -> Any:
    """What an entry point names: a module, an object, or a class, of which one is made if its functions need it."""
    module, _, attribute = entry.partition("[")[0].partition(":")
    found: Any = importlib.import_module(module.strip())
    for name in filter(None, attribute.strip().split(".")):
        found = getattr(found, name)
    return found() if isinstance(found, type) and _needs_object(found) else found


def _needs_object(kind: type) -> bool:
    """Whether a function of the class takes the object itself."""
    for name in FUNCTIONS:
        function = inspect.getattr_static(kind, name, None)
        if inspect.isfunction(function):
            parameters = inspect.signature(function).parameters.values()
            if any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters):
                return True
    return False


def _trained(train: Callable[..., Any], arguments: dict[str, Any]) -> Outcome:
    """The result, or what was raised instead."""
    try:
        return Outcome(payload=Json(train(**arguments)))
    except BaseException as fault:
        trace = fault.__traceback__
        lines = traceback.format_exception(type(fault), fault, trace.tb_next if trace is not None else None)
        told = {"type": type(fault).__name__, "message": str(fault), "traceback": "".join(lines)}
        return Outcome(extras={FAILURE: told})


def rejection(fault: BaseException) -> ModelRejected | None:
    """The model's own choice of status, if that is what ``fault`` is: one of the web framework's exceptions."""
    kind: Any = getattr(sys.modules.get("aiohttp.web_exceptions"), "HTTPException", ())
    if not isinstance(fault, kind):
        return None
    status = int(getattr(fault, "status", 500))
    text = str(getattr(fault, "text", None) or getattr(fault, "reason", ""))
    return ModelRejected(type(fault).__name__, text.removeprefix(f"{status}: "), status)  # which the error gets anyway
