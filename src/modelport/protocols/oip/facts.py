"""What the protocol publishes of the server and its models, as plain values, over HTTP and gRPC alike."""

from __future__ import annotations

from typing import Any

from modelport import __version__
from modelport.core.model import Field
from modelport.core.protocol import Node, Served
from modelport.errors import ModelUnavailable

EXTENSIONS = ["binary_tensor_data", "statistics"]
STATES = {"ready": "READY", "starting": "LOADING", "failed": "UNAVAILABLE", "unloaded": "UNAVAILABLE"}


def server(node: Node) -> dict[str, Any]:
    """Name, version and extensions."""
    extensions = [*EXTENSIONS, "model_repository"] if node.repository else EXTENSIONS
    return {"name": "modelport", "version": __version__, "extensions": extensions}


def listed(endpoint: Served) -> dict[str, Any]:
    """Its entry in the index."""
    entry = {"name": endpoint.spec.name, "state": STATES[endpoint.state], "reason": endpoint.reason}
    if endpoint.spec.version is not None:
        entry["version"] = endpoint.spec.version
    return entry


def metadata(endpoint: Served) -> dict[str, Any]:
    """Its inputs and outputs. Raises ``ModelUnavailable`` until it has been loaded once."""
    description = endpoint.description
    if description is None:
        raise ModelUnavailable(f"model {endpoint.spec.name!r} is {endpoint.state}: {endpoint.reason}")
    return {
        "name": endpoint.spec.name,
        "versions": [endpoint.spec.version] if endpoint.spec.version is not None else [],
        "platform": description.platform,
        "inputs": [_field(field) for field in description.inputs],
        "outputs": [_field(field) for field in description.outputs],
    }


def _field(field: Field) -> dict[str, Any]:
    return {"name": field.name, "datatype": field.datatype, "shape": field.shape}


def statistics(endpoint: Served) -> dict[str, Any]:
    """Durations are sums of nanoseconds. ``execution_count`` counts hand-overs to a worker, a batch being one."""
    counted = endpoint.statistics()
    success, fail = counted["success"], counted["fail"]

    def duration(count: int, nanoseconds: int) -> dict[str, int]:
        return {"count": count, "ns": nanoseconds}

    entry = {
        "name": endpoint.spec.name,
        "last_inference": counted["last"],
        "inference_count": success,
        "execution_count": sum(counted["batches"].values()),
        "inference_stats": {
            "success": duration(success, counted["decode"] + counted["infer"] + counted["encode"]),
            "fail": duration(fail, counted["failed"]),
            "queue": duration(success + fail, counted["queue"]),
            "compute_input": duration(success, counted["decode"]),
            "compute_infer": duration(success, counted["infer"]),
            "compute_output": duration(success, counted["encode"]),
            "cache_hit": duration(0, 0),
            "cache_miss": duration(0, 0),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": duration(count, 0),
                "compute_infer": duration(count, 0),
                "compute_output": duration(count, 0),
            }
            for size, count in sorted(counted["batches"].items())
        ],
        "memory_usage": [],
    }
    if endpoint.spec.version is not None:
        entry["version"] = endpoint.spec.version
    return entry
