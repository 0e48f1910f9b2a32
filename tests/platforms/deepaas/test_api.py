"""The API beyond what was recorded: its description and page, statuses, redirects, answers in pieces."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator

from tests.harness import Running, launch, serving, until
from tests.platforms.deepaas import browser
from tests.platforms.deepaas.conftest import RUN

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MODEL = """
import time
from aiohttp import web
from webargs import fields, validate


def get_metadata():
    return {"name": "Other name", "description": "a model", "id": "mine"}


def get_predict_args():
    return {
        "how": fields.Str(required=True, metadata={"description": "what it does"}),
        "many": fields.List(fields.Int()),
        "commas": fields.DelimitedList(fields.Int()),
        "inner": fields.Nested({"k": fields.Int(required=True)}),
        "anything": fields.Dict(),
        "day": fields.Date(),
        "size": fields.Int(load_default=3, validate=validate.Range(1, 5)),
        "accept": fields.Str(validate=validate.OneOf(["application/json", "text/csv"])),
    }


def rows():
    yield "a,b\\n"
    for number in range(3):
        yield f"{number},{number}\\n"


def broken():
    yield "a\\n"
    raise RuntimeError("in the middle")


def predict(how, accept, **more):
    if how == "gone":
        raise web.HTTPGone(text="no longer")
    if how == "teapot":
        raise web.HTTPException(reason="short")
    if how == "rows":
        return rows()
    if how == "broken":
        return broken()
    if how == "raise":
        raise RuntimeError("in /secret/place")
    return {"more": {name: str(value) for name, value in more.items()}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("api") / "m"
    place.mkdir()
    (place / "model.py").write_text(MODEL)
    (place / "setup.cfg").write_text("[options.entry_points]\ndeepaas.v2.model =\n    m = model\n")
    return place


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    with serving(folder, verb=RUN) as running:
        yield running


def predict(server: Running, **query: str) -> Any:
    return server.post("/v2/models/m/predict/?" + "&".join(f"{name}={value}" for name, value in query.items()))


# --- the description ---------------------------------------------------------------------------------------


def test_the_description_is_valid(server: Running, recorded: Running) -> None:
    for one in (server, recorded):
        document = one.get("/swagger.json").json()
        assert [str(fault) for fault in OpenAPIV2SpecValidator(document).iter_errors()] == []


def test_what_only_json_carries_is_the_body(server: Running) -> None:
    post = server.get("/swagger.json").json()["paths"]["/v2/models/m/predict/"]["post"]
    parameters = {parameter["name"]: parameter for parameter in post["parameters"]}
    assert set(parameters["body"]["schema"]["properties"]) == {"inner", "anything"}
    assert parameters["how"]["description"] == "what it does"
    assert (parameters["size"]["minimum"], parameters["size"]["maximum"]) == (1, 5)
    assert [parameters[name]["collectionFormat"] for name in ("many", "commas")] == ["multi", "csv"]
    assert post["produces"] == ["application/json", "text/csv", "*/*"]


def test_other_platforms_models_are_described(plain: Running) -> None:
    document = plain.get("/deepaas/swagger.json").json()
    assert [str(fault) for fault in OpenAPIV2SpecValidator(document).iter_errors()] == []
    assert "/deepaas/v2/models/ep/predict/" in document["paths"]
    answer = plain.get("/deepaas/v2/models/").json()["models"]
    assert [model["id"] for model in answer] == ["ep", "fn"]
    assert plain.get(answer[0]["links"][0]["href"] + "/").status == 200


# --- the page ----------------------------------------------------------------------------------------------


def test_the_page_loads_nothing_from_elsewhere(server: Running) -> None:
    answer = server.get("/api")
    text = answer.body.decode()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "://" not in text
    assert " src=" not in text
    assert [place for place in ('href="', "fetch(") if place in text.replace('href="swagger.json"', "")] == ["fetch("]


def test_the_page_in_a_browser(server: Running, tmp_path: Path) -> None:
    name = browser.found()
    if name is None:
        pytest.skip(f"no browser is on PATH ({', '.join(browser.NAMES)}), and CHROMIUM names none")
    with browser.Page(name, tmp_path, f"{server.base}/api") as page:
        until(lambda: page.run("document.querySelectorAll('details').length"), what="the page")
        assert page.run("document.getElementById('title').textContent").startswith("DEEP as a Service")
        form = "document.getElementById('post /v2/models/m/predict/').querySelector('form')"
        assert page.run(f"{form}.elements.how.required") is True
        assert page.run(f"[...{form}.elements.accept.options].map((option) => option.value)") == [
            "", "application/json", "text/csv", "*/*",
        ]  # fmt: skip
        page.run(f"{form}.elements.how.value = 'x'; {form}.elements.many.value = '1\\n2'; {form}.requestSubmit()")
        shown = until(lambda: page.run(f"{form}.querySelector('.body')?.textContent"), what="the answer")
        assert json.loads(shown)["predictions"]["more"] == {"many": "[1, 2]", "size": "3"}
        assert page.run(f"{form}.querySelector('.status').textContent").startswith("200  application/json")
        loaded = page.run("performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert [url for url in loaded if not url.startswith(server.base)] == []


HARNESS = """
const fs = require("fs");
const script = fs.readFileSync(process.argv[1], "utf8").split("<script>")[1].split("</script>")[0];
globalThis.document = { getElementById: () => ({ value: "KEY" }), createElement: () => ({ append() {} }) };
globalThis.fetch = () => new Promise(() => {});
(0, eval)(script + ";globalThis.request = request;");
const [method, path, consumes, filled] = JSON.parse(process.argv[2]);
const [url, asked] = request(method, path, consumes, filled);
const body = asked.body instanceof FormData ? [...asked.body.entries()]
  : asked.body instanceof URLSearchParams ? asked.body.toString() : asked.body;
const { method: how, headers } = asked;
console.log(JSON.stringify({ url, method: how, headers, body: body === undefined ? null : body }));
"""
KEY = {"Authorization": "Bearer KEY"}


@pytest.mark.parametrize(
    ("filled", "url", "headers", "body"),
    [
        ([({"in": "query", "name": "a b", "type": "string"}, "x&y")], "/p/?a+b=x%26y", {}, None),
        ([({"in": "query", "name": "a", "type": "string"}, "")], "/p/", {}, None),
        ([({"in": "query", "name": "a", "type": "array"}, "1\n2\n")], "/p/?a=1&a=2", {}, None),
        ([({"in": "query", "name": "a", "type": "array", "collectionFormat": "csv"}, "1\n2")], "/p/?a=1%2C2", {}, None),
        ([({"in": "header", "name": "X", "type": "string"}, "v")], "/p/", {"X": "v"}, None),
        ([({"in": "body", "name": "body"}, "{}")], "/p/", {"Content-Type": "application/json"}, "{}"),
        ([({"in": "formData", "name": "a", "type": "string"}, "v")], "/p/", {}, [["a", "v"]]),
    ],
)
def test_what_a_filled_in_form_asks(filled: Any, url: str, headers: dict[str, str], body: Any) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on PATH")
    page = Path(__file__).parents[3] / "src/modelport/protocols/deepaas/page.html"
    given = ["post", "/p/", ["multipart/form-data"], [(parameter, {"value": value}) for parameter, value in filled]]
    done = subprocess.run(
        [node, "-e", HARNESS, "--", str(page), json.dumps(given)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert json.loads(done.stdout) == {"url": url, "method": "POST", "headers": {**KEY, **headers}, "body": body}


# --- answers -----------------------------------------------------------------------------------------------


def test_the_models_own_name_changes_no_path(server: Running) -> None:
    answer = server.get("/v2/models/m/").json()
    want = {"id": "mine", "name": "Other name", "description": "a model"}
    assert answer == {**want, "links": [{"rel": "self", "href": "/v2/models/m"}]}


def test_the_models_own_status(server: Running) -> None:
    answer = predict(server, how="gone")
    assert (answer.status, answer.body) == (410, b"410: no longer")


def test_what_the_model_raises_names_the_request(server: Running) -> None:
    answer = predict(server, how="raise")
    assert answer.status == 500
    assert answer.body.decode() == f"500: RuntimeError: in <path> [request {answer.headers['x-request-id']}]"


def test_an_answer_in_pieces(server: Running) -> None:
    answer = predict(server, how="rows", accept="text/csv")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/csv")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.body == b"a,b\n0,0\n1,1\n2,2\n"


def test_an_answer_that_breaks_off(server: Running) -> None:
    with pytest.raises(http.client.IncompleteRead):
        predict(server, how="broken", accept="text/csv")
    assert predict(server, how="x").status == 200


def test_all_faults_of_a_request(server: Running) -> None:
    body = {"many": [1, "x"], "inner": {"k": "x", "j": 1}, "anything": "x", "day": "x", "size": 9}
    answer = server.post("/v2/models/m/predict/", body, headers={"Content-Type": "application/json"})
    assert answer.status == 422
    assert answer.json() == {
        "how": ["Missing data for required field."],
        "many": {"1": ["Not a valid integer."]},
        "inner": {"k": ["Not a valid integer."], "j": ["Unknown field."]},
        "anything": ["Not a valid mapping type."],
        "day": ["Not a valid date."],
        "size": ["Must be greater than or equal to 1 and less than or equal to 5."],
    }


def test_cookies_and_form(server: Running) -> None:
    answer = server.post("/v2/models/m/predict/", b"how=x&many=1&many=2&commas=3,4", headers=FORM)
    assert answer.json()["predictions"]["more"] == {"many": "[1, 2]", "commas": "[3, 4]", "size": "3"}


@pytest.mark.parametrize("path", ["/v2/models/m/predict", "//v2/models/m/predict", "/v2//models/m//predict"])
def test_the_way_to_the_right_path(server: Running, path: str) -> None:
    answer = server.post(f"{path}?how=x%20y&many=1")
    assert (answer.status, answer.headers["location"]) == (308, "/v2/models/m/predict/?how=x%20y&many=1")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/v2/models"), ("GET", "/v2/nope"), ("GET", "/v2/models/m/x/y/z")]
)
def test_no_way(server: Running, method: str, path: str) -> None:
    answer = server.request(method, path)
    assert (answer.status, answer.body) == (404, b"404: Not Found")


def test_others_are_behind_their_names(server: Running) -> None:
    assert server.get("/v2/health/ready").status == 404
    assert server.get("/oip/v2/health/ready").status == 200
    assert server.get("/healthz/ready").status == 200


def test_beside_other_protocols(folder: Path) -> None:
    """Served by `serve`, what names no final slash is the Open Inference Protocol's."""
    with serving(folder) as server:
        assert server.get("/v2/models/m").json()["platform"] == "deepaas"
        assert server.get("/v2/models/m/").json()["id"] == "mine"
        assert server.post("/v2/models/m/predict?how=x").status == 404
        assert server.post("/v2/models/m/predict/?how=x").status == 200


def test_too_many_fields(server: Running) -> None:
    answer = server.post("/v2/models/m/predict/", b"&".join(b"a=1" for _ in range(1001)), headers=FORM)
    assert answer.status == 400


# --- how it is run -----------------------------------------------------------------------------------------


def test_a_base_path(folder: Path) -> None:
    with serving(folder, "--base-path", "/base", verb=RUN) as server:
        root = server.get("/base").json()
        assert root["versions"][0]["links"][0]["href"] == "/base/v2/"
        assert [link["href"] for link in root["links"]] == ["/base/api", "/base/swagger.json"]
        assert server.get("/base/v2/models/").json()["models"][0]["links"][0]["href"] == "/base/v2/models/m"
        assert server.post("/base/v2/models/m/predict/?how=x").status == 200
        assert server.get("/v2/models/").status == 404
        assert server.get("/base/v2/models").headers["location"] == "/base/v2/models/"
        assert server.get("/base/ui").headers["location"] == "/base/api"
        document = server.get("/base/swagger.json").json()
        assert "/base/v2/models/m/predict/" in document["paths"]
        uuid = server.post("/base/v2/models/m/train/")
        assert uuid.status == 501


def test_the_log_is_shown_where_that_is_asked_for(folder: Path) -> None:
    with serving(folder, "--debug-endpoint", verb=RUN) as server:
        predict(server, how="raise")
        texts = [server.get("/v2/debug/").body.decode() for _ in range(2)]
        assert "in /secret/place" in texts[0]
        assert [text.count("--- DEBUG MARKER ") for text in texts] == [1, 2]


def test_options_in_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text(
        "[DEFAULT]\nbase_path = /other\ntrain_endpoint = false\nworkers = 2\nuse_json = yes\n"
    )
    log = tmp_path / "server.log"
    options = ("--config-file", tmp_path / "a.conf", "--base-path", "/mine", "--log-file", log)
    with serving(folder, *options, verb=RUN) as server:
        assert server.post("/mine/v2/models/m/predict/?how=x").status == 200
        assert server.post("/mine/v2/models/m/train/").status == 402
        assert len(server.workers()) == 2
        assert server.raw_logs == []
        assert json.loads(log.read_text().splitlines()[0])["level"] == "info"


def test_the_environment_names_the_model(old: Path) -> None:
    with serving("--env", old, verb=RUN, env={"DEEPAAS_V2_MODEL": "mp-plainclass"}) as server:
        assert [model["id"] for model in server.get("/v2/models/").json()["models"]] == ["mp-plainclass"]
        assert server.post("/v2/models/mp-plainclass/predict/").json()["predictions"] == {"n": 2}


def test_a_model_that_does_not_load_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def warm():\n    raise RuntimeError('cold')\n")
    (tmp_path / "setup.cfg").write_text("[options.entry_points]\ndeepaas.v2.model =\n    m = model\n")
    server = launch(tmp_path, verb=RUN)
    assert server.process.wait(30) == 2
    assert any("cold" in line for line in server.raw_logs)
    with serving(tmp_path, "--nowarm", verb=RUN) as other:
        assert other.get("/healthz/ready").status == 200


def test_a_model_that_is_not_well_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise RuntimeError('bad')\n")
    (tmp_path / "mute.py").write_text("def get_metadata():\n    return 1 / 0\n")
    (tmp_path / "good.py").write_text("def get_metadata():\n    return {'description': 'fine'}\n")
    points = "".join(f"    {name} = {name}\n" for name in ("bad", "good", "mute"))
    (tmp_path / "setup.cfg").write_text(f"[options.entry_points]\ndeepaas.v2.model =\n{points}")
    with serving(tmp_path, "--no-exit-on-load-error", verb=RUN) as server:
        told = {model["id"]: model["description"] for model in server.get("/v2/models/").json()["models"]}
        assert told["good"] == "fine"
        assert told["bad"] == "bad is starting: RuntimeError: bad"
        assert told["mute"] == "mute could not tell its metadata; the server's log says more"
        assert [server.get(f"/v2/models/{name}/").status for name in ("bad", "good", "mute")] == [503, 200, 500]
        assert server.get("/swagger.json").status == 200


def test_it_asks_for_the_key(folder: Path) -> None:
    with serving(folder, "--api-key", "secret", verb=RUN) as server:
        assert predict(server, how="x").status == 401
        answer = server.post("/v2/models/m/predict/?how=x", headers={"Authorization": "Bearer secret"})
        assert answer.status == 200
