"""What clients of DRUM's model server get: every route, every kind of body, every error."""

from __future__ import annotations

import gzip
import io
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pytest
import requests

from tests.faults.tools import later
from tests.harness import Answer, Running, function, launch, predictor, regression, serving, until, write_service
from tests.platforms.drum import zoo
from tests.platforms.drum.folders import write_folder

ROWS = "x,y\n0.25,a\n1.0,b\n"
CSV = {"Content-Type": "text/csv"}
WANTS_CSV = {**CSV, "Accept": "text/csv"}
READS = ["/", "/ping/", "/health/", "/info/", "/stats/", "/capabilities/"]
LEVELS = ["low", "mid, or so", 'so-called "high"']


def predict(server: Running, model: str, body: str | bytes = ROWS, verb: str = "predict", **headers: str) -> Answer:
    data = body.encode() if isinstance(body, str) else body
    return server.post(f"/drum/{model}/{verb}/", data, headers={**CSV, **headers})


def told(answer: Answer, status: int) -> str:
    """The text of an error, which must have this status and DRUM's form."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert list(content) == ["message"]
    assert content["message"].startswith("ERROR: ")
    assert "Traceback" not in content["message"]
    return content["message"].removeprefix("ERROR: ")


# --- structured answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["double", "strange"])
def test_numbers_are_answered_for_regression_and_anomaly(models: Running, model: str) -> None:
    assert predict(models, model).json() == {"predictions": [0.5, 2.0]}


def test_an_object_of_label_to_probability_is_answered_for_classifications(models: Running) -> None:
    assert predict(models, "yesno").json() == {"predictions": [{"no": 0.75, "yes": 0.25}, {"no": 0.0, "yes": 1.0}]}
    answer = predict(models, "levels", "x\n0.5\n")
    assert answer.json() == {"predictions": [dict(zip(LEVELS, [0.5, 0.25, 0.25], strict=True))]}
    assert list(answer.json()["predictions"][0]) == LEVELS


def test_text_is_answered_under_the_name_of_the_target(models: Running) -> None:
    answer = predict(models, "talk", 'x,y\n1,"say ""é"", please"\n2,b\n')
    assert answer.json() == {"predictions": [{"reply": 'you said say "é", please'}, {"reply": "you said b"}]}


@pytest.mark.parametrize("verb", ["transform", "predict"])
def test_transformed_rows_are_answered_column_by_column(models: Running, verb: str) -> None:
    answer = predict(models, "clean", "x,y\n,a\n2.5,\n", verb)
    assert answer.json() == {
        "predictions": [
            {"x": 0.0, "said": "A", "odd, name": False},
            {"x": 2.5, "said": None, "odd, name": True},
        ]
    }


def test_a_missing_number_is_null(models: Running) -> None:
    assert predict(models, "double", "x,y\n,a\n2,b\n").json() == {"predictions": [None, 4.0]}


@pytest.mark.parametrize("path", ["/predict/", "/predict", "/predictions/", "/predictions"])
def test_each_spelling_of_the_route_answers(models: Running, path: str) -> None:
    assert models.post(f"/drum/double{path}", ROWS.encode(), headers=CSV).json() == {"predictions": [0.5, 2.0]}


@pytest.mark.parametrize(
    ("model", "rows", "wanted"),
    [
        ("double", ROWS, "Predictions\n0.5\n2.0\n"),
        ("double", "x,y\n,a\n2,b\n", 'Predictions\n""\n4.0\n'),
        ("yesno", ROWS, "no,yes\n0.75,0.25\n0.0,1.0\n"),
        ("talk", 'x,y\n1,"say ""é"", please"\n2,b\n', 'reply\n"you said say ""é"", please"\nyou said b\n'),
        ("clean", "x,y\n,a\n2.5,\n", 'x,said,"odd, name"\n0.0,A,False\n2.5,,True\n'),
    ],
)
def test_csv_is_answered_to_who_asks_for_it(models: Running, model: str, rows: str, wanted: str) -> None:
    answer = predict(models, model, rows, Accept="text/csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.body.decode() == wanted


def test_labels_are_quoted_where_csv_needs_it(models: Running) -> None:
    head = predict(models, "levels", "x\n0.5\n", Accept="text/csv").body.decode().splitlines()[0]
    assert head == 'low,"mid, or so","so-called ""high"""'


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv"),
        ("TEXT/CSV;q=0.9, application/json;q=0.5", "text/csv"),
        ("text/*", "text/csv"),
        ("application/json, text/csv", "application/json"),
        ("text/csv;q=0.1, */*", "application/json"),
        ("text/csv;q=0", "application/json"),
        ("text/csv;q=much", "application/json"),
        ("*/*", "application/json"),
        ("application/xml", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("", "application/json"),
    ],
)
def test_accept_decides_between_json_and_csv(models: Running, accept: str, kind: str) -> None:
    assert predict(models, "double", Accept=accept).headers["content-type"].partition(";")[0] == kind


# --- structured bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["X", "file", "data"])
def test_a_file_is_taken_from_a_form_under_any_name(models: Running, name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(ROWS)
    with file.open("rb") as rows:
        answer = requests.post(f"{models.base}/drum/double/predict/", files={name: rows}, timeout=30)
    assert answer.json() == {"predictions": [0.5, 2.0]}


def test_the_field_x_goes_before_other_files(models: Running) -> None:
    files = {"other": ("b.csv", "x\n5\n"), "X": ("a.csv", ROWS, "text/csv"), "more": ("c.csv", "x\n6\n")}
    answer = requests.post(f"{models.base}/drum/double/predict/", files=files, data={"note": "hello"}, timeout=30)
    assert answer.json() == {"predictions": [0.5, 2.0]}


def test_the_field_x_need_be_no_file(models: Running) -> None:
    form = {"X": (None, ROWS)}
    answer = requests.post(f"{models.base}/drum/double/predict/", files=form, timeout=30)
    assert answer.json() == {"predictions": [0.5, 2.0]}


def test_the_charset_of_a_part_counts(models: Running) -> None:
    files = {"X": ("a.csv", "x,y\n1,é\n".encode("latin-1"), "text/csv; charset=latin-1")}
    answer = requests.post(f"{models.base}/drum/talk/predict/", files=files, timeout=30)
    assert answer.json() == {"predictions": [{"reply": "you said é"}]}


@pytest.mark.parametrize(
    "files",
    [
        {"one": ("a.csv", ROWS), "two": ("b.csv", ROWS)},
        {"one": (None, ROWS), "two": (None, ROWS)},
    ],
)
def test_a_form_without_a_clear_choice_is_told_its_parts(models: Running, files: Any) -> None:
    answer = requests.post(f"{models.base}/drum/double/predict/", files=files, timeout=30)
    assert answer.status_code == 422
    assert "'one', 'two'" in answer.json()["message"]
    assert "'X'" in answer.json()["message"]


def test_a_form_that_cannot_be_taken_apart_is_a_bad_request(models: Running) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    assert "boundary" in told(models.post("/drum/double/predict/", ROWS.encode(), headers=headers), 400)
    told(models.post("/drum/double/predict/", ROWS.encode(), headers={"Content-Type": "multipart/form-data"}), 400)


@pytest.mark.parametrize(
    "given",
    [None, "", "application/octet-stream", "application/x-www-form-urlencoded", "text/csv; charset=utf8"],
)
def test_a_body_of_no_known_type_is_taken_for_csv(models: Running, given: str | None) -> None:
    """curl says of ``--data-binary`` that it is a form."""
    headers = {} if given is None else {"Content-Type": given}
    answer = models.post("/drum/double/predict/", ROWS.encode(), headers=headers)
    assert answer.json() == {"predictions": [0.5, 2.0]}


def test_arrow_and_json_are_taken_by_their_content_type(models: Running) -> None:
    table = pyarrow.table({"x": [0.25, 1.0], "y": ["a", "b"]})
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    for kind, body in (
        ("application/vnd.apache.arrow.stream", sink.getvalue()),
        ("application/json", json.dumps(table.to_pylist()).encode()),
    ):
        answer = models.post("/drum/double/predict/", body, headers={"Content-Type": kind})
        assert answer.json() == {"predictions": [0.5, 2.0]}


def test_the_charset_of_the_body_counts(models: Running) -> None:
    headers = {"Content-Type": 'text/csv; header=present; CharSet="latin-1"'}
    answer = models.post("/drum/talk/predict/", "x,y\n1,é\n".encode("latin-1"), headers=headers)
    assert answer.json() == {"predictions": [{"reply": "you said é"}]}


def test_a_body_may_be_compressed(models: Running) -> None:
    answer = predict(models, "double", gzip.compress(ROWS.encode()), **{"Content-Encoding": "gzip"})
    assert answer.json() == {"predictions": [0.5, 2.0]}


@pytest.mark.parametrize("as_form", [False, True])
def test_a_large_body_is_answered_in_full(models: Running, as_form: bool) -> None:
    count = 150_000
    rows = "x,y\n" + "".join(f"{number}.5,row\n" for number in range(100, 100 + count))
    assert len(rows) > 1 << 20
    url = f"{models.base}/drum/double/predict/"
    if as_form:
        answer = requests.post(url, files={"X": ("a.csv", rows)}, timeout=60)
    else:
        answer = requests.post(url, rows.encode(), headers=CSV, timeout=60)
    assert answer.json()["predictions"] == [number * 2 + 1.0 for number in range(100, 100 + count)]


def test_an_empty_body_holds_no_rows(models: Running) -> None:
    assert "empty" in told(predict(models, "double", ""), 422)


ODD = """
import pandas as pd

def score(data, model, **kwargs):
    told = f"{data.columns.name} {list(data.columns)}"
    data.columns.name = "mine"
    return pd.DataFrame({"reply": [told] * len(data)})
"""
BATCHED = "target: textgeneration\noptions: {targetName: reply}\nbatching: {maxRequests: 8}\n"


@pytest.fixture(scope="module")
def batched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(write_folder(tmp_path_factory.mktemp("batched") / "odd", ODD, modelport__yaml=BATCHED)) as server:
        yield server


@pytest.mark.parametrize("kind", ["image/png", "application/xml", "text/html"])
def test_what_is_no_table_is_refused_with_and_without_batching(models: Running, batched: Running, kind: str) -> None:
    for server, path in ((models, "/drum/double/predict/"), (batched, "/predict/")):
        text = told(server.post(path, ROWS.encode(), headers={"Content-Type": kind}), 422)
        assert f"takes a table, and {kind} is none" in text
        assert server.post(path, ROWS.encode(), headers={"Content-Type": ""}).status == 200


def test_what_a_hook_does_to_the_names_of_a_request_is_not_in_the_next(batched: Running) -> None:
    for _ in range(3):
        answer = batched.post("/predict/", ROWS.encode(), headers=CSV)
        assert answer.json()["predictions"][0] == {"reply": "None ['x', 'y']"}


@pytest.mark.parametrize("model", ["double", "yesno", "levels", "talk", "clean"])
def test_an_empty_list_of_records_is_answered_with_one(models: Running, model: str) -> None:
    answer = models.post(f"/drum/{model}/predict/", b"[]", headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json()) == (200, {"predictions": []})


# --- unstructured ----------------------------------------------------------------------------------------


def unstructured(server: Running, query: str = "", body: bytes = b"\xc3\xa9", **headers: str) -> Answer:
    path = f"/predictUnstructured/?{query}"
    return server.post(path, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("given", "kind", "mimetype", "charset"),
    [
        (None, "str", "text/plain", "utf8"),
        ("text/html", "str", "text/html", "utf8"),
        ("application/json", "str", "application/json", "utf8"),
        ("Text/Plain ; Charset=UTF-8", "str", "text/plain", "UTF-8"),
        ('text/plain;charset="latin-1"', "str", "text/plain", "latin-1"),
        ("image/png", "bytes", "image/png", "utf8"),
        ("application/x-www-form-urlencoded", "bytes", "application/x-www-form-urlencoded", "utf8"),
        ("multipart/form-data; boundary=x", "bytes", "multipart/form-data", "utf8"),
    ],
)
def test_the_content_type_decides_what_the_hook_gets(
    echo: Running, given: str | None, kind: str, mimetype: str, charset: str
) -> None:
    answer = unstructured(echo, **({"Content_Type": given} if given else {}))
    said = answer.json()
    data = "c3a9" if kind == "bytes" else "Ã©" if charset == "latin-1" else "é"
    assert said == {"kind": kind, "data": data, "mimetype": mimetype, "charset": charset, "query": {}}


@pytest.mark.parametrize(
    ("query", "marked", "body"),
    [
        ("as=str", "text/plain;charset=utf8", "é".encode()),
        ("as=bytes", "application/octet-stream;charset=utf8", "é".encode()),
        ("as=str&mimetype=text/html", "text/html;charset=utf8", "é".encode()),
        ("as=str&charset=latin-1", "text/plain;charset=latin-1", b"\xe9"),
        ("as=str&mimetype=a/b&charset=utf-16-le", "a/b;charset=utf-16-le", b"\xe9\x00"),
        ("as=bytes&mimetype=image/png", "image/png;charset=utf8", "é".encode()),
        ("as=bytes&mimetype=image/png&charset=latin-1", "image/png;charset=latin-1", "é".encode()),
    ],
)
def test_the_answer_is_marked_as_the_hook_says(echo: Running, query: str, marked: str, body: bytes) -> None:
    answer = unstructured(echo, query)
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, marked, body)


@pytest.mark.parametrize("path", ["/predictUnstructured", "/predictionsUnstructured/", "/predictionsUnstructured"])
def test_each_spelling_of_the_unstructured_route_answers(echo: Running, path: str) -> None:
    assert echo.post(path + "?as=str", b"hello").body == b"hello"


def test_the_query_is_decoded(echo: Running) -> None:
    assert unstructured(echo, "a=1&b=x%20y&c=%C3%A9&d=").json()["query"] == {"a": "1", "b": "x y", "c": "é", "d": ""}


def test_a_large_body_reaches_the_hook_as_it_is(echo: Running) -> None:
    body = bytes(range(256)) * (3 << 12)
    answer = unstructured(echo, "as=bytes", body, Content_Type="application/octet-stream")
    assert answer.body == body


def test_a_charset_that_does_not_fit_is_told(echo: Running) -> None:
    assert "nonsense" in told(unstructured(echo, Content_Type="text/plain;charset=nonsense"), 422)
    assert "utf8" in told(unstructured(echo, body=b"\xff"), 422)
    assert "undefined" in told(unstructured(echo, Content_Type="text/plain;charset=undefined"), 422)


def test_no_answer_can_forge_headers(echo: Running) -> None:
    answer = unstructured(echo, "as=str&mimetype=text/html%0D%0AX-Forged:%201")
    assert "no Content-Type" in told(answer, 500)
    assert "x-forged" not in answer.headers


# --- the wrong door --------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["predict", "predictions", "transform"])
def test_rows_for_an_unstructured_model_are_refused(models: Running, verb: str) -> None:
    assert "/predictUnstructured/" in told(predict(models, "echo", verb=verb), 422)


@pytest.mark.parametrize("verb", ["predictUnstructured", "predictionsUnstructured"])
def test_a_structured_model_takes_rows_only(models: Running, verb: str) -> None:
    assert "/predict/" in told(predict(models, "double", verb=verb), 422)


def test_only_a_transform_transforms(models: Running) -> None:
    assert "does not transform" in told(predict(models, "double", verb="transform"), 422)


# --- errors ----------------------------------------------------------------------------------------------


def test_what_the_model_raises_is_told_with_the_request(models: Running) -> None:
    answer = predict(models, "double", "x\n13\n")
    assert told(answer, 500) == f"ValueError: 13 is unlucky [request {answer.headers['x-request-id']}]"


def test_what_the_model_may_not_answer_is_told(models: Running) -> None:
    assert "sum to 1" in told(predict(models, "levels"), 500)


@pytest.mark.parametrize(("detail", "shown"), [("type", "ValueError"), ("none", "ModelError: the model failed")])
def test_the_model_s_own_words_may_be_kept_back(tmp_path: Path, detail: str, shown: str) -> None:
    with serving(zoo.write(tmp_path, "echo"), "--error-detail", detail) as server:
        text = told(unstructured(server, "raise=secret"), 500)
    assert "secret" not in text
    assert text.startswith(shown)


def test_rows_that_are_no_table_are_told(models: Running) -> None:
    text = told(predict(models, "double", b'x,y\n1,"never closed\n'), 422)
    assert "not readable as CSV" in text
    assert "[request" not in text  # that is for what only the log explains


def test_a_worker_that_dies_is_told(tmp_path: Path) -> None:
    with serving(zoo.write(tmp_path, "echo")) as server:
        assert "exit 3" in told(unstructured(server, "exit=1"), 502)
        assert unstructured(server, "as=str").status == 200


HOLDS = """
import os, select

HERE = os.path.dirname(os.path.abspath(__file__))


def score_unstructured(model, data, **kwargs):
    open(os.path.join(HERE, "began"), "w").close()
    while not os.path.exists(os.path.join(HERE, "go")):
        select.select([], [], [], 0.005)
    return data
"""


def holding(folder: Path, **pool: int) -> Path:
    """A model of one worker, which holds each call until there is a file ``go``."""
    numbers = "".join(f"  {name}: {number}\n" for name, number in {"floor": 1, "ceil": 1, **pool}.items())
    return write_folder(folder / "m", HOLDS, modelport__yaml=f"pool:\n{numbers}")


def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    folder = holding(tmp_path, queue=1)
    with serving(folder) as server:
        running = later(lambda: server.post("/predictUnstructured/", b"1"))
        until((folder / "began").exists, 10, "the first call")
        waiting = later(lambda: server.post("/predictUnstructured/", b"2"))
        until(lambda: server.metric("modelport_queue_length") == 1, 10, "the second call")
        answer = server.post("/predictUnstructured/", b"3")
        assert "1 requests waiting" in told(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        (folder / "go").touch()
        assert [call.result(30).body for call in (running, waiting)] == [b"1", b"2"]


def test_calls_that_take_too_long_are_told(tmp_path: Path) -> None:
    folder = holding(tmp_path, timeout=200, runTimeout=2000)
    with serving(folder) as server:
        running = later(lambda: server.post("/predictUnstructured/", b"1"))
        until((folder / "began").exists, 10, "the first call")
        assert "waited 200 ms" in told(server.post("/predictUnstructured/", b"2"), 504)
        assert "ran over 2000 ms" in told(running.result(30), 504)


def test_a_body_over_the_limit_is_refused(tmp_path: Path) -> None:
    with serving(zoo.write(tmp_path, "echo"), "--max-body", 10) as server:
        assert "over 10 bytes" in told(unstructured(server, body=b"x" * 11), 413)


def test_a_key_is_asked_for(tmp_path: Path) -> None:
    with serving(zoo.write(tmp_path, "echo"), "--api-key", "secret") as server:
        assert "API key" in told(unstructured(server), 401)
        assert unstructured(server, "as=str", Authorization="Bearer secret").status == 200
        assert server.get("/ping/").status == 200


def test_unknown_paths_are_told(echo: Running) -> None:
    assert "/nothing" in told(echo.get("/nothing/here"), 404)
    assert "/predict/more" in told(echo.post("/predict/more"), 404)
    assert "/drum/nothing" in told(echo.get("/drum/nothing"), 404)
    assert "'other'" in told(echo.post("/drum/other/predict/"), 404)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/predict/"), ("POST", "/health"), ("PUT", "/"), ("PUT", "/drum")]
)
def test_a_wrong_method_is_told_which_are_right(echo: Running, method: str, path: str) -> None:
    answer = echo.request(method, path)
    told(answer, 405)
    assert answer.headers["allow"] == ("POST" if "predict" in path else "GET, HEAD")


# --- loading ---------------------------------------------------------------------------------------------

WAITS = """
import os, select

HERE = os.path.dirname(os.path.abspath(__file__))


def load_model(code_dir):
    while not os.path.exists(os.path.join(HERE, "go")):
        select.select([], [], [], 0.005)
    if os.path.exists(os.path.join(HERE, "broken")):
        raise RuntimeError("no such weights")
    return "a model"


def score_unstructured(model, data, **kwargs):
    return data
"""


def test_a_load_that_fails_leaves_the_server_up_and_says_why(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", WAITS, go="", broken="")
    with serving(folder) as server:
        for path in ("/", "/ping/", "/health/", "/drum/m/", "/drum/m/health"):
            assert "RuntimeError: no such weights" in told(server.get(path), 513)
        assert server.request("HEAD", "/health/").status == 513
        assert "no such weights" in told(server.post("/predictUnstructured/", b"x"), 513)
        assert server.get("/info/").json()["state"] == "failed"
        assert server.get("/stats/").status == 200
        (folder / "broken").unlink()
        until(lambda: server.get("/health/").status == 200, 30, "the model to be loaded after all")
        assert server.get("/").json() == {"message": "OK"}
        assert server.post("/predictUnstructured/", b"x").body == b"x"


def test_while_a_model_loads_the_server_is_up_but_not_healthy(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", WAITS)
    server = launch(folder, "--port", free_port())
    try:
        until(lambda: answers(server), 30, "the server to listen")
        assert server.get("/").json() == {"message": "OK"}
        assert "loading" in told(server.get("/health/"), 503)
        assert server.get("/info/").json()["classLabels"] is None
        (folder / "go").touch()
        until(lambda: server.get("/health/").status == 200, 30, "the model to load")
    finally:
        server.kill()


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


def answers(server: Running) -> bool:
    command = server.process.args
    assert isinstance(command, list)
    server.port = int(command[command.index("--port") + 1])
    try:
        return server.get("/healthz/live").status == 200
    except OSError:
        return False


def test_the_reason_is_kept_back_where_details_are(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", WAITS, go="", broken="")
    with serving(folder, "--error-detail", "none") as server:
        assert "weights" not in told(server.get("/health/"), 513)


@pytest.mark.parametrize("files", [{"go": ""}, {"go": "", "broken": ""}])
def test_an_unloaded_model_is_no_failure(tmp_path: Path, files: dict[str, str]) -> None:
    with serving(write_folder(tmp_path / "m", WAITS, **files), "--repository") as server:
        assert server.post("/v2/repository/models/m/unload").status == 200
        assert server.get("/").status == 200
        told(server.get("/health/"), 503)
        told(unstructured(server), 503)


def test_code_that_cannot_be_compiled_is_shown_by_its_own_line_alone(tmp_path: Path) -> None:
    with serving(write_folder(tmp_path, "x = 1\ndef score(data, model:\n", "targetType: regression")) as server:
        (line,) = [line["message"] for line in server.logs if "does not load" in line["message"]]
    assert f'File "{tmp_path / "custom.py"}", line 2' in line
    assert "SyntaxError" in line
    assert "modelport/" not in line
    assert "importlib" not in line


def test_a_load_that_fails_may_end_the_server(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", WAITS, go="", broken="")
    server = launch(folder, "--exit-on-load-error")
    try:
        assert server.process.wait(60) == 2
        until(lambda: any("error: m does not load" in line for line in server.raw_logs), 10, "the reason")
        assert [line for line in server.raw_logs if "no such weights" in line]
        assert not server.said
        assert not server.workers()
    finally:
        server.kill()


def test_a_load_that_succeeds_does_not(tmp_path: Path) -> None:
    with serving(zoo.write(tmp_path, "echo"), env={"MODELPORT_EXIT_ON_LOAD_ERROR": "1"}) as server:
        assert server.get("/health/").status == 200
        assert server.stop() == 0


# --- what the front answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("mount", ["", "/drum", "/drum/echo"])
def test_each_read_answers_with_and_without_the_slash_and_to_head(echo: Running, mount: str, path: str) -> None:
    slashed = echo.get(mount + path)
    assert slashed.status == 200
    assert isinstance(slashed.json(), dict)
    head = echo.request("HEAD", mount + path)
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    bare = (mount + path).rstrip("/")
    if bare:
        assert echo.get(bare).json().keys() == slashed.json().keys()


def test_the_server_says_that_it_is_up(echo: Running) -> None:
    for path in ("/", "/ping/", "/health/"):
        assert echo.get(path).json() == {"message": "OK"}


def test_info_names_the_model_and_its_target(models: Running) -> None:
    info = models.get("/drum/yesno/info/").json()
    assert info["name"] == "yesno"
    assert info["language"] == "python"
    assert info["contract"] == "drum"
    assert (info["targetType"], info["targetName"], info["classLabels"]) == ("binary", "ok", ["no", "yes"])
    assert info["versions"]["modelport"]
    assert models.get("/drum/echo/info/").json()["targetType"] == "unstructured"


def test_stats_tell_memory_and_requests(tmp_path: Path) -> None:
    with serving(zoo.write(tmp_path, "echo")) as server:
        unstructured(server, "as=str")
        unstructured(server, "raise=x")
        stats = server.get("/stats/").json()
        (worker,) = server.workers()
        (told_of,) = stats["memory"]["workers"]
        assert told_of["pid"] == worker.pid
        assert told_of["memory"] == pytest.approx(worker.memory_info().rss / (1 << 20), rel=0.2)
        assert stats["memory"]["front"] > 10
        parts = stats["memory"]["front"] + told_of["memory"]
        assert stats["memory"]["total"] == pytest.approx(parts, abs=0.2)
        assert stats["requests"] == {"succeeded": 1, "failed": 1}


def test_capabilities_tell_formats_and_libraries(models: Running, echo: Running) -> None:
    formats = models.get("/drum/double/capabilities/").json()["payloadFormats"]
    assert formats["csv"] == {"contentType": "text/csv", "library": "pandas", "available": True}
    assert "arrow" in formats
    assert echo.get("/capabilities/").json()["payloadFormats"] == "any"


def test_the_front_does_not_guess_at_another_environment(tmp_path: Path) -> None:
    folder = zoo.write(tmp_path, "double")
    (folder / "modelport.yaml").write_text("environment: /no/such/python\n")
    with serving(folder) as server:
        formats = server.get("/capabilities/").json()["payloadFormats"]
        assert {form["available"] for form in formats.values()} == {None}


def test_metrics_and_logs_name_the_protocol_and_the_model(tmp_path: Path) -> None:
    with serving(zoo.write(tmp_path, "echo")) as server:
        unstructured(server, "as=str")
        server.get("/health/")
        counted = server.metrics("modelport_requests_total", protocol="drum")
        assert counted == [
            ({"endpoint": "echo", "protocol": "drum", "code": "200"}, 1.0),
            ({"endpoint": "", "protocol": "drum", "code": "200"}, 1.0),
        ]
        until(lambda: [line for line in server.logs if line.get("protocol") == "drum"], 10, "the access log")


# --- where the routes are --------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["a/b", "/a/b", "/a/b/", "//a//b//"])
def test_a_prefix_stands_before_the_root_routes(tmp_path: Path, prefix: str) -> None:
    with serving(zoo.write(tmp_path, "echo"), env={"MODELPORT_URL_PREFIX": prefix}) as server:
        for path in READS:
            assert server.get("/a/b" + path).status == 200
            assert server.get("/a/b" + path[:-1]).status == 200
        assert server.post("/a/b/predictUnstructured/?as=str", b"x").body == b"x"
        assert server.post("/drum/predictUnstructured/?as=str", b"x").body == b"x"
        for path in ("/", "/ping/", "/predictUnstructured/"):
            told(server.get(path), 404)
        assert server.get("/v2/models/echo").status == 200


def test_a_prefix_that_no_path_can_have_is_refused(tmp_path: Path) -> None:
    server = launch(zoo.write(tmp_path, "echo"), "--url-prefix", "/a b?c")
    try:
        assert server.process.wait(60) == 2
        until(lambda: any("--url-prefix" in line for line in server.raw_logs), 10, "the reason")
    finally:
        server.kill()


def test_of_several_models_one_must_be_named(models: Running) -> None:
    for path in ("/predict/", "/predictions", "/health/", "/drum/predict/"):
        answer = models.get(path) if "health" in path else models.post(path, ROWS.encode())
        text = told(answer, 404)
        assert f"/drum/double/{path.strip('/').split('/')[-1]}" in text
    for path in ("/", "/ping/", "/drum/"):
        assert models.get(path).json() == {"message": "OK"}


def test_the_server_is_up_while_one_of_its_models_loads(tmp_path: Path) -> None:
    broken = write_folder(tmp_path / "m", WAITS, go="", broken="")
    with serving(broken, zoo.write(tmp_path, "echo")) as server:
        assert server.get("/").status == 200
        told(server.get("/drum/m/"), 513)
        assert server.get("/drum/echo/").status == 200


def table_service(folder: Path) -> Path:
    return write_service(folder, regression("sum"), code={"predictor.py": predictor("return features_df.sum(axis=1)")})


def test_beside_a_service_of_another_platform_the_root_is_the_first_one_s(tmp_path: Path) -> None:
    service, folder = table_service(tmp_path / "service"), zoo.write(tmp_path, "echo")
    with serving(service, folder) as server:
        answer = server.post("/predictUnstructured/?as=str", b"x")
        assert (answer.status, list(answer.json())) == (404, ["errorType", "message", "detailedMessage"])
        assert server.get("/").status == 404
        for mount in ("/drum", "/drum/echo"):
            assert server.post(mount + "/predictUnstructured/?as=str", b"x").body == b"x"
        assert server.get("/drum/").json() == {"message": "OK"}
        told(server.request("PUT", "/drum"), 405)
    with serving(folder, service) as server:
        assert server.post("/predictUnstructured/?as=str", b"x").body == b"x"
        assert server.get("/info/").json()["name"] == "echo"
        assert server.post("/public/api/v1/svc/sum/predict", {"features": {"a": 1.5}}).status == 200


def test_models_of_other_platforms_answer_too(tmp_path: Path) -> None:
    with serving(table_service(tmp_path / "service")) as server:
        for mount in ("/drum", "/drum/sum"):
            answer = server.post(f"{mount}/predict/", b"a,b\n1,2\n3,4.5\n", headers=CSV)
            assert answer.json() == {"predictions": [3.0, 7.5]}
            assert server.post(f"{mount}/predict/", b"a,b\n1,2\n", headers=WANTS_CSV).body == b"Predictions\n3\n"
        assert server.get("/drum/info/").json()["contract"] == "dataiku"


def test_functions_of_other_platforms_answer_too(tmp_path: Path) -> None:
    code = {"functions.py": "def run(a, b=2):\n    return {'sum': a + b, 'nan': float('nan')}\n"}
    with serving(write_service(tmp_path / "service", function(), code=code)) as server:
        headers = {"Content-Type": "application/json"}
        answer = server.post("/drum/predictUnstructured/", {"a": 1}, headers=headers)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"sum": 3, "nan": None}
        told(server.post("/drum/predictUnstructured/", b"a", headers={"Content-Type": "text/plain"}), 422)
        assert "/predictUnstructured/" in told(server.post("/drum/predict/", ROWS.encode(), headers=CSV), 422)


def test_other_protocols_reach_the_model(models: Running) -> None:
    inputs = [{"name": "x", "shape": [2], "datatype": "FP64", "data": [0.25, 1.0]}]
    answer = models.post("/v2/models/double/infer", {"inputs": inputs})
    assert answer.json()["outputs"][0]["data"] == [0.5, 2.0]


def test_the_announcement_lists_the_routes_and_a_line_that_works(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(ROWS)
    (tmp_path / "data.txt").write_text("hello")
    for name, url in (("double", "/predict/"), ("clean", "/transform/"), ("echo", "/predictUnstructured/")):
        with serving(zoo.write(tmp_path, name)) as server:
            until(lambda: any(line.startswith("server ") for line in server.said), 30, "the announcement")
            said = "\n".join(server.said)
            assert "drum     POST {/predict/,/predictions/,/transform/" in said
            (line,) = [line for line in server.said if line.strip().startswith("try")]
            assert f"{server.base}{url}" in line
            assert pasted(line, tmp_path)


def test_the_announcement_shows_the_routes_of_each_model_s_own_platform(tmp_path: Path) -> None:
    with serving(table_service(tmp_path / "service"), zoo.write(tmp_path, "echo")) as server:
        until(lambda: any(line.startswith("server ") for line in server.said), 30, "the announcement")
        shown = [line.split()[-1] for line in server.said if "drum" in line and "try" not in line]
        assert [line.partition("{")[0] for line in shown] == ["/drum", "/drum"]  # to post to, and to get
        (line,) = [line for line in server.said if "/predictUnstructured/ " in line]
        assert f"{server.base}/drum/predictUnstructured/" in line


def pasted(line: str, folder: Path) -> Any:
    command = line.strip().removeprefix("try").strip()
    done = subprocess.run(["sh", "-c", command], capture_output=True, cwd=folder, timeout=30, check=True)
    answer = json.loads(done.stdout)
    assert "message" not in answer
    return answer
