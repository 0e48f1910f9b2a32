"""Receives calls, runs the model, sends answers; one call, or one batch that the model asked for, at a time."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from modelport.core import compression, frames, graph, measures
from modelport.core.batch import merge
from modelport.core.board import Board
from modelport.core.call import Call, Outcome, Reply
from modelport.core.contract import Model
from modelport.core.conversion import convert
from modelport.core.frames import Frame
from modelport.core.graph import UnitRaised
from modelport.core.model import ModelSpec
from modelport.core.payload import Payload, kind_of
from modelport.core.protocol import Codec
from modelport.core.telling import told
from modelport.errors import InvalidInput, InvalidOutput, ModelportError, ModelRaised
from modelport.worker import capture, imports
from modelport.worker.answers import Answers, begun
from modelport.worker.link import Link


class Asked(NamedTuple):
    """A decoded call."""

    call: Call
    codec: Codec
    payload: Payload
    memory: Any
    decoding: int
    """Nanoseconds that it took."""


class Loop:
    """``detail`` is how much of the model's own exceptions clients are told: "none", "type" or "message"."""

    def __init__(
        self, link: Link, spec: ModelSpec, model: Model, codecs: dict[str, Codec], board: Board, detail: str
    ) -> None:
        self._link = link
        self._answers = Answers(link, board)
        self._spec = spec
        self._model = model
        self._codecs = codecs
        self._board = board
        self._detail = detail
        self._received = 0

    def run(self) -> None:
        """Until the front hangs up."""
        while True:
            frame = self._link.receive()
            if frame is None:
                return
            self._received += 1 + frame.following
            if frame.following:
                batch: list[Frame] = [frame]
                for _ in range(frame.following):
                    more = self._link.receive()
                    if more is None:
                        return
                    batch.append(more)
                self._answer_batch(batch)
            elif self._board.is_revoked(self._received):
                self._answers.send([message(REVOKED)])
            else:
                self._answers.send([self._answer(frame)])

    def _answer(self, frame: Frame) -> Any:
        """One call, one reply message."""
        call = Call(*frame.meta)
        capture.current.request = call.id
        asked = self._decode(call, frame.body)
        return message(asked) if isinstance(asked, Reply) else self._run_one(asked)

    def _decode(self, call: Call, body: Any) -> Any:
        """``Asked``, or the ``Reply`` that says what is wrong with the request."""
        codec = self._codecs[call.protocol]
        begin = time.perf_counter_ns()
        try:
            encoding = call.headers.get("content-encoding")
            if encoding:
                body = compression.decompress(body, encoding, self._spec.limits.body)
            description = self._model.description
            payload, memory = codec.decode(call, body, self._spec, description)
            if kind_of(payload) not in description.also:
                payload = convert(payload, description.takes, description.columns, self._spec.limits.body)
            return Asked(call, codec, payload, memory, time.perf_counter_ns() - begin)
        except ModelportError as error:
            return codec.error(error, call.id)
        except Exception as fault:
            return codec.error(self._unexpected(fault), call.id)

    def _run_one(self, asked: Asked) -> Any:
        """The reply message of one decoded call."""
        try:
            outcome, nanoseconds = self._call(asked.payload, asked.call)
        except ModelportError as error:
            return message(asked.codec.error(error, asked.call.id))
        return self._encode(asked, outcome, nanoseconds)

    def _call(self, payload: Payload, call: Call) -> Any:
        """The outcome and the nanoseconds it took. Whatever user code raises becomes a ``ModelportError``."""
        begin = time.perf_counter_ns()
        try:
            outcome = self._model.call(payload, call)
            if outcome.reply is not None:
                outcome.reply = begun(outcome.reply)
        except ModelportError:
            raise
        except UnitRaised as one:
            capture.current.emit("error", f"{one.unit}: {imports.user_traceback(one.fault)}")
            raise raised(one.fault, self._detail).of(one.unit) from None
        except BaseException as fault:
            capture.current.emit("error", imports.user_traceback(fault))
            raise raised(fault, self._detail) from None
        finally:
            capture.settle()
        return outcome, time.perf_counter_ns() - begin

    def _encode(self, asked: Asked, outcome: Outcome, nanoseconds: int) -> Any:
        begin = time.perf_counter_ns()
        reply = outcome.reply
        carry = getattr(asked.codec, "carry", None) if asked.call.unit != graph.ENTER else None
        if reply is not None and carry is None:
            reply = reply._replace(headers=[*reply.headers, *asked.codec.marks])
        else:
            try:
                if reply is not None and carry is not None:
                    reply = carry(asked.call, asked.memory, reply, self._spec)
                else:
                    reply = asked.codec.encode(
                        asked.call, asked.memory, outcome, self._spec, self._model.description, nanoseconds / 1e9
                    )
            except ModelportError as error:
                reply = asked.codec.error(error, asked.call.id)
            except Exception as fault:  # what the model answered has no form that anybody foresaw
                capture.current.emit("error", imports.whole_traceback(fault))
                unwritten = InvalidOutput(f"the model's answer cannot be written ({type(fault).__name__})")
                reply = asked.codec.error(unwritten, asked.call.id)
        return message(reply, asked.decoding, nanoseconds, time.perf_counter_ns() - begin)

    def _answer_batch(self, batch: list[Frame]) -> None:
        messages: list[Any] = []
        asked: list[Asked] = []
        for frame in batch:
            decoded = self._decode(Call(*frame.meta), frame.body)
            if isinstance(decoded, Reply):
                messages.append(message(decoded))
            else:
                messages.append(None)
                asked.append(decoded)
        answers = iter(self._run_many(asked))
        self._answers.send([answer if answer is not None else next(answers) for answer in messages])

    def _run_many(self, asked: list[Asked]) -> list[Any]:
        """Calls the model once for all; one by one where that is not possible or went wrong."""
        merged = merge([item.payload for item in asked]) if len(asked) > 1 else None
        if merged is not None:
            capture.current.request = ",".join(item.call.id for item in asked[:4])
            try:
                outcome, nanoseconds = self._call(merged.payload, asked[0].call._replace(headers={}))
                if outcome.predictions is not None:
                    share = nanoseconds // len(asked)
                    parts = outcome.split(merged.rows)
                    return [self._encode(item, part, share) for item, part in zip(asked, parts)]
            except ModelportError:
                pass
            measures.reported.clear()  # each will be measured again
        answers = []
        for item in asked:
            capture.current.request = item.call.id
            answers.append(self._run_one(item))
        return answers

    def _unexpected(self, fault: Exception) -> ModelportError:
        """A defect of ours, or input that no check foresaw: logged in full, told in one line."""
        capture.current.emit("error", imports.whole_traceback(fault))
        if isinstance(fault, (ValueError, TypeError, KeyError, RecursionError, OverflowError)):
            return InvalidInput("the request could not be understood")
        return ModelportError("internal error")


REVOKED = Reply(499, [], b"", "cancelled")
"""The answer to a call that nobody waits for any more; it goes no further than the front."""

HIDDEN = "the model failed; the server's log says more under this request's id"


def raised(fault: BaseException, detail: str) -> ModelRaised:
    """An exception of the model, as clients are told of it."""
    try:
        text = str(fault)
    except Exception:  # even that is user code
        text = ""
    return ModelRaised(*told(type(fault).__name__, text, detail, HIDDEN))


def message(reply: Reply, *nanoseconds: int) -> Any:
    """What goes to the front: the reply, the time spent decoding, in the model, and encoding, and what was measured."""
    meta = [reply.status, reply.headers, reply.code, nanoseconds]
    if measures.reported:
        meta.append(measures.taken())
    return frames.REPLY, meta, reply.body
