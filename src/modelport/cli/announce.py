"""What a person sees when a server has started."""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from collections.abc import Iterable

from modelport import __version__
from modelport.dataplane import Endpoint
from modelport.pool.sizing import cpus
from modelport.server.lifecycle import Server

_log = logging.getLogger("modelport.server")

Routes = dict[tuple[str, str, str], list[str]]
"""(protocol, method, common beginning) to the paths' ends."""


def announce(server: Server) -> None:
    """The resolved routes by model, what failed to load, and one command to paste for each model."""
    served: dict[str, Routes] = {endpoint.spec.name: defaultdict(list) for endpoint in server.plane.endpoints}
    others: list[str] = []
    routes = server.app.routes()
    slashed = {(method, path.rstrip("/")) for method, path, _, _ in routes if path.endswith("/")}
    for method, path, protocol, model in routes:
        place = _place(path, [model] if model else served)
        if method in ("HEAD", "OPTIONS") or (place is None and path in others) or _is_switched_off(path, server):
            continue
        if (method, path) in slashed:  # the same without its final slash
            continue
        if place is None and model:
            base = path.rstrip("/").rpartition("/")[0]
            served[model][protocol, method, base].append(path.removeprefix(base))
        elif place is None:
            others.append(path)
        else:
            base, name = place
            served[name][protocol, method, base].append(path.removeprefix(base))
    print(f"Modelport {__version__} serves {len(served)} model(s) at {places(server)}")
    tracebacks: set[str] = set()
    for endpoint in server.plane.endpoints:
        _announce_model(server, endpoint, served[endpoint.spec.name], tracebacks)
    for name, url in server.side_urls.items():
        print(f"\n{name}  {url}")
    print(f"\nserver  {' '.join(others)}")
    if server.rpc is not None:
        print(f"gRPC    {' '.join(server.rpc.services)}")
    _warn_of_processors(server.plane.endpoints)
    sys.stdout.flush()


def places(server: Server) -> str:
    """Where clients find the server."""
    return server.base if server.rpc_address is None else f"{server.base} and, by gRPC, at {server.rpc_address}"


def _place(path: str, names: Iterable[str]) -> tuple[str, str] | None:
    """The path up to the name of one of these models, and that name."""
    for name in names:
        head, found, tail = path.rpartition(f"/{name}")
        if found and (not tail or tail.startswith("/")):
            return head + found, name
    return None


def _is_switched_off(path: str, server: Server) -> bool:
    return "/repository/" in path and not server.settings.repository


def _announce_model(server: Server, endpoint: Endpoint, routes: Routes, tracebacks: set[str]) -> None:
    pool = endpoint.spec.pool
    workers = f"{pool.floor} to {pool.ceil} workers" if pool.floor < pool.ceil else f"{pool.ceil} worker(s)"
    waiting = f"{pool.queue} requests may wait {pool.timeout / 1000:g} s"
    has_failed = endpoint.error is not None
    print(f"\n{endpoint.spec.name}  {'does not load' if has_failed else endpoint.state}; {workers}, {waiting}")
    last = ""
    for (protocol, method, base), ends in routes.items():
        print(f"  {protocol if protocol != last else '':8} {method:4} {base}{_braced(ends, endpoint.spec.version)}")
        last = protocol
    if endpoint.state != "ready":
        _explain(server, endpoint, tracebacks)
        return
    example = example_of(server, endpoint)
    if example:
        print(f"  try      {example}")


def _braced(ends: list[str], version: str | None) -> str:
    """The ends in a shell's braces; where each is also there with the version before it, that is optional."""
    of_version = f"/versions/{version}"
    plain = [end for end in ends if not end.startswith(of_version)]
    optional = f"[{of_version}]" if {of_version + end for end in plain} == set(ends) - set(plain) else ""
    shown = plain if optional else ends
    return optional + (shown[0] if len(shown) == 1 else f"{{{','.join(shown)}}}")


def example_of(server: Server, endpoint: Endpoint) -> str | None:
    """A command that asks this endpoint something through its own platform's protocol, or through another."""
    own = server.native if len(server.plane.endpoints) == 1 else endpoint.spec.contract
    protocols = sorted(server.protocols, key=lambda protocol: protocol.name != own)
    examples = (
        protocol.example(endpoint, server.base + server.app.mount(protocol, endpoint)) for protocol in protocols
    )
    example = next((text for text in examples if text), None)
    if example and not endpoint.open_to_all and " -u " not in example:
        return example.replace("curl ", "curl -u KEY: ", 1)
    return example


def _explain(server: Server, endpoint: Endpoint, tracebacks: set[str]) -> None:
    """Why it is not ready; each traceback once, and not again where the log just showed it to the same person."""
    error = endpoint.error
    print(f"  cause    {endpoint.reason if error is None else error.message}")
    if error is None:
        return
    form = server.settings.log_format
    is_in_log = form == "human" or (form == "auto" and sys.stderr.isatty())
    if error.traceback and error.traceback not in tracebacks and not is_in_log:
        tracebacks.add(error.traceback)
        print("".join(f"    {line}\n" for line in error.traceback.rstrip().splitlines()), end="")
    print(f"  hint     {error.hint or f'modelport doctor {endpoint.spec.path}'}")


def _warn_of_processors(endpoints: list[Endpoint]) -> None:
    many = [endpoint.spec.name for endpoint in endpoints if endpoint.spec.pool.ceil > cpus()]
    if many:
        _log.warning(
            "%s: ceil is above the %g processor(s) available; more workers help only models that wait for something",
            ", ".join(many),
            cpus(),
        )
