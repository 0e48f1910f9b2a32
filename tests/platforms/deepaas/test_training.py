"""Trainings: beside predictions, one after the other, cancelled at any time, and remembered."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.harness import Answer, Running, serving, until
from tests.platforms.deepaas.conftest import RUN
from tests.platforms.deepaas.replay import multipart

MODEL = """
import os, sys, time
from webargs import fields


def get_predict_args():
    return {"q": fields.Int(load_default=1)}


def predict(q):
    return q + 1


def get_train_args():
    return {
        "what": fields.Str(load_default="nothing"),
        "gate": fields.Str(load_default=None, allow_none=True),
        "data": fields.Raw(metadata={"type": "file", "location": "form"}),
    }


def train(what, gate, data=None):
    print("training in", os.getpid(), flush=True)
    if what == "print":
        line = "x" * 999
        for _ in range(100_000):
            print(line)
        time.sleep(1.5)
        print("the last line")
    if what == "much":
        return "x" * (1 << 20)
    if what == "raise":
        raise RuntimeError("it broke")
    if what == "exit":
        sys.exit(3)
    while gate and not os.path.exists(gate):
        time.sleep(0.02)
    if data is not None:
        with open(data.filename) as file:
            return [data.original_filename, file.read()]
    return {"what": what, "pid": os.getpid()}
"""
PATH = "/v2/models/m/train/"

Package = Callable[..., Path]


class Trainings:
    """A server's, of its model "m"."""

    def __init__(self, server: Running) -> None:
        self.server = server

    def start(self, **arguments: str) -> str:
        answer = self.server.post(f"{PATH}?{'&'.join(f'{name}={value}' for name, value in arguments.items())}")
        assert answer.status == 200, answer.body
        assert answer.json()["status"] == "running"
        return str(answer.json()["uuid"])

    def get(self, uuid: str) -> dict[str, Any]:
        answer = self.server.get(f"{PATH}{uuid}")
        assert answer.status == 200, answer.body
        told: dict[str, Any] = answer.json()
        return told

    def ended(self, uuid: str) -> dict[str, Any]:
        def told() -> dict[str, Any] | None:
            training = self.get(uuid)
            return training if training["status"] != "running" else None

        found: dict[str, Any] = until(told, what="the training to end")
        return found

    def output(self, uuid: str) -> str:
        answer = self.server.get(f"{PATH}{uuid}/output")
        assert answer.status == 200
        return answer.body.decode()

    def pid(self, uuid: str) -> int:
        """The process in which it runs, as it printed that."""
        line = until(lambda: next(iter(self.output(uuid).splitlines()), None), what="the training to begin")
        return int(line.split()[-1])

    def cancel(self, uuid: str) -> Answer:
        return self.server.request("DELETE", f"{PATH}{uuid}")


@contextlib.contextmanager
def running(folder: Path, state: Path, *more: Any) -> Iterator[Trainings]:
    with serving(folder, *more, verb=RUN, env={"MODELPORT_STATE_DIR": str(state)}) as server:
        yield Trainings(server)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    """A server for all tests that leave it as it was."""
    place = tmp_path_factory.mktemp("training")
    folder = write(place)
    with running(folder, place / "state") as trainings:
        yield trainings


def write(place: Path) -> Path:
    folder = place / "m"
    folder.mkdir()
    (folder / "model.py").write_text(MODEL)
    (folder / "setup.cfg").write_text("[options.entry_points]\ndeepaas.v2.model =\n    m = model\n")
    return folder


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_training_blocks_no_prediction(shared: Trainings, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    uuid = shared.start(gate=str(gate))
    trainer = shared.pid(uuid)
    assert shared.server.post("/v2/models/m/predict/?q=4", timeout=5).json() == {"status": "OK", "predictions": 5}
    assert shared.get(uuid)["status"] == "running"
    gate.touch()
    told = shared.ended(uuid)
    assert told["status"] == "done"
    assert told["result"]["output"] == {"what": "nothing", "pid": trainer}
    until(lambda: is_gone(trainer), what="the training's process to leave")


def test_one_runs_and_the_others_wait(shared: Trainings, tmp_path: Path) -> None:
    gates = [tmp_path / "first", tmp_path / "second"]
    first, second = (shared.start(gate=str(gate)) for gate in gates)
    shared.pid(first)
    gates[1].touch()
    counted = {labels["state"]: value for labels, value in shared.server.metrics("modelport_tasks")}
    assert counted == {"running": 1, "waiting": 1}
    assert shared.output(second) == ""
    assert shared.get(second)["status"] == "running"
    gates[0].touch()
    assert shared.ended(first)["status"] == shared.ended(second)["status"] == "done"


def test_a_running_one_is_cancelled(shared: Trainings, tmp_path: Path) -> None:
    uuid = shared.start(gate=str(tmp_path / "never"))
    pid = shared.pid(uuid)
    answer = shared.cancel(uuid)
    assert (answer.status, answer.json()["status"]) == (200, "cancelled")
    assert shared.server.get(f"{PATH}{uuid}").status == 404
    until(lambda: is_gone(pid), what="the process to be killed")
    assert shared.ended(shared.start())["status"] == "done"


def test_a_waiting_one_is_cancelled(shared: Trainings, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = shared.start(gate=str(gate))
    shared.pid(first)
    second = shared.start(gate=str(tmp_path / "never"))
    answer = shared.cancel(second)
    assert (answer.status, answer.json()["status"]) == (200, "cancelled")
    assert shared.cancel(second).status == 404
    gate.touch()
    assert shared.ended(first)["status"] == "done"


def test_one_is_cancelled_before_its_process_is_up(shared: Trainings, tmp_path: Path) -> None:
    before = set(shared.server.workers())
    assert shared.cancel(shared.start(gate=str(tmp_path / "never"))).json()["status"] == "cancelled"
    until(lambda: set(shared.server.workers()) <= before, what="its process to end")
    assert shared.ended(shared.start())["status"] == "done"


def test_what_it_raises_is_its_message(shared: Trainings) -> None:
    uuid = shared.start(what="raise")
    told = shared.ended(uuid)
    assert (told["status"], told["message"]) == ("error", "it broke")
    assert 'raise RuntimeError("it broke")' in shared.output(uuid)
    assert 'File "<path>", line' in shared.output(uuid)
    until(lambda: any('model.py", line' in line["message"] for line in shared.server.logs), what="the log")


def test_what_it_raises_may_be_kept_back(tmp_path: Path) -> None:
    with running(write(tmp_path), tmp_path / "state", "--error-detail", "none") as trainings:
        uuid = trainings.start(what="raise")
        told = trainings.ended(uuid)
        assert (told["status"], told["message"]) == ("error", "the task failed; the server's log says more")
        assert "broke" not in trainings.output(uuid)
        until(lambda: any("it broke" in line["message"] for line in trainings.server.logs), what="the log")


def test_leaving_is_an_error(shared: Trainings) -> None:
    assert shared.ended(shared.start(what="exit"))["status"] == "error"


def test_a_killed_process_is_an_error(shared: Trainings, tmp_path: Path) -> None:
    uuid = shared.start(gate=str(tmp_path / "never"))
    os.kill(shared.pid(uuid), signal.SIGKILL)
    told = shared.ended(uuid)
    assert (told["status"], told["message"]) == ("error", "its process ended (SIGKILL)")
    assert shared.ended(shared.start())["status"] == "done"


def test_its_files_reach_it(shared: Trainings) -> None:
    body, headers = multipart({"name": "data", "filename": "a.csv", "text": "1,2"})
    answer = shared.server.post(PATH, body, headers=headers)
    assert answer.json()["args"]["data"] == ["data", "application/octet-stream", "a.csv"]
    assert shared.ended(answer.json()["uuid"])["result"]["output"] == ["a.csv", "1,2"]


def test_what_is_too_large_to_be_remembered(shared: Trainings) -> None:
    answer = shared.server.post(PATH, {"what": "x" * (1 << 20)}, headers={"Content-Type": "application/json"})
    assert answer.status == 413
    told = shared.ended(shared.start(what="much"))
    assert (told["status"], "at most 1048576 are kept" in told["message"]) == ("error", True)


def test_bad_arguments_begin_nothing(shared: Trainings) -> None:
    before = shared.server.get(PATH).json()
    answer = shared.server.post(PATH, b'{"what": 3}', headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json()) == (422, {"what": ["Not a valid string."]})
    assert shared.server.get(PATH).json() == before


def test_output_without_end(shared: Trainings) -> None:
    """100 MB: the front stays small and answers, and what was left out is told."""
    front = psutil.Process(shared.server.pid)
    before = front.memory_info().rss
    uuid = shared.start(what="print")
    shared.pid(uuid)
    begin = time.monotonic()
    assert shared.server.post("/v2/models/m/predict/?q=1").status == 200
    assert time.monotonic() - begin < 5
    told = until(lambda: shared.get(uuid)["status"] == "done", 90, "the training to end")
    assert told
    text = shared.output(uuid)
    assert "bytes of output" in text
    assert text.rstrip().endswith("the last line")
    assert 100_000 < len(text) < 9 << 20
    assert front.memory_info().rss - before < 50 << 20


def test_the_history_outlasts_the_server(tmp_path: Path) -> None:
    folder, state = write(tmp_path), tmp_path / "state"
    with running(folder, state) as first:
        done = first.start()
        told = first.ended(done)
        stopped = first.start(gate=str(tmp_path / "never"))
        waiting = first.start(gate=str(tmp_path / "never"))
        pid = first.pid(stopped)
        assert first.server.stop() == 0
        assert is_gone(pid)
    with running(folder, state) as second:
        assert second.get(done) == told
        assert "training in" in second.output(done)
        for uuid in (stopped, waiting):
            found = second.get(uuid)
            assert (found["status"], found["message"]) == ("error", "the server stopped before the task had ended")
        assert [one["uuid"] for one in second.server.get(PATH).json()] == [done, stopped, waiting]
        assert second.cancel(done).json() == told
    with running(folder, state) as third:
        assert [one["uuid"] for one in third.server.get(PATH).json()] == [stopped, waiting]


def test_a_server_that_is_killed_leaves_no_training_running(tmp_path: Path) -> None:
    folder, state = write(tmp_path), tmp_path / "state"
    with running(folder, state) as first:
        uuid = first.start(gate=str(tmp_path / "never"))
        pid = first.pid(uuid)
        os.kill(first.server.pid, signal.SIGKILL)
        until(lambda: is_gone(pid), what="the training's process to end with the server")
    with running(folder, state) as second:
        told = second.get(uuid)
        assert (told["status"], told["message"]) == ("error", "the server ended before the task did")


def test_servers_that_share_a_history_leave_each_other_alone(tmp_path: Path) -> None:
    folder, state = write(tmp_path), tmp_path / "state"
    gate = tmp_path / "gate"
    with running(folder, state) as first:
        uuid = first.start(gate=str(gate))
        first.pid(uuid)
        with running(folder, state) as second:
            assert second.get(uuid)["status"] == "running"
            gate.touch()
            assert first.ended(uuid) == second.ended(uuid)


def test_a_history_that_cannot_be_kept(tmp_path: Path) -> None:
    state = tmp_path / "file"
    state.write_text("no folder")
    with running(write(tmp_path), state) as trainings:
        assert trainings.ended(trainings.start())["status"] == "done"
        assert any("forgotten" in line for line in trainings.server.raw_logs)


def test_the_line_has_an_end(tmp_path: Path) -> None:
    with running(write(tmp_path), tmp_path / "state") as trainings:
        gate = str(tmp_path / "never")
        for _ in range(101):
            trainings.start(gate=gate)
        answer = trainings.server.post(f"{PATH}?gate={gate}")
        assert answer.status == 503
        assert "retry-after" in answer.headers


def test_trainings_are_behind_the_key(tmp_path: Path) -> None:
    with running(write(tmp_path), tmp_path / "state", "--api-key", "secret") as trainings:
        server, key = trainings.server, {"Authorization": "Bearer secret"}
        uuid = server.post(PATH, headers=key).json()["uuid"]
        places = (("POST", PATH), ("GET", PATH), ("GET", PATH + uuid), ("GET", f"{PATH}{uuid}/output"))
        for method, path in (*places, ("DELETE", PATH + uuid)):
            assert server.request(method, path).status == 401
        assert server.request("DELETE", PATH + uuid, headers=key).status == 200
