"""Seldon Core's wrapper: app.py COMPONENT [COMPONENT ...], each in a process of its own on the next port.

One gunicorn worker with one thread each, and gRPC with one thread on the port after its own for a component that is
the only one: what the package's command starts, but on 127.0.0.1 alone. PORT comes from the environment.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys

from seldon_core.gunicorn_utils import UserModelApplication, post_worker_init
from seldon_core.metrics import SeldonMetrics
from seldon_core.wrapper import get_grpc_server, get_rest_microservice

LOCAL = "127.0.0.1"


def rest(component: object, name: str, metrics: SeldonMetrics, port: int) -> None:
    """Serve a component over REST."""
    app = get_rest_microservice(component, metrics)
    options = {
        "bind": f"{LOCAL}:{port}",
        "accesslog": None,
        "loglevel": "warning",
        "timeout": 5000,
        "threads": 1,
        "workers": 1,
        "max_requests": 0,
        "max_requests_jitter": 0,
        "keepalive": 2,
        "post_worker_init": post_worker_init,
    }
    UserModelApplication(app, component, 0, {}, name, options=options).run()


def grpc(component: object, metrics: SeldonMetrics, port: int) -> None:
    """Serve a component over gRPC."""
    server = get_grpc_server(component, metrics, annotations={}, num_threads=1)
    server.add_insecure_port(f"{LOCAL}:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    sys.argv, names = sys.argv[:1], sys.argv[1:]  # gunicorn would read them
    first = int(os.environ["PORT"])
    components = [getattr(importlib.import_module(name), name)() for name in names]
    recorder = SeldonMetrics(worker_id_func=os.getpid)
    others = [(rest, (components[at], names[at], recorder, first + at)) for at in range(1, len(names))]
    if not others:
        others = [(grpc, (components[0], recorder, first + 1))]
    for target, arguments in others:
        multiprocessing.Process(target=target, args=arguments, daemon=True).start()
    rest(components[0], names[0], recorder, first)
