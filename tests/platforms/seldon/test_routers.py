"""The routers that learn: what they choose, what they learn from feedback, where they keep it."""

from __future__ import annotations

import json
import math
import multiprocessing
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelport.contracts.seldon.ready import component_of
from modelport.contracts.seldon.routers import Bandit, EpsilonGreedy, ThompsonSampling
from modelport.errors import InvalidInput, LoadError
from tests.harness import Running, serving, until
from tests.platforms.seldon.conftest import launched, microservice

ROW = np.array([[1.0, 2.0]])
JSON = {"Content-Type": "application/json"}
KINDS = [EpsilonGreedy, ThompsonSampling]


def route(router: Bandit) -> int:
    return router.route(ROW, [])


def learn(router: Bandit, branch: int, reward: float, rows: int = 1) -> None:
    router.send_feedback(np.ones((rows, 2)), [], reward, None, routing=branch)


def within(count: int, trials: int, chance: float) -> bool:
    """Whether a count is less than five standard deviations from what is expected: wrong once in two million times."""
    return abs(count - trials * chance) < 5 * math.sqrt(trials * chance * (1 - chance))


# --- epsilon-greedy --------------------------------------------------------------------------------------------


def test_the_best_branch_with_probability_one_minus_epsilon_and_the_others_alike() -> None:
    router = EpsilonGreedy(n_branches=4, epsilon=0.3, seed=7)
    learn(router, 2, 1.0)
    trials = 20_000
    counts = Counter(route(router) for _ in range(trials))
    assert within(counts[2], trials, 0.7)
    for other in (0, 1, 3):
        assert within(counts[other], trials, 0.1)


@pytest.mark.parametrize(("epsilon", "expected"), [(0, {1}), (1, {0, 2})])
def test_epsilon_at_its_ends(epsilon: float, expected: set[int]) -> None:
    router = EpsilonGreedy(n_branches=3, epsilon=epsilon, best_branch=1, seed=1)
    assert {route(router) for _ in range(200)} == expected


def test_the_best_branch_is_the_one_with_the_best_mean_and_not_the_most_rewards() -> None:
    router = EpsilonGreedy(n_branches=2, epsilon=0, best_branch=0)
    for _ in range(10):
        learn(router, 0, 0.4)
    learn(router, 1, 0.5)
    assert route(router) == 1
    learn(router, 1, 0.0)
    assert route(router) == 0


def test_the_best_branch_stays_while_another_is_only_as_good() -> None:
    router = EpsilonGreedy(n_branches=3, epsilon=0, best_branch=2)
    assert route(router) == 2
    learn(router, 2, 0.5)
    learn(router, 0, 0.5)
    assert route(router) == 2


def test_it_finds_the_best_of_real_odds() -> None:
    router = EpsilonGreedy(n_branches=3, epsilon=0.2, seed=3)
    assert converges(router, [0.2, 0.5, 0.8]) > 0.7


# --- Thompson sampling -----------------------------------------------------------------------------------------


def test_without_rewards_every_branch_is_as_likely() -> None:
    router = ThompsonSampling(n_branches=4, seed=11)
    trials = 20_000
    counts = Counter(route(router) for _ in range(trials))
    assert all(within(counts[branch], trials, 0.25) for branch in range(4))


def test_a_branch_is_chosen_as_often_as_it_is_likely_to_be_the_best() -> None:
    """For Beta(2, 1) against Beta(1, 1) that is the mean of the former: 2/3."""
    router = ThompsonSampling(n_branches=2, seed=5)
    learn(router, 0, 1.0)
    trials = 20_000
    assert within(Counter(route(router) for _ in range(trials))[0], trials, 2 / 3)


def test_it_explores_less_the_more_it_knows() -> None:
    router = ThompsonSampling(n_branches=3, seed=3)
    assert converges(router, [0.2, 0.5, 0.8]) > 0.9
    assert all(successes + failures for successes, failures in zip(router.successes, router.failures, strict=True))


def converges(router: Bandit, odds: list[float]) -> float:
    """How much of the last half of 2000 requests went to the branch with the best odds."""
    world = random.Random(17)
    chosen = []
    for _ in range(2000):
        branch = route(router)
        chosen.append(branch)
        learn(router, branch, float(world.random() < odds[branch]))
    return chosen[1000:].count(odds.index(max(odds))) / 1000


# --- both ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_repeats_what_chance_did(kind: type[Bandit]) -> None:
    same = [[route(router) for _ in range(50)] for router in (kind(n_branches=5, seed=9), kind(n_branches=5, seed=9))]
    assert same[0] == same[1]
    other = kind(n_branches=5, seed=10)
    assert kind is EpsilonGreedy or same[0] != [route(other) for _ in range(50)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("features", "rows"),
    [(np.ones((4, 2)), 4), (np.ones((3, 2, 2)), 3), (np.ones(5), 1), (np.array([]), 1), (np.ones((0, 2)), 1)],
)
def test_a_reward_is_the_mean_over_its_rows(kind: type[Bandit], features: Any, rows: int) -> None:
    router = kind(n_branches=2)
    router.send_feedback(features, [], 0.25, None, routing=1)
    assert router.successes == [0, 0.25 * rows]
    assert router.failures == [0, 0.75 * rows]


@pytest.mark.parametrize("reward", [-0.1, 1.1, math.nan, math.inf, "1", None])
def test_rewards_out_of_bounds_teach_nothing(reward: Any) -> None:
    router = ThompsonSampling(n_branches=2)
    with pytest.raises(InvalidInput, match="reward"):
        learn(router, 0, reward)
    assert router.successes == router.failures == [0, 0]


@pytest.mark.parametrize("routing", [None, 2, -2, 1.5, "1"])
def test_feedback_on_no_branch_teaches_nothing(routing: Any) -> None:
    router = ThompsonSampling(n_branches=2)
    with pytest.raises(InvalidInput, match="names no branch from 0 to 1"):
        learn(router, routing, 1.0)
    learn(router, -1, 1.0)  # all of them answered
    assert router.successes == [0, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "n_branches is missing"),
        ({"n_branches": 0}, "n_branches must be from 1 to 1000"),
        ({"n_branches": "two"}, "n_branches must be a number"),
        ({"n_branches": 2.5}, "n_branches must be from 1"),
        ({"n_branches": 10**9}, "n_branches must be from 1 to 1000"),
        ({"n_branches": 3, "branch_names": "a:b"}, "branch_names must be 3 different names"),
        ({"branch_names": "a:a"}, "branch_names must be 2 different names"),
    ],
)
def test_parameters_that_make_no_router(kind: type[Bandit], parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        kind(**parameters)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"epsilon": 1.5}, "epsilon must be from 0 to 1"),
        ({"epsilon": "x"}, "epsilon must be a number"),
        ({"epsilon": math.nan}, "epsilon must be a number"),
        ({"best_branch": 3}, "best_branch must be from 0 to 2"),
        ({"best_branch": 0.5}, "best_branch must be from 0 to 2"),
    ],
)
def test_parameters_of_epsilon_greedy(parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        EpsilonGreedy(n_branches=3, **parameters)


def test_names_alone_say_how_many_branches_there_are() -> None:
    router = ThompsonSampling(branch_names="rf:xgb")
    assert (router.n_branches, router.branch_names) == (2, ["rf", "xgb"])
    assert EpsilonGreedy(n_branches="2", epsilon="0.5").n_branches == 2


def test_tags_and_metrics_say_where_a_request_went() -> None:
    router = EpsilonGreedy(branch_names="rf:xgb", epsilon=0, best_branch=1)
    assert router.tags() == {}
    route(router)
    assert router.tags() == {"branch": "xgb"}
    told = {(metric["key"], metric["tags"]["branch"]): metric["value"] for metric in router.metrics()}
    assert told["router_branch_routed", "xgb"] == 1
    learn(router, 0, 0.75)
    assert router.tags() == {}
    told = {(metric["key"], metric["tags"]["branch"]): metric["value"] for metric in router.metrics()}
    assert told["router_branch_successes", "rf"] == 0.75
    assert not any(key == "router_branch_routed" for key, _ in told)


def test_history_is_kept_on_demand() -> None:
    router = ThompsonSampling(n_branches=2, history=True)
    learn(router, 1, 0.5, rows=4)
    assert list(router.history or []) == [(1, 2.0, 2.0)]
    assert ThompsonSampling(n_branches=2).history is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("seldonio/mab_epsilon_greedy:1.17.1", "modelport.contracts.seldon.routers.EpsilonGreedy"),
        ("seldonio/mab_Thompson_sampling@sha256:0", "modelport.contracts.seldon.routers.ThompsonSampling"),
        ("THOMPSON_SAMPLING", "modelport.contracts.seldon.routers.ThompsonSampling"),
        ("localhost:5000/mab_epsilon_greedy", None),
        ("epsilon_greedy", None),
        ("", None),
    ],
)
def test_images_and_implementations(name: str, expected: str | None) -> None:
    assert component_of(name) == expected


# --- what was learned, kept --------------------------------------------------------------------------------------


def test_what_was_learned_outlives_the_router(tmp_path: Path) -> None:
    first = EpsilonGreedy(n_branches=2, state_dir=str(tmp_path), epsilon=0, best_branch=0)
    learn(first, 1, 1.0, rows=3)
    second = EpsilonGreedy(n_branches=2, state_dir=str(tmp_path), epsilon=0, best_branch=0)
    assert second.successes == [0, 3]
    assert route(second) == 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".json"] == ["EpsilonGreedy.json"]


def test_a_branch_more_starts_without_rewards_and_one_less_is_refused(tmp_path: Path) -> None:
    learn(ThompsonSampling(n_branches=2, state_dir=str(tmp_path)), 1, 1.0)
    assert ThompsonSampling(n_branches=3, state_dir=str(tmp_path)).successes == [0, 1, 0]
    with pytest.raises(LoadError, match="is of a router with 2 branches; this one has 1"):
        ThompsonSampling(n_branches=1, state_dir=str(tmp_path))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"successes": [1], "failures": [-1]}', '{"successes": [1], "failures": []}']
)
def test_a_damaged_file_is_not_taken_for_a_new_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "ThompsonSampling.json").write_text(text)
    with pytest.raises(LoadError, match=r"ThompsonSampling\.json"):
        ThompsonSampling(n_branches=2, state_dir=str(tmp_path))
    assert (tmp_path / "ThompsonSampling.json").read_text() == text


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LoadError, match="state cannot be kept in"):
        ThompsonSampling(n_branches=2, state_dir=str(tmp_path / "file" / "x"))


def test_routers_that_share_a_folder_learn_together(tmp_path: Path) -> None:
    one, other = (EpsilonGreedy(n_branches=2, state_dir=str(tmp_path), epsilon=0, best_branch=0) for _ in range(2))
    learn(one, 1, 1.0)
    learn(other, 1, 0.5)
    assert route(one) == 1
    assert one.successes == other.successes == [0, 1.5]


def teach(folder: str, branch: int) -> None:
    router = ThompsonSampling(n_branches=2, state_dir=folder)
    for _ in range(100):
        learn(router, branch, 1.0)


def test_nothing_is_lost_when_several_learn_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    teachers = [context.Process(target=teach, args=(str(tmp_path), branch)) for branch in (0, 1, 1)]
    for teacher in teachers:
        teacher.start()
    for teacher in teachers:
        teacher.join(60)
        assert teacher.exitcode == 0
    kept = json.loads((tmp_path / "ThompsonSampling.json").read_text())
    assert kept == {"successes": [100, 200], "failures": [0, 0]}
    assert {path.name for path in tmp_path.iterdir()} == {"ThompsonSampling.json", "ThompsonSampling.json.lock"}


# --- served ------------------------------------------------------------------------------------------------------


def given(**parameters: Any) -> str:
    kinds = {int: "INT", float: "FLOAT", str: "STRING", bool: "BOOL"}
    return json.dumps([{"name": k, "value": str(v), "type": kinds[type(v)]} for k, v in parameters.items()])


def ask(server: Running) -> int:
    return int(server.post("/route", {"data": {"ndarray": [[1, 2]]}}, headers=JSON).json()["data"]["ndarray"][0][0])


def tell(server: Running, branch: Any, reward: float = 1.0) -> int:
    response = {"meta": {"routing": {"eg": branch}}}
    body = {"request": {"data": {"ndarray": [[1, 2]]}}, "response": response, "reward": reward}
    return server.post("/send-feedback", body, headers=JSON).status


def test_a_router_served_by_its_images_name(tmp_path: Path) -> None:
    parameters = given(n_branches=3, epsilon=0.0, best_branch=0, branch_names="a:b:c")
    env = {"PREDICTIVE_UNIT_ID": "eg"}
    with microservice("seldonio/mab_epsilon_greedy:1.3", "--parameters", parameters, cwd=tmp_path, env=env) as server:
        assert ask(server) == 0
        assert tell(server, 2) == 200
        assert ask(server) == 2
        assert tell(server, 3) == 400
        assert tell(server, 1, reward=5) == 400
        assert server.metric("router_branch_successes", branch="c", method="router", model_name="eg") == 1
        assert server.metric("router_branch_routed_total", branch="c") == 1
        message = server.post("/route", {"strData": "x"}, headers=JSON).json()
        assert message["meta"]["tags"] == {"branch": "c"}


def test_what_was_learned_is_there_after_a_restart_and_in_every_worker(tmp_path: Path) -> None:
    state = tmp_path / "state"
    arguments = (
        "THOMPSON_SAMPLING",
        "--workers",
        "2",
        "--parameters",
        given(n_branches=2, state_dir=str(state), seed=1),
    )
    env = {"PREDICTIVE_UNIT_ID": "eg", "SELDON_DEPLOYMENT_ID": "dep"}
    with microservice(*arguments, cwd=tmp_path, env=env) as server:
        until(lambda: server.metric("modelport_workers", state="idle") == 2)
        for _ in range(300):
            assert tell(server, 1) == 200
        server.stop()
    assert json.loads((state / "dep-eg.json").read_text()) == {"successes": [0, 300], "failures": [0, 0]}
    with microservice(*arguments, cwd=tmp_path, env=env) as server:
        until(lambda: server.metric("modelport_workers", state="idle") == 2)
        assert sum(ask(server) for _ in range(40)) >= 36  # each goes astray once in 300 times


def test_the_nodes_data_folder_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "modelport.yaml").write_text(
        "contract: seldon\ncomponent: EPSILON_GREEDY\nname: eg\noptions:\n"
        "  parameters: [{name: n_branches, value: 2, type: INT}]\n"
    )
    (tmp_path / "data").mkdir()
    with serving(tmp_path, "--data-dir", tmp_path / "data") as server:
        body = {"response": {"meta": {"routing": {"0": 1}}}, "reward": 1}
        assert server.post("/send-feedback", body, headers=JSON).status == 200
    kept = json.loads((tmp_path / "data" / "routers" / "EpsilonGreedy.json").read_text())
    assert kept["successes"] == [0, 1]


def test_several_workers_that_share_nothing_are_refused(tmp_path: Path) -> None:
    server = launched("EPSILON_GREEDY", "--workers", "2", "--parameters", given(n_branches=2), cwd=tmp_path)
    try:
        assert server.process.wait(30) == 1
    finally:
        server.kill()
    said = "\n".join(server.raw_logs)
    assert "2 workers would not share it" in said
    assert "give it the parameter state_dir" in said


DEPLOYMENT = """
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata: {name: mab}
spec:
  predictors:
  - name: main
    componentSpecs:
    - spec: {containers: [{name: eg-router, image: "seldonio/mab_epsilon_greedy:1.6.0-dev"}]}
    graph:
      name: eg-router
      type: ROUTER
      parameters:
      - {name: n_branches, value: "2", type: INT}
      - {name: epsilon, value: "0", type: FLOAT}
      - {name: best_branch, value: "0", type: INT}
      children: [{name: a, implementation: SIMPLE_MODEL}, {name: b, implementation: SIMPLE_MODEL}]
"""


def test_the_platforms_image_in_a_graph(tmp_path: Path) -> None:
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    asked = {"data": {"ndarray": [[1, 2]]}, "meta": {}}
    with serving(tmp_path / "deployment.yaml") as server:
        path = server.post("/api/v1.0/predictions", asked, headers=JSON).json()["meta"]["requestPath"]
        assert "a" in path
        feedback = {"request": asked, "response": {"meta": {"routing": {"eg-router": 1}}}, "reward": 1}
        assert server.post("/api/v1.0/feedback", feedback, headers=JSON).status == 200
        path = server.post("/api/v1.0/predictions", asked, headers=JSON).json()["meta"]["requestPath"]
        assert "b" in path
        assert server.metric("router_branch_routed_total", branch="1", model_name="eg-router") == 1
        assert server.metric("mymetric_counter_total", model_name="b", method="predict", deployment_name="mab") == 1


def test_a_graph_whose_router_shares_nothing_is_refused_several_workers(tmp_path: Path) -> None:
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    (tmp_path / "modelport.yaml").write_text("pool: {floor: 2, cruise: 2, ceil: 2}\n")
    with serving(tmp_path / "deployment.yaml") as server:
        assert server.get("/healthz/ready").status == 503
        assert any("2 workers would not share it" in line["message"] for line in server.logs)
