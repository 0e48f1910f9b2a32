"""Loads and calls the user code of Dataiku endpoints, in a worker."""

from __future__ import annotations

import base64
import importlib.util
import inspect
import os
import sys
from typing import Any

from modelport.contracts.dataiku import detect, outputs
from modelport.core.call import Call, Outcome, Reply
from modelport.core.contract import Model
from modelport.core.dataframe import Frames
from modelport.core.model import Description, Field, ModelSpec
from modelport.core.payload import Args, Json, Payload, Table, column_to_tensor
from modelport.errors import InvalidInput, InvalidOutput, LoadError, ModelRejected, Unconvertible


class DataikuContract:
    """Service folders, and plain files that define a predictor."""

    name = "dataiku"

    def find(self, path: str) -> str | None:
        return detect.find(path)

    def adopt(self, path: str) -> str | None:
        return None

    def read(self, path: str, manifest: dict[str, Any]) -> list[ModelSpec]:
        from modelport.contracts.dataiku import manifest as service

        return service.read(path, manifest)

    def shims(self) -> list[str]:
        return [os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")]

    def load(self, spec: ModelSpec) -> Model:
        return Predictor(spec) if spec.options["kind"] == "CUSTOM_PREDICTION" else Function(spec)


contract = DataikuContract()


class Endpoint:
    """What both kinds have: the user's module, with the names that it finds in it without an import."""

    def __init__(self, spec: ModelSpec) -> None:
        from dataiku import apinode
        from dataiku.apinode import utils

        self.spec = spec
        self._rejection = getattr(apinode, "DkuCustomApiException", ())
        self._response = getattr(apinode, "DkuCustomHttpResponse", ())
        self._caller = getattr(utils, "_caller", {})
        self.module = self._import(
            {
                "DkuCustomApiException": self._rejection,
                "folders": self._folders(spec.options.get("folders", [])),
            }
        )

    def _folders(self, paths: list[str]) -> list[str]:
        return [os.path.join(self.spec.root, path) for path in paths]

    def _import(self, names: dict[str, Any]) -> Any:
        path = os.path.join(self.spec.root, self.spec.options["code"])
        name = os.path.splitext(os.path.basename(path))[0]
        name = name if name.isidentifier() and name not in sys.modules else f"_endpoint_{self.spec.name}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise LoadError(f"{self.spec.options['code']} is no Python file")
        module = importlib.util.module_from_spec(spec)
        vars(module).update(names)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def enter(self, call: Call) -> None:
        """Lets the user's code see the request it answers, as far as it asked to."""
        if self.spec.options.get("request_metadata"):
            vars(self.module)["dku_http_request_metadata"] = RequestMetadata(call)
        self._caller.update(service=self.spec.service, uri=os.environ.get("MODELPORT_SELF", ""), key=_key(call))

    def leave(self) -> None:
        """The request is answered: nothing of it stays within reach of the user's code."""
        vars(self.module).pop("dku_http_request_metadata", None)
        self._caller.clear()

    def rejected(self, fault: BaseException) -> ModelRejected | None:
        """The user's own choice of status, if that is what ``fault`` is."""
        if not isinstance(fault, self._rejection):
            return None
        status = getattr(fault, "http_status_code", 500)
        valid = isinstance(status, int) and 400 <= status <= 599
        return ModelRejected(type(fault).__name__, str(fault), status if valid else 500)


class RequestMetadata:
    """``dku_http_request_metadata``: the headers and the path of the request."""

    def __init__(self, call: Call) -> None:
        from wsgiref.headers import Headers

        self.headers = Headers(list(call.headers.items()))
        self.path = call.path


def _key(call: Call) -> str | None:
    """The key that the caller gave, if it can be read: on an open service it may be anything."""
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[0]
        except ValueError:
            return None
    return value.strip() or None


class Predictor(Endpoint):
    """A Python prediction endpoint."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        import dataiku.apinode.predict.predictor as bases

        classes = {"REGRESSION": bases.RegressionPredictor, "CLASSIFICATION": bases.ClassificationPredictor}
        found = self._class(tuple(classes.values()))
        declared = spec.options.get("prediction")
        is_regression = issubclass(found, classes["REGRESSION"])
        if declared is not None and not issubclass(found, classes[declared]):
            raise LoadError(
                f"the endpoint is declared {declared}, but {found.__name__} extends {found.__bases__[0].__name__}"
            )
        folder = spec.options.get("folder")
        self._is_regression = is_regression
        self._predict = found(os.path.join(spec.root, folder) if folder else None).predict
        self._frames = Frames()
        self.description = self._describe()

    def _class(self, bases: Any) -> Any:
        own = [
            value
            for value in vars(self.module).values()
            if inspect.isclass(value) and issubclass(value, bases) and value.__module__ == self.module.__name__
        ]
        wanted = self.spec.options.get("component")
        if wanted:
            own = [value for value in own if value.__name__ == wanted]
        leaves = [value for value in own if not any(other is not value and issubclass(other, value) for other in own)]
        code = self.spec.options["code"]
        if not leaves:
            raise LoadError(
                f"{code} defines no class that extends RegressionPredictor or ClassificationPredictor",
                hint="from dataiku.apinode.predict.predictor import RegressionPredictor",
            )
        if len(leaves) > 1:
            names = ", ".join(sorted(value.__name__ for value in leaves))
            raise LoadError(f"{code} defines several predictors: {names}", hint="keep one, or name it as component")
        return leaves[0]

    def _describe(self) -> Description:
        features = first_features(self.spec)
        columns = list(features)
        inputs = []
        for name, value in features.items():
            try:
                inputs.append(Field(name, column_to_tensor(name, [value]).datatype, [-1, 1]))
            except Unconvertible:
                inputs.append(Field(name, "BYTES", [-1, 1]))
        outputs_ = [Field("predict", "FP64" if self._is_regression else "BYTES", [-1, 1])]
        return Description("table", "dataiku", columns, inputs, outputs_)

    def call(self, payload: Payload, call: Call) -> Outcome:
        assert isinstance(payload, Table)
        if not len(payload):
            return Outcome(predictions=[])
        try:
            features = self._frames.build(payload)
        except (OverflowError, TypeError, ValueError) as fault:
            raise InvalidInput(f"the features cannot be put into a DataFrame: {fault}") from None
        self.enter(call)
        try:
            answer = self._predict(features)
        except BaseException as fault:
            rejected = self.rejected(fault)
            if rejected is not None:
                raise rejected from None
            raise
        finally:
            self.leave()
        return outputs.read(answer, len(payload), self._is_regression)


def first_features(spec: ModelSpec) -> dict[str, Any]:
    """The features of the first saved test query: the only schema that this kind of endpoint may have."""
    for query in spec.queries:
        features = query.get("q", query).get("features")
        if isinstance(features, dict):
            return features
    return {}


class Function(Endpoint):
    """A Python function endpoint."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        name = spec.options["function"]
        self._function = getattr(self.module, name, None)
        if not callable(self._function):
            known = [key for key, value in vars(self.module).items() if inspect.isfunction(value)]
            raise LoadError(f"{spec.options['code']} has no function {name!r}", hint=f"it has {', '.join(known)}")
        self._signature = inspect.signature(self._function)
        self.description = Description(
            "args",
            "dataiku",
            inputs=[Field(key, "BYTES", [-1]) for key in self._signature.parameters],
            outputs=[Field("response", "BYTES", [1])],
        )

    def call(self, payload: Payload, call: Call) -> Outcome:
        assert isinstance(payload, Args)
        try:
            self._signature.bind(**payload.values)
        except TypeError as fault:
            names = ", ".join(self._signature.parameters)  # not the defaults, which are the author's own
            raise InvalidInput(f"{self.spec.options['function']}({names}): {fault}") from None
        self.enter(call)
        try:
            value = self._function(**payload.values)  # type: ignore[misc]
        except BaseException as fault:
            rejected = self.rejected(fault)
            if rejected is not None:
                raise rejected from None
            raise
        finally:
            self.leave()
        if self._response and isinstance(value, self._response):
            if not self.spec.options.get("custom_response"):
                raise InvalidOutput(
                    f"{self.spec.options['function']} returned a {type(value).__name__}, and may not",
                    hint="customResponse: true in service.json allows it",
                )
            return Outcome(reply=verbatim(value))
        return Outcome(payload=Json(value))


def verbatim(response: Any) -> Reply:
    """The user's own HTTP answer. Raises ``InvalidOutput`` for one that cannot be sent."""
    status = response.status
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise InvalidOutput(f"{str(status)[:40]!r} is no status of an HTTP answer")
    body = response.body.encode() if isinstance(response.body, str) else response.body
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise InvalidOutput(f"the body of the answer is {type(body).__name__}; text or bytes were expected")
    return Reply(int(status), response.headers.items, b"" if status in (204, 205, 304) else bytes(body))
