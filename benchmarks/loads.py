"""What is asked of a proxy, with wrk or a client of our own, and what came of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("configurations") / "load.lua"
SUMMARY = re.compile(r"SUMMARY (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)")


@dataclass(frozen=True)
class Load:
    """So many connections that ask again as soon as they are answered.

    With `megabytes` in a request or an answer, the figure is MB/s, else requests/s. On `one_core`,
    client, proxy and backend share one, so that the figure is the length of the path.
    """

    title: str
    path: str
    connections: int
    kind: str = "get"
    megabytes: float = 0.0
    size: int = 0  # bytes of JSON content
    one_core: bool = False

    @property
    def unit(self) -> str:
        """What the figure counts."""
        if self.kind == "socket":
            return "round trips/s"
        return "MB/s" if self.megabytes else "requests/s"

    def run(self, url: str, seconds: int, core: str) -> dict[str, float]:
        """Load `url` for so long, from a process on `core`; spans are in microseconds."""
        if self.kind == "socket":
            asked = ["benchmarks.round_trips", "ask", url.replace("http", "ws", 1) + self.path]
            return _told(core, *asked, str(self.connections), str(seconds))
        if self.kind == "events":
            return _told(core, "benchmarks.events", url + self.path)
        return self._wrk(url, seconds, core)

    def _wrk(self, url: str, seconds: int, core: str) -> dict[str, float]:
        argv = ["taskset", "-c", core, "wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s"]
        asked = subprocess.run(
            [*argv, "--timeout", "10s", "-s", str(SCRIPT), url + self.path],
            env={**os.environ, "KIND": self.kind, "SIZE": str(self.size)},
            capture_output=True,
            text=True,
            check=False,
        )
        found = SUMMARY.search(asked.stdout)
        if found is None:
            raise RuntimeError(f"wrk failed: {asked.stdout}{asked.stderr}")
        requests, duration, _, median, late, failed = map(int, found.groups())
        rate = (requests - failed) / (duration / 1e6)
        return {
            "requests": requests - failed,
            "figure": rate * (self.megabytes or 1),
            "median": median,
            "p99": late,
            "failed": failed,
        }


def _told(core: str, *module: str) -> dict[str, float]:
    """Run a client of our own, and return what it prints."""
    argv = ["taskset", "-c", core, sys.executable, "-m", *module]
    asked = subprocess.run(argv, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise RuntimeError(f"{module[0]} failed: {asked.stderr[-2000:]}")
    found: dict[str, float] = json.loads(asked.stdout)
    return found


LOADS = {
    "get-1": Load("GET 1 KiB, 1 connection", "/json", 1),
    "get-32": Load("GET 1 KiB, 32 connections", "/json", 32),
    "get-256": Load("GET 1 KiB, 256 connections", "/json", 256),
    "post-32": Load("POST 512 B, 32 connections", "/json", 32, "post"),
    "tls-32": Load("GET 1 KiB from a TLS upstream, 32 connections", "/json", 32, "tls"),
    "down-1m": Load("GET 1 MiB, 4 connections", "/1m", 4, megabytes=1.048576),
    "down-64m": Load("GET 64 MiB, 2 connections", "/64m", 2, megabytes=67.108864),
    "up-1m": Load("POST 1 MiB, 4 connections", "/upload", 4, "upload", megabytes=1.048576),
    "json-1k": Load("1 KiB of JSON with the credential", "/upload", 32, "json", size=1024),
    "json-1m": Load("1 MiB of JSON with the credential", "/upload", 4, "json", size=2**20),
    "sockets-16": Load("websocket, 16 connections", "", 16, "socket"),
    "events": Load("server-sent events: how late they arrive", "/events", 1, "events"),
    "one-core": Load("GET 1 KiB, 1 connection, all on one core", "/json", 1, one_core=True),
}
