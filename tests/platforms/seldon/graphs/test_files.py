"""SeldonDeployment files: their shapes, where the components are, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelport import config
from modelport.core.model import ModelSpec
from modelport.errors import ConfigError
from modelport.packages.find import find
from tests.platforms.seldon.graphs.deploying import COMPONENTS, UNIT, deploy, deployment, node, predictor, unit

SETTINGS = config.resolve({}, env={})


def read(folder: Path, made: dict[str, Any], components: dict[str, Any] | None = None) -> list[ModelSpec]:
    return find(str(deploy(folder, made, components)), SETTINGS)


def faults(folder: Path, made: dict[str, Any], components: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, made, components)
    return caught.value.faults


def one(folder: Path, graph: dict[str, Any], components: dict[str, Any] | None = None, **more: Any) -> ModelSpec:
    (spec,) = read(folder, deployment("dep", predictor(graph, **more)), components)
    return spec


# --- shapes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v1alpha2", "v1alpha3"])
@pytest.mark.parametrize("suffix", ["yaml", "yml", "json"])
def test_versions_and_forms(tmp_path: Path, version: str, suffix: str) -> None:
    made = deployment("dep", predictor(unit("a")))
    made["apiVersion"] = f"machinelearning.seldon.io/{version}"
    file = deploy(tmp_path, made).rename(tmp_path / f"file.{suffix}")
    if suffix != "json":
        file.write_text(yaml.safe_dump(made))
    (spec,) = find(str(file), SETTINGS)
    assert (spec.name, spec.contract, spec.path) == ("dep", "seldon", str(file))
    assert spec.graph is not None
    assert list(spec.graph.together) == ["a"]


def test_other_documents_and_lists_in_a_file(tmp_path: Path) -> None:
    deploy(tmp_path, deployment("dep", predictor(unit("a"))))
    listed = {"kind": "List", "items": [deployment(name, predictor(unit("a"))) for name in ("two", "three")]}
    documents = [{"kind": "Namespace"}, deployment("one", predictor(unit("a"))), None, listed]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(documents))
    assert [spec.name for spec in find(str(tmp_path / "all.yaml"), SETTINGS)] == ["one", "two", "three"]


def test_a_file_of_another_kind_is_none_of_this_platform(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("kind: Deployment\n")
    with pytest.raises(ConfigError, match="is no model of a known platform"):
        find(str(tmp_path / "other.yaml"), SETTINGS)


def test_types_methods_and_defaults(tmp_path: Path) -> None:
    graph = {
        "name": "t",
        "methods": ["TRANSFORM_INPUT", "TRANSFORM_OUTPUT"],
        "children": [
            {"name": "m", "children": None, "parameters": None},
            {"name": "s", "implementation": "SIMPLE_MODEL"},
            {"name": "w", "type": "MODEL", "methods": ["TRANSFORM_INPUT"]},
        ],
    }
    found = one(tmp_path, graph, {"t": UNIT, "m": UNIT, "w": UNIT}).graph
    assert found is not None
    asked = {each.name: (each.ask, each.then, each.learn) for each in found.root.units()}
    assert asked == {
        "t": ("transform-input", "transform-output", ""),
        "m": ("predict", "", "send-feedback"),
        "s": ("predict", "", "send-feedback"),
        "w": ("transform-input", "", "send-feedback"),
    }


def test_parameters_have_types(tmp_path: Path) -> None:
    stated = {"INT": "3", "FLOAT": "0.5", "DOUBLE": "2", "BOOL": "yes", "STRING": "3"}
    graph = {**node("a"), "parameters": [{"name": k.lower(), "value": v, "type": k} for k, v in stated.items()]}
    found = one(tmp_path, graph, {"a": UNIT}).graph
    assert found is not None
    assert found.together["a"].options["parameters"] == {
        "int": 3, "float": 0.5, "double": 2.0, "bool": True, "string": "3",
    }  # fmt: skip
    assert json.loads(found.together["a"].env["PREDICTIVE_UNIT_PARAMETERS"])[0] == {
        "name": "int", "value": "3", "type": "INT",
    }  # fmt: skip


def test_what_a_node_is_told_of_itself(tmp_path: Path) -> None:
    containers = [{"name": "a", "image": "own/a:1", "env": [{"name": "X", "value": "y"}]}]
    spec = one(
        tmp_path,
        unit("a"),
        {"a": UNIT},
        labels={"version": "v7"},
        componentSpecs=[{"spec": {"containers": containers}}],
    )
    assert spec.graph is not None
    env = spec.graph.together["a"].env
    assert spec.version == "v7"
    assert env["PREDICTIVE_UNIT_ID"] == "a"
    assert env["PREDICTIVE_UNIT_IMAGE"] == "own/a:1"
    assert env["SELDON_DEPLOYMENT_ID"] == "dep"
    assert env["PREDICTOR_ID"] == "main"
    assert json.loads(env["PREDICTOR_LABELS"]) == {"version": "v7"}
    assert env["X"] == "y"


def test_replicas_are_workers(tmp_path: Path) -> None:
    assert one(tmp_path / "a", unit("a"), replicas=3).pool.ceil == 3
    (spec,) = read(tmp_path / "b", deployment("dep", predictor(unit("a")), replicas=2))
    assert (spec.pool.floor, spec.pool.ceil) == (2, 2)


# --- where the components are ----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a", "reg:5000/own/a:1.2", "reg:5000/own/a"])
@pytest.mark.parametrize("form", ["text", "object", "file", "module"])
def test_a_component_is_named_by_container_or_image(tmp_path: Path, key: str, form: str) -> None:
    entry: Any = {
        "text": f"{COMPONENTS}/Unit.py:Raw",
        "object": {"path": f"{COMPONENTS}/Unit.py", "component": "Raw"},
        "file": f"{COMPONENTS}/Unit.py",
        "module": f"{COMPONENTS}:Unit.Raw",
    }[form]
    containers = [{"name": "a", "image": "reg:5000/own/a:1.2"}]
    spec = one(tmp_path, node("a"), {key: entry}, componentSpecs=[{"spec": {"containers": containers}}])
    assert spec.graph is not None
    wanted = "Unit.Unit" if form == "file" else "Unit.Raw"
    assert spec.graph.together["a"].options["component"] == wanted


@pytest.mark.parametrize("place", ["deployment", "spec", "predictor", "component"])
def test_annotations_name_components(tmp_path: Path, place: str) -> None:
    annotations = {"modelport/component.a": UNIT}
    containers = {"spec": {"containers": [{"name": "a", "image": "x"}]}}
    made = deployment("dep", predictor(node("a"), componentSpecs=[containers]))
    holder = {
        "deployment": made["metadata"],
        "spec": made["spec"],
        "predictor": made["spec"]["predictors"][0],
        "component": containers.setdefault("metadata", {}),
    }[place]
    holder["annotations"] = annotations
    (spec,) = read(tmp_path, made, {})
    assert spec.graph is not None
    assert spec.graph.together["a"].options["component"] == "Unit.Unit"


def test_paths_begin_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "Mine.py").write_text("class Mine:\n    pass\n")
    spec = one(tmp_path, node("a"), {"a": "models/Mine.py"})
    assert spec.graph is not None
    assert spec.graph.together["a"].root == str(tmp_path / "models")


def test_without_an_engine_a_component_stands_alone(tmp_path: Path) -> None:
    (spec,) = read(tmp_path, deployment("dep", predictor(unit("a")), annotations={"seldon.io/no-engine": "true"}))
    assert spec.graph is None
    assert (spec.name, spec.options["component"]) == ("dep", "Unit.Unit")
    assert spec.options["parameters"] == {"me": "a"}


# --- who lives where -------------------------------------------------------------------------------------


def apart(spec: ModelSpec) -> dict[str, str]:
    assert spec.graph is not None
    return spec.graph.apart_for


def test_nodes_live_together(tmp_path: Path) -> None:
    for name in ("One", "Two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text(f"class {name}:\n    pass\n")
    spec = one(
        tmp_path, node("a", "MODEL", node("b"), node("c", "SIMPLE_MODEL")), {"a": "One/One.py", "b": "Two/Two.py"}
    )
    assert apart(spec) == {}


def test_modules_of_one_name_live_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Model.py").write_text("class Model:\n    pass\n")
    graph = node("a", "MODEL", node("b"), node("c"))
    spec = one(tmp_path, graph, {"a": "one/Model.py", "b": "two/Model.py", "c": "one/Model.py"})
    assert apart(spec) == {"b": f"its folder has a module Model, and so has {tmp_path / 'one'}"}


def test_variables_that_differ_live_apart(tmp_path: Path) -> None:
    env = [[{"name": "MODE", "value": value}] for value in ("x", "x", "y")]
    containers = [{"name": name, "image": "i", "env": each} for name, each in zip("abc", env, strict=True)]
    graph = unit("a", "MODEL", unit("b"), unit("c"))
    spec = one(tmp_path, graph, componentSpecs=[{"spec": {"containers": containers}}])
    assert apart(spec) == {"c": "another node has another value of MODE"}


def test_an_environment_of_its_own_and_a_mark(tmp_path: Path) -> None:
    components = {"a": {"path": UNIT, "environment": "venv/bin/python"}, "b": {"path": UNIT, "isolated": True}}
    spec = one(tmp_path, unit("a", "MODEL", unit("b")), components)
    assert apart(spec) == {
        "a": f"it has an environment of its own, {tmp_path / 'venv/bin/python'}",
        "b": "it is marked as isolated",
    }


# --- what is wrong ---------------------------------------------------------------------------------------


def test_every_fault_is_told(tmp_path: Path) -> None:
    graph = {
        "name": "a",
        "type": "MODLE",
        "children": [
            {"name": "a", "type": "ROUTER"},
            {"name": "c", "implementation": "TRITON_SERVER"},
            {"name": "d", "implementation": "RANDOM_ABTEST", "children": [{"name": "e"}]},
            {"name": "f", "implementation": "SKLEARN_SERVER"},
            {"name": "g", "implementation": "SKLEARN_SERVER", "modelUri": "s3://bucket/model"},
            {"name": "h", "implementation": "XGBOOST_SERVER", "modelUri": "gone"},
            {"name": "i", "parameters": [{"name": "x", "value": "y", "type": "INT"}, {"name": "z"}]},
            {"name": "j", "methods": ["FLY"]},
            {"name": "k", "endpoint": {"service_host": "example.org"}},
            "l",
            {"type": "MODEL"},
            {"name": "n\r\nSet-Cookie: a"},
            {"name": "m", "type": "COMBINER", "children": 7},
        ],
    }
    made = deployment("dep", predictor(graph, traffic=50), predictor(unit("x"), traffic=30), protocol="v2")
    made["apiVersion"] = "machinelearning.seldon.io/v9"
    told = faults(tmp_path, made, {"a": UNIT, "i": UNIT, "j": UNIT, "e": UNIT, "m": "gone.py:Gone", "x": f"{UNIT}s"})
    for wanted in [
        "apiVersion must be machinelearning.seldon.io/ and one of v1",
        "protocol 'v2' is not here",
        "several predictors are called main",
        "the traffic of its predictors is 80; it must be 100",
        "a: type 'MODLE' is not known; there are MODEL, TRANSFORMER",
        "a: several nodes have this name",
        "a: it has no children to choose from",
        "c: TRITON_SERVER is not here",
        "d: RANDOM_ABTEST is between two children; it has 1",
        "f: SKLEARN_SERVER needs a modelUri",
        "g: modelUri s3://bucket/model is remote: copy it here",
        f"h: modelUri: there is nothing at {tmp_path / 'gone'}",
        "i: parameter x of type INT",
        "i: parameters[1].value",
        "j: method 'FLY' is not known",
        "k: it is a service elsewhere (example.org)",
        "graph.children[9]: it must be an object",
        "graph.children[10]: name is missing",
        "graph.children[11]: name is missing, or is no name",
        "m: children must be a list",
        "m: there is nothing at",
        "x: Unit.py defines no class Units",
    ]:
        assert any(wanted in fault for fault in told), (wanted, told)


def test_a_container_or_a_component_that_is_missing(tmp_path: Path) -> None:
    containers = [{"name": "a", "image": "own/a:1"}]
    graph = node("a", "MODEL", node("b"))
    told = faults(
        tmp_path, deployment("dep", predictor(graph, componentSpecs=[{"spec": {"containers": containers}}])), {}
    )
    assert told == [
        "predictor main: a: no component is named for image 'own/a:1': components in modelport.yaml, a: FILE.py:Class",
        "predictor main: b: there is no container 'b'; there are a",
    ]


@pytest.mark.parametrize(
    ("predictors", "wanted"),
    [
        ([{"traffic": 50}, {"traffic": 49}], "the traffic of its predictors is 99"),
        ([{"traffic": 50}], "the traffic of its one predictor must be 100, not 50"),
        ([{"traffic": 101}, {"traffic": 1}], "must be a whole number from 0 to 100"),
        ([{"traffic": "many"}, {"traffic": 100}], "must be a whole number from 0 to 100"),
        ([{"shadow": True}], "a shadow cannot be the only predictor"),
        ([{"traffic": 100}, {"shadow": True}, {"shadow": True}], "only one predictor may be a shadow"),
    ],
)
def test_shares(tmp_path: Path, predictors: list[dict[str, Any]], wanted: str) -> None:
    made = [predictor(unit("a"), f"p{at}", **more) for at, more in enumerate(predictors)]
    assert any(wanted in fault for fault in faults(tmp_path, deployment("dep", *made)))


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (7, "it must be PATH:Class, or an object with a path"),
        ({"component": "A"}, "it must be PATH:Class, or an object with a path"),
        ({"path": UNIT, "isolate": True}, "'isolate' must be one of path, component"),
        ({"path": UNIT, "isolated": "yes"}, "'isolated' must be one of path, component"),
        ({"path": UNIT, "pool": {"floor": 0}}, "floor must be a positive integer"),
        (str(COMPONENTS), "is no model of a known platform (known are"),
    ],
)
def test_entries_that_name_nothing(tmp_path: Path, entry: Any, wanted: str) -> None:
    told = faults(tmp_path, deployment("dep", predictor(node("a"))), {"a": entry})
    assert any(wanted in fault for fault in told), told


def test_no_engine_is_for_one_node(tmp_path: Path) -> None:
    made = deployment("dep", predictor(unit("a", "MODEL", unit("b"))), annotations={"seldon.io/no-engine": "true"})
    told = "predictor main: seldon.io/no-engine is for graphs of one node, which has a component"
    assert faults(tmp_path / "two", made) == [told]
    none = deployment("dep", predictor(node("a", "UNKNOWN_TYPE")), annotations={"seldon.io/no-engine": "true"})
    assert faults(tmp_path / "none", none) == [told]


def test_too_deep_and_too_many(tmp_path: Path) -> None:
    deep = unit("n0")
    for at in range(1, 25):
        deep = unit(f"n{at}", "MODEL", deep)
    assert any(
        "a graph may be 20 nodes deep" in fault for fault in faults(tmp_path / "a", deployment("d", predictor(deep)))
    )
    wide = unit("w", "MODEL", *(unit(f"n{at}") for at in range(300)))
    told = faults(tmp_path / "b", deployment("d", predictor(wide)))
    assert any("a graph may have 200 nodes" in fault for fault in told)


ODD = """
{name: a, graph: {name: b, children: {}, parameters: 3, methods: 7}, labels: 1, replicas: -1,
 componentSpecs: [1, {spec: {containers: [7, {name: 1}, {name: a, env: 5}]}}]}"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no list", "kind: SeldonDeployment\nspec: {predictors: 3}\n"),
        ("no objects", "kind: SeldonDeployment\nspec: []\nmetadata: []\n"),
        ("no predictor", "kind: SeldonDeployment\nspec: {predictors: [1, x]}\n"),
        ("no graph", "kind: SeldonDeployment\nspec: {predictors: [{name: a}]}\n"),
        ("odd parts", f"kind: SeldonDeployment\nspec: {{predictors: [{ODD}]}}\n"),
        ("cut off", "kind: SeldonDeployment\nspec: {predictors: [\n"),
        ("tags", "kind: SeldonDeployment\nspec: !!python/object/apply:os.system [exit]\n"),
        ("bytes", "kind: SeldonDeployment\nspec: \x00\n"),
    ],
)  # fmt: skip
def test_files_that_are_no_deployment(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        find(str(tmp_path / "d.yaml"), SETTINGS)
    assert "Traceback" not in caught.value.describe()


def laughs() -> str:
    """Ten aliases of ten aliases of ... one."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{at}: &a{at} [{','.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 12)]
    return "\n".join([*lines, "kind: SeldonDeployment", "spec: {predictors: *a11}"])


def merges() -> str:
    """The same by merge keys."""
    lines = ["m0: &m0 {x: 1}"]
    lines += [f"m{at}: &m{at} {{<<: [{','.join([f'*m{at - 1}'] * 10)}]}}" for at in range(1, 12)]
    return "\n".join([*lines, "kind: SeldonDeployment", "spec: {predictors: [*m11]}"])


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (laughs(), "holds more than 50000 values"),
        (merges(), "holds more than 50000 values"),
        ("kind: SeldonDeployment\nspec: &a {predictors: [*a]}\n", "contains a part of itself"),
        ("kind: SeldonDeployment\nspec: " + "[" * 5000, "nested too deeply"),
        ("kind: SeldonDeployment\nspec: " + "[" * 100 + "]" * 100, "nested too deeply"),
        ("kind: SeldonDeployment\n#" + "x" * (1 << 20), "is larger than 1 MiB"),
    ],
    ids=["laughs", "merges", "itself", "deeper", "deep", "large"],
)
def test_hostile_files(tmp_path: Path, text: str, wanted: str) -> None:
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(ConfigError, match=wanted):
        find(str(tmp_path / "d.yaml"), SETTINGS)
    if wanted == "nested too deeply":
        (tmp_path / "d.json").write_text('{"kind": "SeldonDeployment", "spec": ' + "[" * 100_000)
        with pytest.raises(ConfigError, match=r"nested too deeply|is not JSON"):
            find(str(tmp_path / "d.json"), SETTINGS)
