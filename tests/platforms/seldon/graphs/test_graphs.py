"""What a graph answers over REST: the order of its units, what passes between them, what goes wrong in one."""

from __future__ import annotations

import gzip
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.harness import serving, until
from tests.platforms.seldon.graphs.conftest import JSON, Graphs
from tests.platforms.seldon.graphs.deploying import UNIT, deploy, deployment, isolated, predictor, unit


def only_together(served: Graphs) -> None:
    if not served.together:
        pytest.skip("this graph is served with all nodes in one worker only")


# --- order -----------------------------------------------------------------------------------------------


def test_one_node(served: Graphs) -> None:
    assert served.trace("one") == ["one.predict"]


def test_inputs_on_the_way_down_outputs_on_the_way_up(served: Graphs) -> None:
    assert served.trace("chain") == ["t.in", "m.predict", "last.predict", "o.out"]


def test_a_combiner_gets_every_answer_in_order(served: Graphs) -> None:
    assert served.trace("joined") == [[["x.predict"], ["y.predict"], ["z.predict"]], "j.join"]


def test_children_are_asked_at_the_same_time(served: Graphs) -> None:
    """Each of them waits until all three are being asked."""
    trace = served.trace("meeting")
    assert [answer for answers in trace[0] for answer in answers] == ["p.predict", "q.predict", "s.predict"]


@pytest.mark.parametrize(
    ("branch", "trace", "asked"),
    [
        (0, ["a.predict"], "a"),
        (1, ["b.in", "c.predict"], "bc"),
        (2, ["d.predict"], "d"),
        (-1, ["a.predict"], "abcd"),  # all are asked, and the first answers
        (-2, None, ""),  # none is
    ],
)
def test_a_router_chooses(served: Graphs, branch: int, trace: Any, asked: str) -> None:
    for name in "abcd":
        served.noted(name)
    answer = served.ask("routed", {"jsonData": {"routes": {"r": branch}}, "meta": {}})
    assert answer["jsonData"].get("trace") == trace
    assert {name for name in "abcd" if served.noted(name)} == set(asked)
    assert answer["meta"]["routing"]["r"] == branch


@pytest.mark.parametrize("branch", [3, -3, 1000])
def test_a_branch_that_there_is_not(served: Graphs, branch: int) -> None:
    answer = served.post("routed", {"jsonData": {"routes": {"r": branch}}})
    assert answer.status == 500
    assert answer.headers["x-modelport-node"] == "r"
    assert f"r chose a branch that is not there: {branch} is none of its 3 children" in answer.json()["status"]["info"]


def test_the_first_child_answers_where_nobody_combines(served: Graphs) -> None:
    only_together(served)
    assert served.trace("first") == ["t.in", "x.predict"]


def test_methods_add_questions(served: Graphs) -> None:
    assert served.trace("methods") == ["w.in", "x.predict", "w.out"]


def test_nodes_of_no_type_pass_on(served: Graphs) -> None:
    only_together(served)
    assert served.trace("passing") == ["x.predict"]


# --- what is built in ------------------------------------------------------------------------------------


def test_average_of_a_simple_model(served: Graphs) -> None:
    answer = served.ask("built", {"data": {"names": ["a", "b", "c"], "ndarray": [[1, 2, 3]]}})
    assert answer["data"] == {"names": ["class0", "class1", "class2"], "ndarray": [[0.55, 1.45, 1.75]]}
    metrics = {metric["key"]: metric["value"] for metric in answer["meta"]["metrics"]}
    assert metrics == {"mymetric_counter": 1, "mymetric_gauge": 100, "mymetric_timer": 22.1}


def test_averages_of_other_shapes_are_refused(served: Graphs) -> None:
    answer = served.post("built", {"data": {"ndarray": [[1, 2]]}})
    assert answer.status == 500
    assert answer.headers["x-modelport-node"] == "avg"
    assert "averages are of matrices of numbers, all of one shape; these are 1x3, 1x2" in answer.body.decode()


def test_the_simple_router_takes_the_first(served: Graphs) -> None:
    only_together(served)
    assert {str(served.trace("simple")) for _ in range(8)} == {"['a.predict']"}


def test_an_ab_test_takes_both(served: Graphs) -> None:
    only_together(served)
    traces = {str(served.trace("odds")) for _ in range(40)}  # one is missing once in 5e11 runs
    assert traces == {"['a.predict']", "['b.predict']"}


# --- meta ------------------------------------------------------------------------------------------------


def test_tags_and_path_add_up(served: Graphs) -> None:
    sent = {"jsonData": {}, "meta": {"puid": "p1", "tags": {"mine": 1}, "routing": {"gone": 3}}}
    meta = served.ask("chain", sent)["meta"]
    assert meta["puid"] == "p1"
    assert meta["tags"] == {"mine": 1, "t": True, "o": True, "m": True, "last": True}
    assert meta["requestPath"] == dict.fromkeys(["t", "o", "m", "last"], "NOT_IMPLEMENTED:NOT_IMPLEMENTED")
    assert meta["routing"] == {"t": -1, "o": -1, "m": -1, "last": -1}


def test_tags_of_a_router_are_dropped_and_those_of_children_meet(served: Graphs) -> None:
    tags = served.ask("routed", {"jsonData": {"routes": {"r": 1}}})["meta"]["tags"]
    assert tags == {"b": True, "c": True}
    answer = served.ask("joined", {"jsonData": {}, "meta": {"tags": {"mine": 1}}})
    assert answer["meta"]["tags"] == {"mine": 1, "x": True, "y": True, "z": True, "j": True}
    assert answer["meta"]["routing"] == {"j": -1, "x": -1, "y": -1, "z": -1}


# --- what passes between nodes ---------------------------------------------------------------------------


def test_numbers_arrive_as_they_would_off_the_wire(served: Graphs) -> None:
    """Single precision has become double, and whole numbers stay whole."""
    answer = served.ask("kinds", {"data": {"ndarray": [[0.1, 2]]}})
    assert answer["strData"] == "float64 (1, 2) [[0.10000000149011612, 2.0]]"


def test_each_child_has_a_copy_of_its_own(served: Graphs) -> None:
    """Both change what they are given."""
    answer = served.ask("copies", {"jsonData": {"list": [1]}, "meta": {"tags": {"mine": 1}}})
    assert answer["jsonData"]["trace"] == [[[1, "k1"], [1, "k2"]], "j.join"]
    assert answer["meta"]["tags"] == {"mine": 1, "spoiled": "k2", "j": True}


def test_what_workers_tell_the_front_reaches_no_client(served: Graphs) -> None:
    for name, what, message in [
        ("routed", "predictions", {"jsonData": {"routes": {"r": 1}}, "meta": {}}),
        ("routed", "feedback", feedback(r=0)),
        ("faulty", "predictions", {"jsonData": {"routes": {"r": 7}}}),
    ]:
        ours = {header for header in served.post(name, message, what).headers if header.startswith("x-modelport")}
        assert ours <= {"x-modelport-node"}
    assert "authorization" not in served.post("one", {"jsonData": {}}, Authorization="Bearer x").headers


def test_an_answer_that_asks_for_a_status_ends_the_walk(served: Graphs) -> None:
    answer = served.post("raw", {"data": {"ndarray": [[1, 2]]}})
    assert answer.status == 409
    assert answer.headers["x-modelport-node"] == "raw"
    assert answer.json() == {
        "status": {"code": 409, "info": "taken"},
        "data": {"names": ["t:0", "t:1"], "ndarray": [[1, 2]]},
    }


def test_code_that_takes_whole_messages_gets_lists(served: Graphs) -> None:
    tensor = {"tensor": {"shape": [1, 2], "values": [1.5, 2]}, "names": ["a", "b"]}
    answer = served.ask("rawjoined", {"data": tensor})
    assert answer["data"]["tensor"] == {"shape": [1, 2], "values": [1.5, 2]}


def test_forms_and_queries_are_understood_as_a_component_does(served: Graphs) -> None:
    path = "/seldon/ns/chain/api/v1.0/predictions"
    answer = served.server.post(f"{path}?json=%7B%22jsonData%22%3A%7B%7D%7D", b"", headers={})
    assert answer.json()["jsonData"]["trace"] == ["t.in", "m.predict", "last.predict", "o.out"]


def test_a_large_message_passes(served: Graphs) -> None:
    """Past the size up to which bodies go through sockets."""
    text = "x" * (3 << 20)
    answer = served.ask("joined", {"jsonData": {"text": text}})
    assert answer["jsonData"]["text"] == text
    assert answer["meta"]["routing"]["j"] == -1


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"5", b'{"data": 3}', b'{"meta": null, "strData": "a"}'])
def test_bad_messages_are_told_as_a_component_tells_them(served: Graphs, body: bytes) -> None:
    answer = served.server.post("/seldon/ns/chain/api/v1.0/predictions", body, headers=JSON)
    assert answer.status in (400, 500)
    assert answer.json()["status"]["status"] == 1


# --- faults ----------------------------------------------------------------------------------------------

NODES = {"t": "in", "o": "out", "r": "route", "j": "join", "m": "predict"}


def broken(served: Graphs, at: str, how: str) -> Any:
    message = {"jsonData": {"routes": {"r": 0}, "fault": {"at": at, "how": how}}}
    return served.post("faulty", message)


@pytest.mark.parametrize("at", NODES)
def test_a_node_that_raises_answers_for_itself(served: Graphs, at: str) -> None:
    answer = broken(served, at, "raise")
    assert answer.status == 500
    assert answer.headers["x-modelport-node"] == at
    status = answer.json()["status"]
    assert (status["info"], status["reason"]) == (f"{at} does not like it", "MICROSERVICE_INTERNAL_ERROR")
    wanted = f"RuntimeError: {at} does not like it"
    logged = until(lambda: [line for line in served.server.logs if wanted in line["message"]], what="the log")
    assert logged[0]["message"].startswith(f"{at}: ") or logged[0]["model"] == f"faulty:{at}"


@pytest.mark.parametrize("at", NODES)
def test_a_node_that_refuses_chooses_status_and_reason(served: Graphs, at: str) -> None:
    answer = broken(served, at, "refuse")
    assert answer.status == 418
    assert answer.headers["x-modelport-node"] == at
    assert answer.json()["status"]["info"] == f"{at} refuses"
    assert answer.json()["status"]["reason"] == "TEAPOT"


@pytest.mark.parametrize("at", NODES)
@pytest.mark.parametrize("how", ["rubbish", "unwritable"])
def test_a_node_that_returns_rubbish(served: Graphs, at: str, how: str) -> None:
    answer = broken(served, at, how)
    assert answer.status in (400, 500)
    assert answer.headers["x-modelport-node"] == at
    assert answer.json()["status"]["status"] == 1


@pytest.mark.parametrize("at", NODES)
def test_a_node_whose_process_ends_is_unreachable(served: Graphs, at: str) -> None:
    answer = broken(served, at, "exit")
    assert answer.status == 500
    status = answer.json()["status"]
    assert (status["code"], status["status"]) == (500, "FAILURE")
    assert "ended while it ran this request (exit 3)" in status["info"]
    assert answer.headers.get("x-modelport-node") == (None if served.together else at)
    assert served.trace("faulty", routes={"r": 0})[-1] == "o.out"  # another process has taken over


def test_a_node_that_asks_its_process_to_end_does_not_end_it(served: Graphs) -> None:
    workers = {worker.pid for worker in served.server.workers()}
    answer = broken(served, "m", "leave")
    assert answer.status == 500
    assert answer.headers["x-modelport-node"] == "m"
    assert workers <= {worker.pid for worker in served.server.workers()}


def test_a_node_that_hangs_is_ended(served: Graphs) -> None:
    answer = broken(served, "j", "hang")
    assert answer.status == 500
    assert answer.json()["status"]["status"] == "FAILURE"
    assert "ran over 4000 ms" in answer.json()["status"]["info"]
    assert answer.headers.get("x-modelport-node") == (None if served.together else "j")
    assert served.trace("faulty", routes={"r": 0})[-1] == "o.out"


@pytest.mark.parametrize(("at", "also", "told"), [("x", "yz", "x"), ("y", "z", "y"), ("z", "", "z")])
def test_of_several_faults_the_first_childs_is_told(served: Graphs, at: str, also: str, told: str) -> None:
    """Also when it comes later than the others."""
    fault = {"at": at, "also": list(also), "how": "raise", "late": at}
    answer = served.post("joined", {"jsonData": {"fault": fault}})
    assert (answer.status, answer.headers["x-modelport-node"]) == (500, told)
    assert answer.json()["status"]["info"] == f"{told} does not like it"


# --- feedback --------------------------------------------------------------------------------------------


def feedback(**routing: int) -> dict[str, Any]:
    return {
        "request": {"data": {"ndarray": [[1]]}},
        "response": {"meta": {"routing": routing}, "data": {"ndarray": [[1]]}},
        "reward": 0.5,
    }


@pytest.mark.parametrize(
    ("routing", "asked"),
    [({"r": 0}, "ra"), ({"r": 1}, "rc"), ({"r": 2}, "rd"), ({"r": -1}, "racd"), ({}, "racd"), ({"r": -2}, "r")],
)
def test_feedback_follows_the_recorded_route(served: Graphs, routing: dict[str, int], asked: str) -> None:
    for name in "rabcd":
        served.noted(name)
    answer = served.post("routed", feedback(**routing), "feedback")
    assert answer.status == 200, answer.body
    assert answer.json()["data"]["ndarray"] == [[0.5, routing.get("r", -99)]]  # the root's own reply
    assert {name for name in "rabcd" if "feedback" in served.noted(name)} == set(asked)


def test_feedback_along_a_route_that_there_is_not(served: Graphs) -> None:
    answer = served.post("routed", feedback(r=9), "feedback")
    assert answer.status == 400
    assert "the routing of r is wrong: 9 is none of its 3 children" in answer.json()["status"]["info"]


def test_feedback_of_a_request_that_was_answered(served: Graphs) -> None:
    """A whole round: the answer says where it came from, and the feedback goes there."""
    response = served.ask("routed", {"jsonData": {"routes": {"r": 2}}, "meta": {}})
    for name in "rabcd":
        served.noted(name)
    served.post("routed", {"request": {"data": {"ndarray": [[1]]}}, "response": response, "reward": 1}, "feedback")
    assert {name for name in "rabcd" if "feedback" in served.noted(name)} == {"r", "d"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"reward": "a"}', b'{"response": {"meta": {"routing": 7}}}'])
def test_bad_feedback(served: Graphs, body: bytes) -> None:
    answer = served.server.post("/seldon/ns/routed/api/v1.0/feedback", body, headers=JSON)
    assert answer.status == 400, answer.body


def test_feedback_where_nobody_learns_comes_back(served: Graphs) -> None:
    message = feedback()
    answer = served.post("joined", message, "feedback")
    assert answer.json() == message


def test_compressed_requests(served: Graphs) -> None:
    packed = {"Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps({"jsonData": {"routes": {"r": 1}}}).encode())
    assert served.post("routed", body, **packed).json()["jsonData"]["trace"] == ["b.in", "c.predict"]
    answer = served.post("routed", gzip.compress(json.dumps(feedback(r=0)).encode()), "feedback", **packed)
    assert answer.json()["data"]["ndarray"] == [[0.5, 0]]
    answer = served.post("joined", gzip.compress(json.dumps(feedback()).encode()), "feedback", **packed)
    is_packed = answer.headers.get("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(answer.body) if is_packed else answer.body) == feedback()


# --- clients that leave, servers that stop ---------------------------------------------------------------


def test_a_client_that_leaves_ends_what_was_asked_for_it(served: Graphs) -> None:
    """The nodes that have not been asked are not, and the next request finds everything in order."""
    body = json.dumps({"jsonData": {"routes": {"r": 0}, "fault": {"at": "t", "how": "nap"}}}).encode()
    pools = "faulty" if served.together else "faulty:t"
    before = served.server.metric("modelport_not_run_total", endpoint=pools, reason="cancelled")
    with socket.create_connection(("127.0.0.1", served.server.port)) as client:
        head = f"POST /seldon/ns/faulty/api/v1.0/predictions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        until(
            lambda: served.server.metric("modelport_workers", endpoint=pools, state="busy"), what="the request to run"
        )
    cancelled = {"endpoint": pools, "reason": "cancelled"}
    until(lambda: served.server.metric("modelport_not_run_total", **cancelled) == before + 1, what="its end")
    assert served.trace("faulty", routes={"r": 0})[-1] == "o.out"


def test_large_messages_leave_no_files_open(served: Graphs) -> None:
    message = {"jsonData": {"text": "x" * (2 << 20)}}
    served.ask("joined", message)
    front = psutil.Process(served.server.pid)
    before = front.num_fds()
    for _ in range(10):
        served.ask("joined", message)
        served.post("joined", {"jsonData": {**message["jsonData"], "fault": {"at": "z", "how": "raise"}}})
    assert front.num_fds() <= before + 4


@pytest.mark.parametrize("apart", [False, True])
def test_a_server_that_stops_finishes_what_runs(tmp_path: Path, apart: bool) -> None:
    graph = unit("t", "TRANSFORMER", unit("m"))
    components: dict[str, Any] = {"t": UNIT, "m": UNIT}
    file = deploy(tmp_path, deployment("dep", predictor(graph)), isolated(components) if apart else components)
    with serving(file) as server:
        message = {"jsonData": {"fault": {"at": "t", "how": "nap"}}}
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(server.post, "/api/v1.0/predictions", message, headers=JSON)
            pool = "dep:t" if apart else "dep"
            until(lambda: server.metric("modelport_workers", endpoint=pool, state="busy"), what="the request to run")
            assert server.stop() == 0
            assert asked.result().json()["jsonData"]["trace"] == ["t slept", "m.predict"]
