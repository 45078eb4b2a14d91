"""What an open dashboard costs near saturation: `python -m benchmarks.dashboard`.

One sidekey is loaded in turns with and without somebody who reads its stream, as the dashboard of
a browser does. Exits 1 beyond `LIMIT`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path

from benchmarks.compare import OTHERS, answered, running
from benchmarks.loads import LOADS
from benchmarks.site import Site
from benchmarks.upstream_count import started
from benchmarks.usage import processor_seconds

LIMIT = 0.05


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=3)
    asked = parser.parse_args()
    rates: dict[bool, list[float]] = {False: [], True: []}
    costs: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        site = Site(Path(folder))
        site.prepare()
        argv = ["taskset", "-c", OTHERS, "nginx", "-c", str(site.render("backend.conf"))]
        stack.enter_context(running(argv, {}, site.folder / "backend.log"))
        while answered(f"http://127.0.0.1:{site.backend}/json") is None:
            time.sleep(0.01)
        pid, url = started(site, 1, stack)
        stream = url.rpartition("/")[0] + "/_sidekey/api/stream"
        view = ["taskset", "-c", OTHERS, "curl", "-sN", "-o", "/dev/null", stream]
        for number in range(2 * asked.rounds):
            is_open = number % 4 in (1, 2)  # so that neither always follows the other
            with running(view, {}, site.folder / "view.log") if is_open else nullcontext():
                time.sleep(0.5)
                before = processor_seconds(pid)
                found = LOADS["get-32"].run(url, asked.seconds, OTHERS)
                used = processor_seconds(pid) - before
            rates[is_open].append(found["figure"])
            costs[is_open].append(used / found["requests"] * 1e6)
    closed, viewed = (statistics.median(rates[is_open]) for is_open in (False, True))
    cost, cost_viewed = (statistics.median(costs[is_open]) for is_open in (False, True))
    print(f"{asked.rounds} rounds of {asked.seconds} s each, medians")
    print(f"closed: {closed:8.0f} requests/s, {cost:.1f} us of processor for each")
    print(f"open:   {viewed:8.0f} requests/s, {cost_viewed:.1f} us")
    lost = 1 - viewed / closed
    print(f"an open dashboard costs {lost:.1%} of the throughput; at most {LIMIT:.0%} is allowed")
    return int(lost > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
