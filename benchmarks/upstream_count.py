"""What a request costs with 1, 100 and 1,000 upstreams: `python -m benchmarks.upstream_count`."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.compare import OTHERS, PROXY, answered, running
from benchmarks.loads import LOADS
from benchmarks.site import Site, free_port
from benchmarks.usage import processor_seconds

COUNTS = (1, 100, 1_000)
UPSTREAM = """\
  name{number}:
    base_url: http://127.0.0.1:{backend}
    provider: {{type: api_key, keys: "${{BENCHMARK_KEY}}"}}
"""


def started(site: Site, count: int, stack: ExitStack) -> tuple[int, str]:
    """Start sidekey with so many upstreams; return its process and the URL of the last one."""
    port = free_port()
    upstreams = (UPSTREAM.format(number=number, backend=site.backend) for number in range(count))
    path = site.folder / f"sidekey-{count}.yaml"
    path.write_text(f"listen: {{port: {port}}}\nupstreams:\n{''.join(upstreams)}")
    path.chmod(0o600)
    argv = [str(Path(sys.executable).with_name("sidekey")), "run", "--config", str(path)]
    environ = {"BENCHMARK_KEY": "benchmark-key", "XDG_STATE_HOME": str(site.folder)}
    log = site.folder / f"sidekey-{count}.log"
    pid = stack.enter_context(running(["taskset", "-c", PROXY, *argv], environ, log))
    url = f"http://127.0.0.1:{port}/name{count - 1}"
    while answered(f"{url}/json") is None:
        time.sleep(0.01)
    return pid, url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    asked = parser.parse_args()
    costs: dict[int, list[float]] = {count: [] for count in COUNTS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        site = Site(Path(folder))
        site.prepare()
        argv = ["taskset", "-c", OTHERS, "nginx", "-c", str(site.render("backend.conf"))]
        stack.enter_context(running(argv, {}, site.folder / "backend.log"))
        targets = {count: started(site, count, stack) for count in COUNTS}
        for _ in range(asked.rounds):
            for count, (pid, url) in targets.items():
                before = processor_seconds(pid)
                found = LOADS["get-32"].run(url, asked.seconds, OTHERS)
                used = processor_seconds(pid) - before
                costs[count].append(used / found["requests"] * 1e6)
    print("| upstreams | us of processor for a request | to one upstream |\n| --- | --- | --- |")
    one = statistics.median(costs[1])
    for count, found_costs in costs.items():
        cost = statistics.median(found_costs)
        print(f"| {count} | {cost:.0f} | {cost / one:.2f} |")


if __name__ == "__main__":
    main()
