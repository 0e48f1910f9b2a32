"""The measuring itself: servers alone for start and memory, then all side by side for the loads."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.environments import REFERENCE
from harness.load import Load, ask, load
from harness.peers import APPS, PORTS_EACH, Client, Launch, Peer, clean_environment, endpoint_name, venv
from harness.processes import (
    Processes,
    ServerError,
    Started,
    cpu_seconds,
    memory,
    require_free,
    require_loopback,
)
from harness.scenarios import MANY, Scenario, alternate
from harness.wire import COLUMNS, Wire

START_LIMIT = 60.0
IDLE_LIMIT = 0.03
BARE = "import {imports}; pickle.load(open({model!r}, 'rb')); print('ready', flush=True); input()"


@dataclass(frozen=True)
class Target:
    """One client of one running server, or (with no server) the ceiling of a format."""

    label: str
    port: int = 0
    client: Client | None = None
    ceiling: str = ""
    batched: bool = False

    def wire(self, rows: int) -> Wire:
        """The format for that many rows."""
        assert self.client
        return self.client.one if rows == 1 else self.client.many

    def path(self, rows: int) -> str:
        """Where to send them."""
        return self.wire(rows).path.format(endpoint=endpoint_name(self.batched))


@dataclass
class Bench:
    """One run. Every figure lands in `cells`, with its scenario, target and round."""

    folder: Path
    processes: Processes
    peers: Sequence[Peer]
    scenarios: Sequence[Scenario]
    rounds: int
    seconds: int
    port: int
    cells: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    paused: dict[int, Started] = field(default_factory=dict)

    def run(self) -> None:
        """Measure everything asked for."""
        self.make_inputs()
        if alone := [scenario for scenario in self.scenarios if not scenario.connections]:
            self.measure_alone(alone)
        if loads := [scenario for scenario in self.scenarios if scenario.connections]:
            self.measure_loads(loads)

    def make_inputs(self) -> None:
        """Write the rows, the bodies in every format, the model, and what it predicts."""
        generator = random.Random(0)
        rows = [[round(generator.gauss(0, 1), 6) for _ in COLUMNS] for _ in range(MANY)]
        (self.folder / "rows.json").write_text(json.dumps(rows))
        for client in [client for peer in self.peers for client in peer.clients]:
            self.body(client.one, 1).write_bytes(client.one.encode(rows[:1]))
            self.body(client.many, MANY).write_bytes(client.many.encode(rows))
        train = [venv(REFERENCE), APPS / "reference" / "train.py", self.folder]
        subprocess.run(train, env=clean_environment(), check=True, timeout=60)
        self.model = self.folder / "model.pkl"
        self.expected: list[float] = json.loads((self.folder / "expected.json").read_text())

    def body(self, wire: Wire, rows: int) -> Path:
        """Where the body of a format lies."""
        return self.folder / f"{wire.name}-{rows}.body"

    def work(self, target: Target, rows: int) -> list[Load]:
        """What is sent where."""
        assert target.client
        wire = target.wire(rows)
        if steps := target.client.steps:
            return [Load(target.port, step, step.path, self.body(step, rows)) for step in steps]
        return [Load(target.port, wire, target.path(rows), self.body(wire, rows))]

    def record(self, scenario: str, target: str, turn: int, figures: dict[str, Any]) -> None:
        """Keep a cell and show it."""
        self.cells.append({"scenario": scenario, "target": target, "round": turn, **figures})
        failed = str(figures.get("failed", "")).partition("\n")[0]
        shown = [f"{key} {value:,.2f}" for key, value in figures.items() if isinstance(value, int | float)]
        print(f"[{turn}] {scenario:20} {target:20} {failed or ', '.join(shown)}", flush=True)

    # Servers

    def launch(self, peer: Peer, batched: bool, port: int) -> Started:
        """Start a server on a free port."""
        require_free(port)
        name = f"{peer.name}-batched" if batched else peer.name
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        launch = Launch(port, self.model, folder, batched)
        return self.processes.start(name, peer.command(launch), launch.environment)

    def await_answer(self, started: Started, target: Target) -> float:
        """Ask for one row until the answer comes, which must be right; give the moment it came."""
        limit, body = time.perf_counter() + START_LIMIT, self.body(target.wire(1), 1).read_bytes()
        last: object = "nothing"
        while time.perf_counter() < limit and started.process.poll() is None:
            try:
                status, answer = ask(target.port, target.wire(1), target.path(1), body)
            except OSError as error:
                last = repr(error)
            else:
                if status == 200:
                    came = time.perf_counter()
                    if error_text := target.wire(1).error(answer, self.expected[:1]):
                        raise ServerError(error_text)
                    return came
                last = f"status {status}: {answer[:200]!r}"
            time.sleep(0.01)
        raise ServerError(f"no answer, last was {last}; log ends:\n{started.last_words()}")

    def check(self, target: Target, rows: int) -> None:
        """Compare one whole answer with the model's own."""
        body = self.body(target.wire(rows), rows).read_bytes()
        status, answer = ask(target.port, target.wire(rows), target.path(rows), body)
        if status != 200:
            raise ServerError(f"status {status} for {rows} rows: {answer[:200]!r}")
        if error := target.wire(rows).error(answer, self.expected[:rows]):
            raise ServerError(error)

    # Start and memory: one server at a time

    def measure_alone(self, scenarios: Sequence[Scenario]) -> None:
        """Start every server alone, in turn; the first round only warms the disk cache and is not kept."""
        for turn in range(-1, self.rounds):
            for peer in alternate(self.peers, turn + 1):
                figures = self.start_alone(peer)
                for scenario in scenarios if turn >= 0 else ():
                    keys = ["failed", *(metric.key for metric in scenario.metrics)]
                    cell = {key: figures[key] for key in keys if key in figures}
                    self.record(scenario.name, peer.name, turn, cell)

    def start_alone(self, peer: Peer) -> dict[str, Any]:
        """Start a bare process with the model, then the server; time both and weigh both."""
        if peer.name in self.broken:
            return {"failed": self.broken[peer.name]}
        code = BARE.format(imports=peer.imports, model=str(self.model))
        begin = time.perf_counter()
        bare = self.processes.start("bare", [str(peer.python), "-c", code], {}, piped=True)
        assert bare.process.stdout
        ready = bare.process.stdout.readline()
        bare_s, weight = time.perf_counter() - begin, memory(bare)
        self.processes.stop(bare)
        if not ready:
            raise ServerError(f"{peer.name}: the bare process failed:\n{bare.last_words()}")
        started: Started | None = None
        target = Target(peer.name, self.port, peer.clients[0])
        try:
            begin = time.perf_counter()
            started = self.launch(peer, batched=False, port=self.port)
            start_s = self.await_answer(started, target) - begin
            require_loopback(started)
            wire = target.wire(1)
            ask(self.port, wire, target.path(1), self.body(wire, 1).read_bytes(), times=300)
            time.sleep(0.5)
            figures = {"start_s": start_s, "bare_s": bare_s, "over_imports_s": start_s - bare_s}
            figures |= memory(started)
            bare_pss = weight["tree_pss_mib"]
            return {**figures, "bare_pss_mib": bare_pss, "over_bare_mib": figures["tree_pss_mib"] - bare_pss}
        except (ServerError, OSError) as error:
            self.broken[peer.name] = str(error)
            return {"failed": str(error)}
        finally:
            if started:
                self.processes.stop(started)

    # Loads: all servers side by side

    def measure_loads(self, scenarios: Sequence[Scenario]) -> None:
        """Start what the scenarios need, check every answer, then go round and round."""
        servers = self.start_all(scenarios)
        self.measure_idle(servers)
        ceiling = self.start_ceiling() if any(scenario.rows > 1 for scenario in scenarios) else None
        plan = {scenario: self.targets(scenario) for scenario in scenarios}
        for scenario, targets in plan.items():
            for target in targets:
                with self.awake(target):
                    self.warm(scenario, target)
        for turn in range(self.rounds):
            for scenario in alternate(scenarios, turn):
                for target in alternate(plan[scenario], turn):
                    with self.awake(target):
                        figures = self.cell(scenario, target, ceiling)
                    self.record(scenario.name, target.label, turn, figures)
        self.notes["memory_after_loads"] = {name: memory(server) for name, server in servers.items()}

    def server_name(self, peer: Peer, scenario: Scenario) -> str:
        """Which of a peer's servers a scenario uses: the batching one, where the peer can batch."""
        return f"{peer.name}-batched" if scenario.batched and peer.batches else peer.name

    def port_of(self, name: str) -> int:
        """Every server has its own ports, whatever else runs."""
        names = [name for peer in self.peers for name in (peer.name, f"{peer.name}-batched")]
        return self.port + PORTS_EACH * (1 + names.index(name))

    def start_all(self, scenarios: Sequence[Scenario]) -> dict[str, Started]:
        """Start the servers one after another and leave them idle."""
        servers: dict[str, Started] = {}
        for peer in self.peers:
            asking = [scenario for scenario in scenarios if peer.speakers(scenario.family)]
            for name in dict.fromkeys(self.server_name(peer, scenario) for scenario in asking):
                if name in self.broken:
                    continue
                batched = name != peer.name
                target = Target(name, self.port_of(name), peer.clients[0], batched=batched)
                try:
                    started = self.launch(peer, batched, target.port)
                    self.await_answer(started, target)
                    require_loopback(started)
                    servers[name] = started
                except (ServerError, OSError) as error:
                    self.broken[name] = str(error)
        return servers

    def measure_idle(self, servers: dict[str, Started]) -> None:
        """Note what the idle servers use of a core; pause those that would disturb the others."""
        time.sleep(1)
        before = {name: cpu_seconds(server) for name, server in servers.items()}
        time.sleep(2)
        used = {name: (cpu_seconds(servers[name]) - seconds) / 2 for name, seconds in before.items()}
        self.notes["idle_percent_of_a_core"] = {name: round(100 * share, 1) for name, share in used.items()}
        self.paused = {self.port_of(name): servers[name] for name, share in used.items() if share > IDLE_LIMIT}
        for server in self.paused.values():
            server.send(signal.SIGSTOP)

    @contextlib.contextmanager
    def awake(self, target: Target) -> Iterator[None]:
        """Let a paused server run while it is measured."""
        server = self.paused.get(target.port)
        if server:
            server.send(signal.SIGCONT)
        try:
            yield
        finally:
            if server:
                server.send(signal.SIGSTOP)

    def start_ceiling(self) -> Started:
        """Start the process that does the work with no server around it."""
        command = [str(venv(REFERENCE)), str(APPS / "reference" / "ceiling.py"), str(self.folder)]
        return self.processes.start("ceiling", command, {}, piped=True)

    def targets(self, scenario: Scenario) -> list[Target]:
        """Whom a scenario asks."""
        found = []
        for peer in self.peers:
            name = self.server_name(peer, scenario)
            for client in peer.speakers(scenario.family):
                found.append(Target(client.label, self.port_of(name), client, batched=name != peer.name))
                if name in self.broken:
                    self.broken[f"{scenario.name}/{client.label}"] = self.broken[name]
        if scenario.rows > 1:
            many = {target.client.many.name for target in found if target.client}
            found += [Target(f"ceiling-{name}", ceiling=name) for name in ("oip", "dataiku", "csv") if name in many]
        return found

    def warm(self, scenario: Scenario, target: Target) -> None:
        """Check a target's answer in this scenario, and load it for a second that does not count."""
        key = f"{scenario.name}/{target.label}"
        if target.ceiling or key in self.broken:
            return
        try:
            self.check(target, scenario.rows)
            load(self.work(target, scenario.rows), scenario.connections, 1)
        except (ServerError, OSError) as error:
            self.broken[key] = str(error)

    def cell(self, scenario: Scenario, target: Target, ceiling: Started | None) -> dict[str, Any]:
        """Measure one target once."""
        if reason := self.broken.get(f"{scenario.name}/{target.label}"):
            return {"failed": reason}
        if target.ceiling:
            assert ceiling
            return self.ceiling_cell(ceiling, f"{target.ceiling}-{scenario.rows}", scenario.rows)
        figures = load(self.work(target, scenario.rows), scenario.connections, self.seconds)
        if "rps" in figures:
            figures["rows_per_s"] = figures["rps"] * scenario.rows
        return figures

    def ceiling_cell(self, ceiling: Started, name: str, rows: int) -> dict[str, Any]:
        """Let the reference process work as long as a load lasts."""
        assert ceiling.process.stdin
        assert ceiling.process.stdout
        try:
            ceiling.process.stdin.write(f"{name} {self.seconds}\n")
            ceiling.process.stdin.flush()
            answer = ceiling.process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            return {"failed": f"the reference process ended:\n{ceiling.last_words()}"}
        done = json.loads(answer)
        rate = done["requests"] / done["seconds"]
        return {"requests": done["requests"], "rows_per_s": rate * rows, "p50_ms": 1000 / rate}
