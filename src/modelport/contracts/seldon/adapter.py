"""Loads components and answers for them: messages of their own platform, and whatever other protocols carry."""

from __future__ import annotations

import difflib
import importlib
import logging
import os
from typing import Any, Callable

from modelport.contracts.seldon import arrays, detect, flasked, foreign
from modelport.contracts.seldon.asking import REMOTE
from modelport.contracts.seldon.branches import branch_of
from modelport.contracts.seldon.graph import GraphModel
from modelport.contracts.seldon.hooks import ABSENT, Hooks, rejection
from modelport.contracts.seldon.transports import REST
from modelport.contracts.seldon.wrapper import Wrapper
from modelport.core.call import Call, Outcome
from modelport.core.contract import Model, Needs
from modelport.core.graph import BRANCH
from modelport.core.model import Description, Field, ModelSpec
from modelport.core.payload import Json, Payload, Table, Tensors
from modelport.errors import InvalidInput, LoadError, ModelportError, ModelRejected

PLATFORM = "seldon"
TRUE = ("1", "t", "true")

log = logging.getLogger(__name__)


class SeldonContract:
    """Component classes, in a file of their name or in a folder whose manifest names them."""

    name = PLATFORM

    def find(self, path: str) -> str | None:
        return detect.find(path)

    def adopt(self, path: str) -> str | None:
        return None

    def read(self, path: str, manifest: dict[str, Any]) -> list[ModelSpec]:
        from modelport.contracts.seldon import manifest as component

        if detect.is_deployment(path):
            from modelport.contracts.seldon import deployments

            return deployments.read(path, manifest)
        return component.read(path, manifest)

    def shims(self) -> list[str]:
        return [os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")]

    def needs(self, spec: ModelSpec) -> Needs:
        """Arrays are numpy's; hooks that take protobuf messages get those of the protobuf library."""
        needs = Needs({"numpy"}, {})
        code = spec.options.get("code")
        if code:
            name = spec.options["component"].rpartition(".")[2]
            hooks = detect.methods(os.path.join(spec.root, code), name)
            if "send_feedback_raw" in hooks or any(hook.endswith("_grpc") for hook in hooks):
                needs.modules.add("google.protobuf")
        return needs

    def beside(self, spec: ModelSpec) -> Callable[[], Any]:
        """A component's ``custom_service``; it is another instance than those that answer, and not loaded."""
        service: Callable[[], Any] = _made(spec).custom_service
        return service

    def load(self, spec: ModelSpec) -> Model:
        return _component(spec) if spec.graph is None else GraphModel(spec, _component)


contract = SeldonContract()


def _component(spec: ModelSpec) -> Component:
    made = _made(spec)
    component = Component(spec.name, Wrapper(Hooks(made), spec.options["metadata"]))
    _load(made)
    return component


class Component:
    """An instance of the component's class, behind its wrapper."""

    def __init__(self, name: str, wrapper: Wrapper) -> None:
        self._name = name
        self._wrapper = wrapper
        self._hooks = wrapper.hooks
        self._flask = flasked.of(wrapper.hooks.component)
        self._passes_through = os.environ.get("PAYLOAD_PASSTHROUGH", "").lower() in TRUE
        self.description = self._describe()

    def _describe(self) -> Description:
        metadata = self._wrapper.metadata or {}
        inputs, outputs = (_fields(metadata.get(side, [])) for side in ("inputs", "outputs"))
        named = [item["schema"]["names"] for item in metadata.get("inputs", []) if _names_columns(item)]
        columns: list[str] = named[0] if named else []
        inputs = inputs or [Field(name, "FP64", [-1, 1]) for name in columns]
        details = {
            "passthrough": self._passes_through,
            "metadata": self._wrapper.metadata,
            "beside": callable(getattr(self._hooks.component, "custom_service", None)),
        }
        return Description("table", PLATFORM, columns, inputs, outputs, also=["json", "tensors"], details=details)

    def call(self, payload: Payload, call: Call) -> Outcome:
        message = payload.value if isinstance(payload, Json) else None
        if isinstance(message, bytes) and call.verb.startswith(REMOTE):
            return self._answer_remotely(message, call)
        with self._flask.context(call, message) if self._flask is not None else flasked.nothing():
            is_own = isinstance(payload, Json) and payload.origin == PLATFORM
            try:
                return self._answer(message, call) if is_own else self._predict(payload)
            except ModelportError:
                raise
            except Exception as fault:
                reply = self._flask.handle(fault) if is_own and self._flask is not None else None
                if reply is not None:
                    return Outcome(reply=reply)
                rejected = rejection(fault)
                if rejected is None:
                    raise
            raise rejected

    def _answer(self, message: Any, call: Call) -> Outcome:
        if self._passes_through and call.verb == "predict":
            return Outcome(extras={PLATFORM: self._wrapper.pass_through(message)})
        return _outcome(self._wrapper.verbs[call.verb](message), call, call.verb)

    def takes_whole(self, verb: str) -> bool:
        """Whether its code gets to see messages themselves, and not only what they carry."""
        forms = (f"{verb.replace('-', '_')}_{form}" for form in ("rest", "grpc", "raw"))
        return (
            verb == "send-feedback"
            or self._passes_through
            or self._flask is not None
            or any(map(self._hooks.overrides, forms))
        )

    def _answer_remotely(self, message: bytes, call: Call) -> Outcome:
        """Over gRPC the platform's own exceptions have no text: the log has it."""
        verb = call.verb[len(REMOTE) :]
        try:
            return _outcome(self._wrapper.remote[verb](message), call, verb)
        except (InvalidInput, ModelRejected) as fault:
            if isinstance(fault, ModelRejected) and fault.reason is None:
                raise
            rejected: ModelportError = fault
        except Exception as fault:
            told = rejection(fault)
            if told is None:
                raise
            rejected = told
        log.warning("%s over gRPC: %s", verb, rejected.message)
        raise ModelRejected(rejected.type_name, "", 500)

    def _predict(self, payload: Payload) -> Outcome:
        """A call by another platform's protocol."""
        content = foreign.read(payload, self.description.columns)
        rows = len(payload) if isinstance(payload, (Table, Tensors)) else None
        if self._hooks.overrides("predict_raw") or self._hooks.has("predict_rest"):
            reply = self._wrapper.worded("predict", arrays.listed(arrays.message(content)), REST)
            if reply is not ABSENT:
                return foreign.write(arrays.read(reply).value, self._hooks.class_names, rows)
        answer = self._hooks.respond("predict", content)
        if answer is ABSENT:
            raise InvalidInput(f"{self._name} does not predict", hint="its platform's own API has its other methods")
        self._wrapper.measured(answer, "predict")
        return foreign.write(answer.data, self._hooks.class_names, rows)


def _outcome(message: Any, call: Call, verb: str) -> Outcome:
    """Of a message. Who walks a graph from outside is told the branch that it chose."""
    extras = {PLATFORM: message}
    if call.unit and verb == "route":
        extras["headers"] = [(BRANCH, str(branch_of(message)))]
    return Outcome(extras=extras)


def _made(spec: ModelSpec) -> Any:
    """The component, built with its parameters. Raises ``LoadError`` where there is no such module or class."""
    name, _, kind = spec.options["component"].rpartition(".")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as fault:
        if fault.name is None or not f"{name}.".startswith(f"{fault.name}."):
            raise
        files = sorted(entry.name[:-3] for entry in os.scandir(spec.root) if entry.name.endswith(".py"))
        raise LoadError(f"there is no module {name} in {spec.root}", _meant(name, files)) from None
    made = getattr(module, kind, None)
    if not callable(made):
        classes = [each for each, value in vars(module).items() if isinstance(value, type)]
        own = [each for each in classes if getattr(module, each).__module__ == name]
        raise LoadError(f"module {name} has no class {kind}", _meant(kind, own or classes))
    component = made(**spec.options["parameters"])
    if spec.pool.ceil > 1 and getattr(component, "stays_alone", False):
        raise LoadError(
            f"{spec.name} keeps what it learns in its process, and {spec.pool.ceil} workers would not share it",
            hint="run one worker, or give it the parameter state_dir",
        )
    return component


def _meant(name: str, names: list[str]) -> str:
    """What may have been meant, of what there is."""
    near = difflib.get_close_matches(name, names, n=1)
    known = f"there are {', '.join(names[:20])}" if names else "there are none"
    return f"did you mean {near[0]}? {known}" if near else known


def _load(component: Any) -> None:
    """The platform does not mind a ``load`` that is missing, in whatever way."""
    try:
        component.load()
    except (NotImplementedError, AttributeError) as fault:
        if hasattr(component, "load"):
            log.warning("load() failed, and that is overlooked: %s: %s", type(fault).__name__, fault)


def _fields(items: list[dict[str, Any]]) -> list[Field]:
    """Inputs or outputs that are described as tensors of the Open Inference Protocol."""
    told = [item for item in items if {"name", "datatype", "shape"} <= set(item)]
    return [Field(item["name"], item["datatype"], item["shape"]) for item in told]


def _names_columns(item: dict[str, Any]) -> bool:
    return item.get("messagetype") in arrays.FORMS and bool(item.get("schema", {}).get("names"))
