"""The hooks of a component, called as the platform's wrapper calls them."""

from __future__ import annotations

import logging
import sys
from typing import Any, NamedTuple

from modelport.contracts.seldon.arrays import BAD_DATA, Content
from modelport.errors import ModelRejected

log = logging.getLogger(__name__)

ABSENT: Any = object()
"""The answer of a hook that is not there, or says so."""


class Response(NamedTuple):
    """What a hook returned, with the tags and metrics of this one answer."""

    data: Any
    tags: Any = None
    metrics: Any = None


class Hooks:
    """Of one component."""

    def __init__(self, component: Any) -> None:
        self.component = component
        self._has_warned = False

    def has(self, name: str) -> bool:
        return hasattr(self.component, name)

    def overrides(self, name: str) -> bool:
        """Whether it is there, and not only as the base class has it."""
        return self.has(name) and getattr(type(self.component), name, None) is not getattr(
            known("SeldonComponent"), name, ABSENT
        )

    def call(self, name: str, *args: Any, **more: Any) -> Any:
        """Its answer, or ``ABSENT``."""
        if not self.has(name):
            return ABSENT
        try:
            return getattr(self.component, name)(*args, **more)
        except Exception as fault:
            if isinstance(fault, known("SeldonNotImplementedError")):
                return ABSENT
            raise

    def respond(self, name: str, content: Content) -> Any:
        """Its ``Response`` to a message, or ``ABSENT``."""
        if not self.has(name):
            return ABSENT
        try:
            return self.demand(name, content)
        except Exception as fault:
            if isinstance(fault, known("SeldonNotImplementedError")):
                return ABSENT
            raise

    def demand(self, name: str, content: Content) -> Response:
        """Its ``Response`` to a message. One that will not take ``meta`` is called again without, and so is one that
        raised a ``TypeError`` of its own. Raises ``ModelRejected`` where it is missing."""
        hook = self.defined(name)
        try:
            return response(hook(content.value, content.names, meta=content.meta))
        except TypeError:
            pass
        return response(hook(content.value, content.names))

    def defined(self, name: str) -> Any:
        """The hook. Raises ``ModelRejected`` where it is missing."""
        if not self.has(name):
            raise ModelRejected("NotImplemented", f"{name.capitalize()} not defined", 400, reason=BAD_DATA)
        return getattr(self.component, name)

    def class_names(self) -> Any:
        """None without any; an attribute that is no method will do."""
        names = getattr(self.component, "class_names", None)
        if names is not None and not callable(names) and not self._has_warned:
            self._has_warned = True
            log.warning("class_names is an attribute: the platform wants a method of that name")
        names = self.call("class_names") if callable(names) else names
        return None if names is ABSENT else names


def response(answer: Any) -> Response:
    """What a hook returned, taken apart."""
    if isinstance(answer, known("SeldonResponse")):
        return Response(answer.data, answer.tags, answer.metrics)
    return Response(answer)


def rejection(fault: BaseException) -> ModelRejected | None:
    """The component's own choice of status and reason, if that is what ``fault`` is."""
    if not isinstance(fault, known("SeldonMicroserviceException", "flask_utils")):
        return None
    status: Any = getattr(fault, "status_code", 400)
    is_status = isinstance(status, int) and 200 <= status <= 599
    message, reason = getattr(fault, "message", ""), getattr(fault, "reason", BAD_DATA)
    return ModelRejected(type(fault).__name__, str(message), int(status) if is_status else 500, reason=str(reason))


def known(name: str, module: str = "user_model") -> Any:
    """A class of the platform's package, be it a real one or the stand-in: that which the component's own import has
    brought. While nobody has imported it, nothing is of it."""
    return getattr(sys.modules.get(f"seldon_core.{module}"), name, ())
