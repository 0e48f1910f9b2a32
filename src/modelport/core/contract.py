"""What a contract implements: how code written for one platform is found, loaded and called."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Protocol, runtime_checkable

from modelport.core.call import Call, Outcome
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Payload


class Model(Protocol):
    """A loaded model, inside a worker."""

    description: Description

    def call(self, payload: Payload, call: Call) -> Outcome:
        """Runs the user's code on a payload of the kind that ``description.takes`` names, or one of ``also``.

        Raises ``InvalidOutput`` for an answer that the platform does not allow, ``ModelRejected`` for a status
        that the user's code chose. What else the user's code raises may simply pass.
        """
        ...


class Contract(Protocol):
    """One platform's way to write a model. ``find`` and ``read`` run in the front and never run user code."""

    name: str

    def find(self, path: str) -> str | None:
        """Why the file or folder at ``path`` is of this platform, in words; None when it is not."""
        ...

    def adopt(self, path: str) -> str | None:
        """Why a path that bears no platform's own marks can be served all the same, such as a plain model file."""
        ...

    def read(self, path: str, manifest: dict[str, Any]) -> list[ModelSpec]:
        """The models at ``path``. Raises ``ConfigError`` listing every fault."""
        ...

    def shims(self) -> list[str]:
        """Folders of stand-in modules that user code imports; they go last on the import path."""
        ...

    def load(self, spec: ModelSpec) -> Model:
        """Loads a model, in a worker whose import path is ready."""
        ...


class Needs(NamedTuple):
    """What a model needs beside what its code imports: top-level modules, and programs with how to get each."""

    modules: set[str]
    programs: dict[str, str]


@runtime_checkable
class Demanding(Protocol):
    """What a contract may have beside what ``Contract`` asks for."""

    def needs(self, spec: ModelSpec) -> Needs:
        """Told in the front, from the model's files and without running any."""
        ...


@runtime_checkable
class Carded(Protocol):
    """A contract that knows what its models predict, or can be told. Both run in the front."""

    def card(self, spec: ModelSpec) -> dict[str, Any]:
        """What is known of the target before the model is loaded, as a package's card has it."""
        ...

    def options(self, card: dict[str, Any]) -> dict[str, Any]:
        """The ``options`` of modelport.yaml that say the same as a card."""
        ...


@runtime_checkable
class Accompanied(Protocol):
    """What a contract may have whose models do more than answer: those have ``beside`` in their details."""

    def beside(self, spec: ModelSpec) -> Callable[[], Any]:
        """What the model does in a process of its own for as long as it is served; in a worker."""
        ...
