"""The servers that are compared: how each is launched, and what is asked of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import wire

BENCH = Path(__file__).resolve().parents[1]
APPS = BENCH / "peers"
VENVS = BENCH / ".venvs"
MODELPORT = BENCH.parent / ".venv" / "bin" / "modelport"
BATCH = 32
PORTS_EACH = 3


@dataclass(frozen=True)
class Launch:
    """What a server is told: its first port of three, the model, its own folder, and whether to batch."""

    port: int
    model: Path
    folder: Path
    batched: bool

    @property
    def environment(self) -> dict[str, str]:
        """The same, as the apps in peers/ read it."""
        return {"PORT": str(self.port), "MODEL": str(self.model), "BATCH": str(int(self.batched))}


@dataclass(frozen=True)
class Client:
    """One way to ask a peer: a format for one row, and a format for many; or one for each step of a way."""

    label: str
    one: wire.Wire
    many: wire.Wire
    steps: tuple[wire.Wire, ...] = ()


@dataclass(frozen=True)
class Peer:
    """One program. `imports` are the model's own, as far as this server loads them too."""

    name: str
    python: Path
    command: Callable[[Launch], list[str]]
    clients: tuple[Client, ...]
    imports: str = "numpy, pandas, sklearn.linear_model, pickle"
    batches: bool = True
    default: bool = True
    ours: bool = False

    def speakers(self, family: str) -> list[Client]:
        """The clients that ask in formats of this family."""
        return [client for client in self.clients if client.many.family == family]


def venv(name: str) -> Path:
    """Where a peer's own interpreter is."""
    return VENVS / name / "bin" / "python"


def litserve(launch: Launch) -> list[str]:
    """LitServe's script."""
    return [str(venv("litserve")), str(APPS / "litserve" / "app.py")]


def kserve(launch: Launch) -> list[str]:
    """KServe's script."""
    return [str(venv("kserve")), str(APPS / "kserve" / "app.py")]


def mlserver(launch: Launch, workers: int = 0) -> list[str]:
    """MLServer on a folder of settings. No worker process is its quicker setting here."""
    batching = {"max_batch_size": BATCH, "max_batch_time": 0.002} if launch.batched else {}
    settings = {
        "host": "127.0.0.1",
        "http_port": launch.port,
        "grpc_port": launch.port + 1,
        "metrics_port": launch.port + 2,
        "parallel_workers": workers,
        "debug": False,
    }
    model = {"name": "lin", "implementation": "runtime.Linear", **batching}
    (launch.folder / "settings.json").write_text(json.dumps(settings))
    (launch.folder / "model-settings.json").write_text(json.dumps(model))
    shutil.copy(APPS / "mlserver" / "runtime.py", launch.folder)
    return [str(venv("mlserver").with_name("mlserver")), "start", str(launch.folder)]


def mlflow(launch: Launch) -> list[str]:
    """MLflow's scoring server on a model folder as `mlflow.sklearn.save_model` lays it out."""
    flavors = {
        "python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl", "predict_fn": "predict"},
        "sklearn": {"pickled_model": "model.pkl", "serialization_format": "pickle"},
    }
    (launch.folder / "MLmodel").write_text(json.dumps({"flavors": flavors}))
    shutil.copy(launch.model, launch.folder / "model.pkl")
    return [str(venv("mlflow")), str(APPS / "mlflow" / "app.py"), str(launch.folder)]


def modelport(launch: Launch) -> list[str]:
    """Modelport on a Dataiku service folder with one endpoint and one worker."""
    example = wire.features([round(0.1 * (n + 1), 1) for n in range(len(wire.COLUMNS))])
    endpoint = {
        "id": endpoint_name(launch.batched),
        "type": "CUSTOM_PREDICTION",
        "predictionType": "REGRESSION",
        "code": "predictor.py",
        "folder": "model",
        "pool": {"floor": 1, "ceil": 1, "cruise": 1, "queue": 256, "timeout": 10000},
        "testQueries": [{"q": example}],
        **({"batching": {"maxRequests": BATCH}} if launch.batched else {}),
    }
    service = {"serviceId": "bench", "generation": "v1", "authMethod": "PUBLIC", "endpoints": [endpoint]}
    (launch.folder / "service.json").write_text(json.dumps(service, indent=1))
    (launch.folder / "model").mkdir(exist_ok=True)
    shutil.copy(launch.model, launch.folder / "model" / "model.pkl")
    shutil.copy(APPS / "modelport" / "predictor.py", launch.folder)
    return serve(launch)


def modelport_drum(launch: Launch) -> list[str]:
    """Modelport on a DRUM code folder that holds just the model; one worker is its default."""
    shutil.copy(launch.model, launch.folder / "model.pkl")
    return serve(launch)


def modelport_seldon(launch: Launch) -> list[str]:
    """Modelport on a Seldon component; one worker is its default."""
    shutil.copy(APPS / "seldon" / "Linear.py", launch.folder)
    return serve(launch, "Linear.py", "--grpc-port", str(launch.port + 1))


def modelport_graph(launch: Launch) -> list[str]:
    """Modelport on a graph of three components."""
    shutil.copytree(APPS / "seldon", launch.folder, dirs_exist_ok=True)
    return serve(launch, "deployment.yaml")


def seldon_core(launch: Launch, *components: str) -> list[str]:
    """Seldon Core's wrapper, a process for each component."""
    return [str(venv("seldon")), str(APPS / "seldon" / "app.py"), *components]


def serve(launch: Launch, file: str = "", *options: str) -> list[str]:
    """Modelport's command for a folder, or a file in it."""
    return [str(MODELPORT), "serve", str(launch.folder / file), "--port", str(launch.port), "--no-access-log", *options]


def endpoint_name(batched: bool) -> str:
    """Name Modelport's endpoint: the plain or the batching one."""
    return "linb" if batched else "lin"


PEERS = (
    Peer(
        "modelport",
        MODELPORT.with_name("python"),
        modelport,
        (
            Client("modelport-oip", wire.OIP, wire.OIP),
            Client("modelport-dataiku", wire.DATAIKU, wire.DATAIKU_MULTI),
        ),
        ours=True,
    ),
    Peer(
        "modelport-drum",
        MODELPORT.with_name("python"),
        modelport_drum,
        (Client("modelport-drum", wire.DRUM, wire.DRUM),),
        ours=True,
    ),
    Peer(
        "modelport-seldon",
        MODELPORT.with_name("python"),
        modelport_seldon,
        (
            Client("modelport-seldon", wire.SELDON_REST, wire.SELDON_REST),
            Client("modelport-seldon-grpc", wire.SELDON_CALL, wire.SELDON_CALL),
        ),
        ours=True,
    ),
    Peer(
        "modelport-graph",
        MODELPORT.with_name("python"),
        modelport_graph,
        (Client("modelport-graph", wire.SELDON_GRAPH, wire.SELDON_GRAPH),),
        ours=True,
    ),
    Peer(
        "seldon-core",
        venv("seldon"),
        lambda launch: seldon_core(launch, "Linear"),
        (
            Client("seldon-core", wire.SELDON_REST, wire.SELDON_REST),
            Client("seldon-core-grpc", wire.SELDON_CALL, wire.SELDON_CALL),
        ),
        imports="numpy, sklearn.linear_model, pickle",
    ),
    Peer(
        "seldon-core-graph",
        venv("seldon"),
        lambda launch: seldon_core(launch, "Linear", "Before", "After"),
        (Client("seldon-core-graph", wire.SELDON_STEPS[0], wire.SELDON_STEPS[0], wire.SELDON_STEPS),),
        imports="numpy, sklearn.linear_model, pickle",
    ),
    Peer(
        "litserve",
        venv("litserve"),
        litserve,
        (Client("litserve", wire.LITSERVE, wire.LITSERVE),),
        imports="numpy, sklearn.linear_model, pickle",
    ),
    Peer("mlserver", venv("mlserver"), mlserver, (Client("mlserver", wire.OIP_LIN, wire.OIP_LIN),)),
    Peer(
        "mlserver-pool",
        venv("mlserver"),
        lambda launch: mlserver(launch, workers=1),
        (Client("mlserver-pool", wire.OIP_LIN, wire.OIP_LIN),),
        default=False,
    ),
    Peer("kserve", venv("kserve"), kserve, (Client("kserve", wire.KSERVE, wire.KSERVE),), batches=False),
    Peer("mlflow", venv("mlflow"), mlflow, (Client("mlflow", wire.MLFLOW, wire.MLFLOW),)),
)


def clean_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The one environment of every measured process: nothing of the caller's but what a process needs."""
    keep = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    no_telemetry = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**keep, "PYTHONUNBUFFERED": "1", **one_thread, **no_telemetry, **(extra or {})}
