"""Small requests that would take gigabytes of memory, or minutes: they are refused, and the next is served."""

from __future__ import annotations

import gzip
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import ipc

from tests.harness import Answer, Running, predictor, regression, serving, write_service
from tests.platforms.drum.folders import write_folder

SCORE = """
    import pandas as pd

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": [1.0] * len(data)})
    """
UNSTRUCTURED = """
    def load_model(code_dir):
        return "a model"

    def score_unstructured(model, data, **kwargs):
        return data
    """
ARROW = "application/vnd.apache.arrow.stream"
LIMIT = 8 << 20
MEMORY = 600 << 20
"""What the refusals may take, in bytes; before there was a bound it was gigabytes."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("amplification")
    alone = write_folder(place / "alone", SCORE, modelport__yaml="target: regression\n")
    batched = write_folder(place / "batched", SCORE, modelport__yaml="target: regression\nbatching: {maxRequests: 8}\n")
    text = write_folder(place / "text", UNSTRUCTURED, modelport__yaml="target: unstructured\n")
    service = write_service(
        place / "svc", regression(), code={"predictor.py": predictor("return pd.Series([1.0] * len(features_df))")}
    )
    with serving(alone, batched, text, service, "--max-body", LIMIT) as running:
        yield running


def peak(server: Running) -> int:
    """The most memory that any worker has had, in bytes."""
    peaks = []
    for worker in server.workers():
        status = Path(f"/proc/{worker.pid}/status").read_text()
        peaks.append(int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) << 10)
    return max(peaks)


def nulls() -> bytes:
    table = pa.table({str(number): pa.nulls(1_000_000) for number in range(500)})
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def short_rows(columns: int, rows: int) -> bytes:
    return b",".join(b"c%d" % number for number in range(columns)) + b"\n" + b"1\n" * rows


def uneven(rows: int) -> list[dict[str, int]]:
    return [{f"key {number}": 1} for number in range(rows)]


BODIES = {
    "csv": ("text/csv", short_rows(1000, 500_000)),
    "csv of quoted names": ("text/csv", b'"\n",' + short_rows(1000, 500_000)),
    "json": ("application/json", json.dumps(uneven(20_000)).encode()),
    "arrow": (ARROW, nulls()),
    "matrix": ("text/mtx", b"%%MatrixMarket matrix coordinate real general\n1000000 90000 1\n1 1 1.0\n"),
}


@pytest.mark.parametrize("model", ["alone", "batched"])
@pytest.mark.parametrize("kind", BODIES)
def test_bodies_that_claim_far_more_cells_than_they_have_bytes(server: Running, model: str, kind: str) -> None:
    media_type, body = BODIES[kind]
    before = peak(server)
    answer = server.post(f"/drum/{model}/predict/", body, headers={"Content-Type": media_type}, timeout=60)
    assert answer.status == 413, answer.body
    assert peak(server) - before < MEMORY
    assert server.post(f"/drum/{model}/predict/", b"a\n1\n").json() == {"predictions": [1.0]}


def test_records_that_share_no_names(server: Running) -> None:
    before = peak(server)
    items = {"items": [{"features": record} for record in uneven(20_000)]}
    answer = server.post("/public/api/v1/svc/ep/predict-multi", items, timeout=60)
    assert answer.status == 413, answer.body
    assert peak(server) - before < MEMORY
    items = {"items": [{"features": record} for record in uneven(3)]}
    assert len(server.post("/public/api/v1/svc/ep/predict-multi", items).json()["results"]) == 3


@pytest.mark.parametrize("model", ["alone", "batched"])
def test_a_compressed_body_unfolds_to_the_servers_limit_at_most(server: Running, model: str) -> None:
    def ask(rows: int) -> Answer:
        body = gzip.compress(b"a\n" + b"1\n" * rows)
        return server.post(f"/drum/{model}/predict/", body, headers={"Content-Type": "text/csv"}, timeout=60)

    assert ask(1000).status == 200
    answer = ask(LIMIT)
    assert answer.status == 413
    assert f"over {LIMIT} bytes" in answer.json()["message"]


@pytest.mark.parametrize("charset", ["punycode", "idna", "undefined", "unicode_escape", "raw_unicode_escape", "base64"])
def test_codecs_that_are_no_charsets(server: Running, charset: str) -> None:
    begin = time.monotonic()
    for path in ("/drum/text/predictUnstructured/", "/drum/alone/predict/"):
        headers = {"Content-Type": f"text/plain; charset={charset}"}
        answer = server.post(path, b"-" + b"a" * 500_000, headers=headers, timeout=60)
        assert answer.status == 422
        assert f"charset '{charset}' is not known" in answer.json()["message"]
    assert time.monotonic() - begin < 5


def test_forms_that_are_nothing_but_boundaries(server: Running) -> None:
    begin = time.monotonic()
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (b"x" + b"--b" * 2_000_000, b"x" + b"\r\n--bx" * 1_000_000):
        answer = server.post("/drum/alone/predict/", body, headers=headers, timeout=60)
        assert answer.status == 400
    assert time.monotonic() - begin < 5
