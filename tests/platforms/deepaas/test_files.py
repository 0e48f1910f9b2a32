"""Files among the arguments: on disk while the model runs, and gone afterwards."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Running, serving, until
from tests.platforms.deepaas.conftest import RUN
from tests.platforms.deepaas.replay import multipart

MODEL = """
import os, time
from webargs import fields
from deepaas.model.v2.wrapper import UploadedFile

FILE = {"type": "file", "location": "form"}


def get_predict_args():
    return {
        "data": fields.Raw(required=True, metadata=FILE),
        "many": fields.List(fields.Raw(), metadata=FILE),
        "how": fields.Str(load_default="tell"),
        "url": fields.Url(load_default=None),
        "accept": fields.Str(load_default="application/json"),
    }


def told(file):
    assert isinstance(file, UploadedFile)
    with open(file.filename, "rb") as opened:
        size = len(opened.read())
    return {"path": file.filename, "size": size, "called": file.original_filename, "type": file.content_type}


def pieces(path):
    with open(path, "rb") as opened:
        while piece := opened.read(100_000):
            yield piece


def predict(data, how, url, accept, many=()):
    if how == "raise":
        raise ValueError(data.filename)
    if how == "hang":
        print("hangs on", data.filename, flush=True)
        time.sleep(60)
    if how == "move":
        os.replace(data.filename, data.filename + ".moved")
    if how == "back":
        return open(data.filename, "rb")
    if how == "stream":
        return pieces(data.filename)
    return {**told(data), "many": [told(file)["called"] for file in many], "url": url}
"""
PATH = "/v2/models/m/predict/"
BYTES = "application/octet-stream"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A model that tells of its files; its temporary files are in ``tmp``."""
    folder = tmp_path_factory.mktemp("files") / "m"
    (folder / "tmp").mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    (folder / "setup.py").write_text(
        'from setuptools import setup\n\nsetup(name="m", entry_points={"deepaas.v2.model": ["m = model"]})\n'
    )
    env = {"TMPDIR": str(folder / "tmp")}
    with serving(folder, "--client-max-size", 8 << 20, verb=RUN, env=env) as running:
        running.temporary = folder / "tmp"  # type: ignore[attr-defined]
        yield running


def left(server: Running) -> list[Path]:
    """The files that are there now."""
    return files_in(server.temporary)  # type: ignore[attr-defined]


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


def ask(
    server: Running, how: str = "tell", data: bytes = b"hello", accept: str = "application/json"
) -> tuple[int, bytes]:
    part = {"name": "data", "filename": "a.bin", "content_type": "image/png", "data": data}
    body, headers = multipart(part)
    answer = server.post(f"{PATH}?how={how}&accept={accept}", body, headers=headers)
    return answer.status, answer.body


def test_a_file_is_there_while_the_model_runs_and_not_longer(server: Running) -> None:
    body, headers = multipart(
        {"name": "data", "filename": "dir/a b.bin", "content_type": "image/png", "data": b"hello"}
    )
    told = server.post(PATH, body, headers=headers).json()["predictions"]
    assert (told["size"], told["called"], told["type"]) == (5, "dir/a b.bin", "image/png")
    assert Path(told["path"]).is_absolute()
    assert not Path(told["path"]).exists()
    assert left(server) == []


def test_it_goes_also_when_the_model_fails(server: Running) -> None:
    status, _ = ask(server, "raise")
    assert status == 500
    assert left(server) == []


def test_it_may_have_been_moved(server: Running) -> None:
    status, body = ask(server, "move")
    assert (status, b"No such file" in body) == (500, True)
    assert left(server) == []


def test_it_goes_with_its_worker(server: Running) -> None:
    """Also one that is killed in the middle."""
    (worker,) = server.workers()
    logs = len(server.logs)
    thread = threading.Thread(target=ask, args=(server, "hang"))
    thread.start()
    until(lambda: any("hangs on" in line["message"] for line in server.logs[logs:]), what="the model to hang")
    assert len(left(server)) == 1
    os.kill(worker.pid, signal.SIGKILL)
    thread.join(20)
    until(lambda: left(server) == [], what="the file to go")


def test_it_goes_with_the_next_server(tmp_path: Path, server: Running) -> None:
    """What a killed one left; what a living one has stays."""
    folder = server.temporary.parent  # type: ignore[attr-defined]
    env = {"TMPDIR": str(tmp_path)}
    with serving(folder, verb=RUN, env=env) as first:
        thread = threading.Thread(target=ignoring_the_end, args=(first,))
        thread.start()
        until(lambda: files_in(tmp_path), what="the file")
        os.kill(first.pid, signal.SIGKILL)
        thread.join(20)
    assert len(files_in(tmp_path)) == 1
    with serving(folder, verb=RUN, env=env) as second:
        assert files_in(tmp_path) == []
        with serving(folder, verb=RUN, env=env) as third:
            assert len(list(tmp_path.glob("modelport-*"))) == 2
            assert third.stop() == 0
        assert ask(second)[0] == 200
        assert second.stop() == 0
    assert list(tmp_path.glob("modelport-*/*")) == []


def ignoring_the_end(server: Running) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        ask(server, "hang")


def test_a_large_one_costs_no_memory(server: Running) -> None:
    size = 7 << 20
    status, body = ask(server, data=bytes(size))
    assert status == 200
    assert b'"size":%d' % size in body


def test_one_that_is_too_large(server: Running) -> None:
    status, body = ask(server, data=bytes(9 << 20))
    assert (status, body) == (413, b"Maximum request body size 8388608 exceeded.")
    assert left(server) == []


def test_a_file_comes_back(server: Running) -> None:
    data = bytes(range(256)) * 8000
    for how in ("back", "stream"):
        assert ask(server, how, data, accept=BYTES) == (200, data)
    assert left(server) == []


def test_several_files_of_one_argument(server: Running) -> None:
    parts = [{"name": "many", "filename": name, "text": name} for name in ("a.txt", "b.txt")]
    body, headers = multipart({"name": "data", "filename": "x", "text": "x"}, *parts)
    assert server.post(PATH, body, headers=headers).json()["predictions"]["many"] == ["a.txt", "b.txt"]


def test_an_address_is_text(server: Running) -> None:
    """Nothing fetches it but the model."""
    body, headers = multipart(
        {"name": "data", "filename": "x", "text": "x"}, {"name": "url", "text": "http://127.0.0.1:1/never"}
    )
    assert server.post(PATH, body, headers=headers).json()["predictions"]["url"] == "http://127.0.0.1:1/never"


def test_a_form_left_empty(server: Running) -> None:
    """As some forms send it: no boundary, no body."""
    answer = server.post(PATH, headers={"Content-Type": "multipart/form-data"})
    assert (answer.status, answer.json()) == (422, {"data": ["Missing data for required field."]})


@pytest.mark.parametrize("body", [b"no parts", b"--modelport\r\n", b"--modelport\r\nX\r\n\r\n--modelport--\r\n"])
def test_a_broken_form(server: Running, body: bytes) -> None:
    answer = server.post(PATH, body, headers={"Content-Type": "multipart/form-data; boundary=modelport"})
    assert answer.status == 400
    assert answer.body.startswith(b"400: ")


def test_files_by_another_protocol(server: Running) -> None:
    """Bytes for an argument that takes a file become one."""
    asked = {"inputs": [{"name": "data", "datatype": "BYTES", "shape": [1], "data": ["hello"]}]}
    answer = server.post("/oip/v2/models/m/infer", asked)
    assert answer.status == 200, answer.body
    assert '"size":5' in answer.json()["outputs"][0]["data"][0]
    assert left(server) == []
