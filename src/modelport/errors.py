"""The error tree.

ModelportError
├── RequestError              what the client sent cannot be served
│   ├── InvalidBody             not a readable document: broken JSON, bad compression, wrong outline
│   │   └── UnsupportedType       of a kind, or packed in a way, that is not taken
│   ├── InvalidInput            readable, but its content is wrong; lists every fault
│   │   └── InvalidArguments      named arguments that do not fit their declarations
│   ├── Unconvertible           no faithful way from what was sent to what the model takes
│   ├── BodyTooLarge            over the limit, as sent or once decompressed
│   ├── NotFound                no such service, endpoint, model, version or verb
│   ├── MethodNotAllowed
│   ├── Unauthorized            no key, or a wrong one
│   └── Forbidden               the key is known, the act is not allowed
├── ModelError                what the model's own code did
│   ├── ModelRaised             it raised
│   ├── ModelRejected           it raised the platform's "answer with this status" exception
│   └── InvalidOutput           it returned something its platform does not allow
├── ServiceError              the call was fine, but could not be run now
│   ├── QueueFull
│   ├── QueueTimeout
│   ├── RunTimeout
│   ├── WorkerDied
│   ├── ModelUnavailable        not loaded yet, or failed to load
│   │   └── ModelUnloaded         by an administrator
│   ├── StorageFull             no room on disk for what was sent
│   └── Cancelled               the client went away
└── SetupError                before anything is served
    ├── ConfigError             settings or manifests; lists every fault
    └── LoadError               the model's code did not load

An error carries a stable ``code``, never an HTTP status: each protocol maps codes to its own statuses and
bodies in one table (``protocols/*/errors.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ModelportError(Exception):
    """Base of every error that a user may see.

    ``message`` is one sentence for a person, ``hint`` what would help, ``faults`` every single thing that is
    wrong when there may be several, ``retryable`` whether the same call may succeed later. ``unit`` is the part of a
    graph that failed, empty where nobody knows which, None outside of graphs.
    """

    code = "internal"
    retryable = False
    unit: str | None = None

    def __init__(self, message: str, hint: str | None = None, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.faults: list[str] = list(faults)

    @property
    def type_name(self) -> str:
        """What a client is told as the error's type."""
        return type(self).__name__

    def of(self, unit: str) -> ModelportError:
        """This error, of a unit of a graph; the first one that is told stays."""
        self.unit = self.unit or unit
        return self

    def describe(self) -> str:
        """The message with its faults, on one line."""
        if not self.faults:
            return self.message
        return f"{self.message}: {'; '.join(self.faults)}"


class RequestError(ModelportError):
    code = "request"


class InvalidBody(RequestError):
    code = "invalid_body"


class UnsupportedType(InvalidBody):
    code = "unsupported_type"


class InvalidInput(RequestError):
    code = "invalid_input"


class InvalidArguments(InvalidInput):
    """``misfits`` maps each name to what is wrong with it: a list of texts, or such by index or by inner name."""

    def __init__(self, misfits: dict[str, Any]) -> None:
        super().__init__(
            "the arguments do not fit", faults=[f"{name}: {_told(what)}" for name, what in misfits.items()]
        )
        self.misfits = misfits


def _told(what: Any) -> str:
    if isinstance(what, dict):
        return ", ".join(f"{name}: {_told(inner)}" for name, inner in what.items())
    return " ".join(map(str, what)) if isinstance(what, (list, tuple)) else str(what)


class Unconvertible(RequestError):
    code = "unconvertible"


class BodyTooLarge(RequestError):
    """``limit`` is in bytes, where the body itself is what is too large."""

    code = "body_too_large"

    def __init__(self, message: str, hint: str | None = None, limit: int | None = None) -> None:
        super().__init__(message, hint)
        self.limit = limit


class NotFound(RequestError):
    code = "not_found"


class MethodNotAllowed(RequestError):
    code = "method_not_allowed"

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = list(allowed)


class Unauthorized(RequestError):
    code = "unauthorized"


class Forbidden(RequestError):
    code = "forbidden"


class ModelError(ModelportError):
    code = "model"


class ModelRaised(ModelError):
    """The model's code raised; ``raised`` is the exception's type name."""

    code = "model_raised"

    def __init__(self, raised: str, message: str) -> None:
        super().__init__(message)
        self.raised = raised

    @property
    def type_name(self) -> str:
        return self.raised


class ModelRejected(ModelError):
    """The model's code chose the HTTP status of its answer; ``reason`` is its platform's word for the kind of fault."""

    code = "model_rejected"

    def __init__(self, raised: str, message: str, status: int, reason: str | None = None) -> None:
        super().__init__(message)
        self.raised = raised
        self.status = status
        self.reason = reason

    @property
    def type_name(self) -> str:
        return self.raised


class InvalidOutput(ModelError):
    code = "invalid_output"


class ServiceError(ModelportError):
    code = "service"
    retryable = True


class QueueFull(ServiceError):
    """``retry_after`` is in whole seconds."""

    code = "queue_full"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueTimeout(ServiceError):
    code = "queue_timeout"


class RunTimeout(ServiceError):
    code = "run_timeout"
    retryable = False


class WorkerDied(ServiceError):
    code = "worker_died"


class ModelUnavailable(ServiceError):
    code = "model_unavailable"


class ModelUnloaded(ModelUnavailable):
    code = "model_unloaded"


class StorageFull(ServiceError):
    code = "storage_full"


class Cancelled(ServiceError):
    code = "cancelled"


class SetupError(ModelportError):
    code = "setup"


class ConfigError(SetupError):
    code = "config"


class LoadError(SetupError):
    """``traceback`` is the model author's: shown where the server was started, never to clients, who get ``told``."""

    code = "load"

    def __init__(self, message: str, hint: str | None = None, traceback: str = "") -> None:
        super().__init__(message, hint)
        self.traceback = traceback
        self.told = message
