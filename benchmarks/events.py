"""How late server-sent events arrive: `python -m benchmarks.events URL` prints a line of JSON.

Each event tells when the server has sent it; both run on this machine, by one clock.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import urllib.parse
from http.client import HTTPConnection


def main(url: str) -> None:
    """Read the stream of events to its end."""
    parts = urllib.parse.urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", parts.path, headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    late = []
    while line := answer.readline():
        if line.startswith(b"data: "):
            late.append(time.time() - float(line.removeprefix(b"data: ")))
    late.sort()
    found = {
        "requests": len(late),
        "figure": len(late),
        "median": statistics.median(late) * 1e6,
        "p99": late[len(late) * 99 // 100] * 1e6,
        "failed": 100 - len(late),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
