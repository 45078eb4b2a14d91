"""What the guard adds to the time of a request: `python -m benchmarks.guard`.

Two `sidekey run` stand at once, one with the guard and one without, in front of one upstream. They
are measured in turns, so that whatever else the machine does hits both. Exits 1 beyond `LIMIT`.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import checks

ROUNDS = 40
CONNECTIONS = 32
REQUESTS = 1_000  # of one measurement; the first one of each server only warms it up
LIMIT = 0.10
PATIENCE = 30.0  # seconds until a server has to listen
CONFIG = """\
store: {{type: memory}}
upstreams:
  api:
    base_url: http://127.0.0.1:{port}/v1
    provider: {{type: api_key, keys: made-up-key-of-a-benchmark}}
    inject: {{in: header, name: X-API-Key}}
"""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A server process that is measured."""

    name: str
    pid: int
    port: int
    path: str

    def cpu(self) -> float:
        """Return the processor time that it has used, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@dataclass(frozen=True)
class Cost:
    """What one request took, in microseconds: on the clock, and of the server's processor."""

    wall: float
    cpu: float


@contextmanager
def running(module: str, *arguments: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a module in a process of its own, with its log in a file, until the block ends."""
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def listening_port(log: Path) -> int:
    """Wait until sidekey's log says where it listens."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = re.search(r'"addresses": \["http://127\.0\.0\.1:(\d+)"\]', log.read_text())
        if found is not None:
            return int(found[1])
        time.sleep(0.05)
    raise TimeoutError(log.read_text())


def start(folder: Path, stack: ExitStack) -> list[Server]:
    """Start the upstream, and sidekey with and without its guard."""
    upstream = stack.enter_context(running("benchmarks.upstream", log=folder / "upstream.log"))
    assert upstream.stdout is not None
    port = int(upstream.stdout.readline())
    config = folder / "sidekey.yaml"
    config.write_text(CONFIG.format(port=port))
    config.chmod(0o600)
    servers = [Server("upstream alone", upstream.pid, port, "/v1/items")]
    for guard in ("on", "off"):
        log = folder / f"{guard}.log"
        process = stack.enter_context(running("benchmarks.sidekey", guard, str(config), log=log))
        servers.append(Server(f"guard {guard}", process.pid, listening_port(log), "/api/items"))
    return servers


def measure(server: Server) -> Cost:
    """Let a client in a process of its own send its requests, and return the cost of one."""
    before = server.cpu()
    arguments = [str(server.port), server.path, str(CONNECTIONS), str(REQUESTS)]
    client = [sys.executable, "-m", "benchmarks.client", *arguments]
    seconds = float(subprocess.run(client, check=True, capture_output=True, text=True).stdout)
    return Cost(seconds / REQUESTS * 1e6, (server.cpu() - before) / REQUESTS * 1e6)


def measured(servers: list[Server]) -> dict[str, list[Cost]]:
    """Return the costs by server, measured in turns that begin with another one each round."""
    for server in servers:
        measure(server)
    costs: dict[str, list[Cost]] = {server.name: [] for server in servers}
    for turn in range(ROUNDS):
        begin = turn % len(servers)
        for server in servers[begin:] + servers[:begin]:
            costs[server.name].append(measure(server))
    return costs


def report(costs: Mapping[str, list[Cost]]) -> float:
    """Print the medians, and return what the guard adds to the processor time."""
    print(f"{ROUNDS} rounds of {REQUESTS} requests over {CONNECTIONS} connections, medians\n")
    print(f"{'server':<16}{'us per request':>16}{'requests/s':>12}{'us of processor':>17}")
    for name, rounds in costs.items():
        wall = statistics.median(cost.wall for cost in rounds)
        cpu = statistics.median(cost.cpu for cost in rounds)
        print(f"{name:<16}{wall:>16.0f}{1e6 / wall:>12.0f}{cpu:>17.0f}")
    pairs = list(zip(costs["guard on"], costs["guard off"], strict=True))
    wall_ratio = statistics.median(on.wall / off.wall for on, off in pairs)
    cpu_ratio = statistics.median(on.cpu / off.cpu for on, off in pairs)
    print(f"\nguard on / guard off: {wall_ratio:.3f} on the clock, {cpu_ratio:.3f} of processor")
    return cpu_ratio - 1


def main() -> int:
    """Measure, print, and return the exit code."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        costs = measured(start(Path(folder), stack))
    added = report(costs)
    checks.main()
    print(f"\nthe guard adds {added:.1%}; at most {LIMIT:.0%} is allowed")
    return int(added > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
