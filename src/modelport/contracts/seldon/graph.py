"""A graph whose units live in this worker: one answer of all of them, or of one that is named."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

from modelport.contracts.seldon import arrays, foreign, graph_metadata
from modelport.contracts.seldon.asking import REMOTE, Stopped, timed
from modelport.contracts.seldon.branches import branch_of, listed, record, recorded
from modelport.contracts.seldon.handed import handed
from modelport.core import graph, jsontext
from modelport.core.call import Call, Outcome, Reply
from modelport.core.graph import Step, Together, UnitRaised, Walk
from modelport.core.model import Description, ModelSpec
from modelport.core.payload import Json, Payload, Table, Tensors
from modelport.core.statuses import UNIT
from modelport.errors import LoadError, MethodNotAllowed, ModelportError, ModelRejected, NotFound

PLATFORM = "seldon"
PREDICT, METADATA, GRAPH_METADATA = "predict", "metadata", "graph-metadata"


class GraphModel:
    """The units' components, and the walks among them."""

    def __init__(self, spec: ModelSpec, make: Callable[[ModelSpec], Any]) -> None:
        assert spec.graph is not None
        self._graph = spec.graph
        self._name = spec.options.get("predictor", spec.name)
        self._chance = random.Random().random  # of its own: components may seed the common one  # noqa: S311
        self._components = {unit: _loaded(unit, part, make) for unit, part in spec.graph.together.items()}
        self.description = self._describe()

    def _describe(self) -> Description:
        """What goes in is what the first unit takes that is asked anything."""
        models = {unit: component.description for unit, component in self._components.items()}
        asked = (unit.name for unit in self._graph.root.units() if unit.ask and unit.name in models)
        first = next(asked, None)
        columns = models[first].columns if first is not None else []
        inputs = models[first].inputs if first is not None else []
        return Description("table", PLATFORM, columns, inputs, also=["json", "tensors"])

    def call(self, payload: Payload, call: Call) -> Outcome:
        if call.unit == graph.ENTER:
            return self._entered(payload)
        if call.unit == graph.LEAVE:
            return self._left(jsontext.loads(call.headers[graph.ANSWER].encode()), payload)
        if call.unit:
            answered: Outcome = self._component(call.unit).call(payload, call)
            return answered
        own = payload if isinstance(payload, Json) and payload.origin == PLATFORM else None
        try:
            return self._answer(own.value, call) if own is not None else self._predict(payload, call)
        except Stopped as stopped:
            if own is not None:
                return _ended(stopped)
            text = f"{stopped.unit} answered with status {stopped.status}"
            raise ModelRejected("Stopped", text, stopped.status).of(stopped.unit) from None

    def _component(self, unit: str) -> Any:
        if unit not in self._components:
            raise NotFound(f"there is no unit {unit[:100]!r} here")
        return self._components[unit]

    def _answer(self, message: Any, call: Call) -> Outcome:
        root = self._graph.root
        verb, is_remote = call.verb.removeprefix(REMOTE), call.verb.startswith(REMOTE)
        if verb == METADATA and is_remote:
            return Outcome(extras={PLATFORM: graph_metadata.remote_model(message, self._models(call))})
        if verb == GRAPH_METADATA:
            told = graph_metadata.of_graph(self._name, root, self._models(call))
            return Outcome(extras={PLATFORM: graph_metadata.remote_graph(told) if is_remote else told})
        if verb == graph.RECALL:
            headers = [(graph.ROUTES, jsontext.dumps(recorded(message)).decode())]
            return Outcome(extras={PLATFORM: b"" if is_remote else {}, "headers": headers})
        if verb == graph.RECORD:
            return Outcome(extras={PLATFORM: record(message, jsontext.loads(call.headers[graph.ROUTES].encode()))})
        if verb == self._graph.learns:
            told = self._run(graph.learn(root, message, recorded(message)), call)
            return Outcome(extras={PLATFORM: b"" if is_remote and not root.learn else told})
        if verb != self._graph.answers:
            raise MethodNotAllowed(f"a graph does not {verb}", [self._graph.answers, self._graph.learns])
        return Outcome(extras={PLATFORM: self._predicted(message, call)})

    def _models(self, call: Call) -> dict[str, Any]:
        """What each model says of itself, in the order of the graph."""
        apart = jsontext.loads(call.headers.get(graph.PARTS, "{}").encode())
        models = {unit: component.description.details["metadata"] for unit, component in self._components.items()}
        models.update({unit: graph_metadata.of_part(told) for unit, told in apart.items()})
        return {unit.name: models[unit.name] for unit in self._graph.root.units() if unit.name in models}

    def _predicted(self, message: Any, call: Call) -> Any:
        routes: dict[str, int] = {}
        answer = self._run(graph.answer(self._graph.root, message, routes, self._chance), call)
        return record(answer, routes) if self._graph.records else answer

    def _predict(self, payload: Payload, call: Call) -> Outcome:
        """A call by another platform's protocol."""
        content = foreign.read(payload, self.description.columns)
        return self._left(self._predicted(arrays.message(content), call), payload)

    def _entered(self, payload: Payload) -> Outcome:
        """Another platform's request as a message, for who walks the graph from outside."""
        message = handed(arrays.message(foreign.read(payload, self.description.columns)), keeps_arrays=False)
        return Outcome(reply=Reply(200, [("content-type", "application/json")], json.dumps(message).encode()))

    def _left(self, message: Any, payload: Payload) -> Outcome:
        """A message as the answer to another platform's request."""
        answer = arrays.read(message)
        rows = len(payload) if isinstance(payload, (Table, Tensors)) else None
        numbered = [f"t:{at}" for at in range(len(answer.names))]  # what columns without names are called
        return foreign.write(answer.value, lambda: None if answer.names == numbered else answer.names, rows)

    # --- the driver of walks ---------------------------------------------------------------------------------

    def _run(self, walk: Walk, call: Call) -> Any:
        """What the walk returns."""
        result = None
        while True:
            try:
                asked = walk.send(result)
            except StopIteration as end:
                return end.value
            result = self._run_all(asked.walks, call) if isinstance(asked, Together) else self._ask(asked, call)

    def _run_all(self, walks: list[Walk], call: Call) -> list[Any]:
        """Each in a thread of its own, but for the first."""
        results: list[Any] = [None] * len(walks)
        faults: list[BaseException | None] = [None] * len(walks)

        def run(at: int) -> None:
            try:
                results[at] = self._run(walks[at], call)
            except BaseException as fault:
                faults[at] = fault

        threads = [threading.Thread(target=run, args=(at,), daemon=True) for at in range(1, len(walks))]
        for thread in threads:
            thread.start()
        run(0)
        for thread in threads:
            thread.join()
        for fault in faults:
            if fault is not None:
                raise fault
        return results

    def _ask(self, step: Step, call: Call) -> Any:
        """A unit's answer: a message, or the branch that it chose."""
        unit = step.unit.name
        component = self._component(unit)
        is_remote = call.verb.startswith(REMOTE)
        verb = f"{REMOTE}{step.verb}" if is_remote else step.verb
        try:
            with timed(unit, verb):
                if is_remote:
                    message = listed(step.message) if step.verb == step.unit.join else step.message
                else:
                    message = _handed(step.message, keeps_arrays=not component.takes_whole(verb))
                    if verb == PREDICT and component.description.details["passthrough"]:
                        message = json.dumps(message).encode()
                outcome = component.call(Json(message, PLATFORM), call._replace(verb=verb))
                if is_remote:
                    answer = outcome.extras[PLATFORM]
                else:
                    answer = handed(_message_of(unit, outcome, verb), keeps_arrays=True)
                return branch_of(answer) if step.verb == step.unit.route else answer
        except ModelportError as error:
            raise error.of(unit) from None
        except Stopped:
            raise
        except BaseException as fault:
            raise UnitRaised(unit, fault) from fault


def _handed(message: Any, keeps_arrays: bool) -> Any:
    if isinstance(message, list):
        return [handed(item, keeps_arrays) for item in message]
    return handed(message, keeps_arrays)


def _message_of(unit: str, outcome: Outcome, verb: str) -> Any:
    """The message that a component answered. Raises ``Stopped`` for one that is not to go on."""
    if outcome.reply is not None:
        if outcome.reply.status != 200:
            raise Stopped(unit, outcome, outcome.reply.status)
        return jsontext.loads(outcome.reply.body)
    message = outcome.extras[PLATFORM]
    if verb == PREDICT and isinstance(message, (bytes, bytearray, str)):  # the payload passes through
        return jsontext.loads(message)
    status = message.get("status") if isinstance(message, dict) and verb == PREDICT else None
    code = status.get("code") if isinstance(status, dict) else None
    if type(code) is int and 200 < code < 600:
        raise Stopped(unit, outcome, code)
    return message


def _ended(stopped: Stopped) -> Outcome:
    """The outcome of a walk that a unit has ended."""
    headers = [(UNIT, stopped.unit)]
    reply = stopped.outcome.reply
    if reply is not None:
        return Outcome(reply=reply._replace(headers=[*reply.headers, *headers]))
    return Outcome(extras={**stopped.outcome.extras, "headers": headers})


def _loaded(unit: str, spec: ModelSpec, make: Callable[[ModelSpec], Any]) -> Any:
    """The component of a unit. Raises ``LoadError`` naming the unit."""
    try:
        with _surroundings(spec):
            return make(spec)
    except ModelportError as error:
        raise LoadError(f"{unit}: {error.describe()}", error.hint, getattr(error, "traceback", "")) from None
    except Exception as fault:
        hint = f"install {fault.name!r} into {sys.executable}" if isinstance(fault, ModuleNotFoundError) else None
        raise LoadError(f"{unit}: {type(fault).__name__}: {fault}", hint, traceback.format_exc()) from None


@contextmanager
def _surroundings(spec: ModelSpec) -> Iterator[None]:
    """The folder and the variables that a component would have in a process of its own; the variables stay."""
    os.environ.update(spec.env)
    here = os.getcwd()
    os.chdir(spec.root)
    try:
        yield
    finally:
        os.chdir(here)
