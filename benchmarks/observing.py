"""What it costs to count requests, and to export them: `python -m benchmarks.observing`.

The product has no switch for counting: in one of the processes nothing is counted all the same.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compare import OTHERS, PROXY, answered, running
from benchmarks.loads import LOADS
from benchmarks.site import Site, free_port
from benchmarks.upstream_count import UPSTREAM
from benchmarks.usage import processor_seconds

COUNTED = "from proxy.cli import main; main()"
NOT_COUNTED = (
    "from proxy.observe.measures import Measures; Measures.observe = lambda *_: None; " + COUNTED
)
SAMPLED = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}


@dataclass
class Variant:
    """A way to run sidekey, and what its requests have cost; `is_exported` to a collector."""

    name: str
    program: str = COUNTED
    is_exported: bool = False
    environ: dict[str, str] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def start(self, site: Site, stack: ExitStack) -> tuple[int, str]:
        """Start it; return its process and the URL of its upstream."""
        port = free_port()
        path = site.folder / f"{port}.yaml"
        upstream = UPSTREAM.format(number=0, backend=site.backend)
        path.write_text(f"listen: {{port: {port}}}\nupstreams:\n{upstream}")
        path.chmod(0o600)
        argv = [sys.executable, "-c", self.program, "run", "--config", str(path)]
        environ = {
            "BENCHMARK_KEY": "benchmark-key",
            "XDG_STATE_HOME": str(site.folder),
            **self.environ,
        }
        if self.is_exported:  # the backend takes it, and does not care what it is
            environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{site.backend}/upload"
        log = site.folder / f"{port}.log"
        pid = stack.enter_context(running(["taskset", "-c", PROXY, *argv], environ, log))
        url = f"http://127.0.0.1:{port}/name0"
        while answered(f"{url}/json") is None:
            time.sleep(0.01)
        return pid, url

    def measure(self, pid: int, url: str, seconds: int) -> None:
        """Load it, and note what that has cost."""
        before = processor_seconds(pid)
        found = LOADS["get-32"].run(url, seconds, OTHERS)
        self.rates.append(found["figure"])
        self.costs.append((processor_seconds(pid) - before) / found["requests"] * 1e6)


def main() -> None:
    """Measure in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=2)
    asked = parser.parse_args()
    variants = [
        Variant("nothing is counted", NOT_COUNTED),
        Variant("counted, as always"),
        Variant("exported, 1 trace in 100", is_exported=True, environ=SAMPLED),
        Variant("exported, every trace", is_exported=True),
    ]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        site = Site(Path(folder))
        site.prepare()
        argv = ["taskset", "-c", OTHERS, "nginx", "-c", str(site.render("backend.conf"))]
        stack.enter_context(running(argv, {}, site.folder / "backend.log"))
        places = [variant.start(site, stack) for variant in variants]
        for number in range(asked.rounds):
            turn = number % len(variants)  # begin with another one each time
            for variant, place in [*zip(variants, places, strict=True)] * 2:
                turn -= 1
                if -len(variants) <= turn < 0:
                    variant.measure(*place, asked.seconds)
    base = variants[0]
    print("| | requests/s | to the first | us of processor | to the first |")
    print("| --- | --- | --- | --- | --- |")
    for variant in variants:
        rate, cost = statistics.median(variant.rates), statistics.median(variant.costs)
        faster = statistics.median(map(float.__truediv__, variant.rates, base.rates))
        dearer = statistics.median(map(float.__truediv__, variant.costs, base.costs))
        print(f"| {variant.name} | {rate:.0f} | {faster:.2f} | {cost:.1f} | {dearer:.2f} |")


if __name__ == "__main__":
    main()
