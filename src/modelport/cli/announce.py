"""What a person sees when a server has started."""

from __future__ import annotations

import sys
from collections import defaultdict

from modelport.pool.sizing import cpus
from modelport.server.lifecycle import Server


def announce(server: Server) -> None:
    """The resolved routes by model, what failed to load, and one command to paste for each model."""
    out = sys.stdout
    print(f"Modelport serves {len(server.plane.endpoints)} model(s) at {server.base}", file=out)
    table: dict[str, list[str]] = defaultdict(list)
    for method, path, protocol, model in server.app.routes():
        if method != "HEAD":
            table[model].append(f"  {method:<5} {path}  ({protocol})")
    for model, lines in sorted(table.items()):
        print(f"\n{model or 'server'}", file=out)
        print("\n".join(lines), file=out)
    for endpoint in server.plane.endpoints:
        settings = endpoint.spec.pool
        print(
            f"\n{endpoint.spec.name}: {endpoint.state}; {settings.floor} to {settings.ceil} workers on {cpus():g} processors, "
            f"{settings.queue} requests may wait {settings.timeout} ms",
            file=out,
        )
        if endpoint.state != "ready":
            print(f"  {endpoint.reason}", file=out)
            continue
        for protocol in server.protocols:
            example = protocol.example(endpoint, server.base)
            if example:
                print(f"  {example}", file=out)
    out.flush()
