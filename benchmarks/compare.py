"""sidekey beside other proxies, in one run: `python -m benchmarks.compare`.

Every proxy that is installed is started once, on a core of its own; the backend and wrk have the
other one. Each round loads each of them in turn, so that whatever else the machine does hits all.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.loads import LOADS, Load
from benchmarks.peers import PEERS, Peer
from benchmarks.report import tables
from benchmarks.site import CREDENTIAL, Site, free_port
from benchmarks.usage import family, memory, processor_seconds

OTHERS, PROXY = "0", "1"  # cores
STARTS = 30.0  # seconds that a proxy has to answer
DIRECT = "no proxy"
IDLE = 10_000  # connections


@dataclass(frozen=True)
class Target:
    """A proxy that runs, and the URLs of its two upstreams."""

    name: str
    plain: str
    secure: str | None
    sockets: str | None
    injected: str | None = None  # where the credential goes into JSON
    pid: int | None = None
    seconds_to_start: float = 0.0
    idle: float = 0.0


@contextmanager
def running(argv: Sequence[str], environ: dict[str, str], log: Path) -> Iterator[int]:
    """Run a process until the block ends, and yield its number."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            argv, env={**os.environ, **environ}, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answered(url: str) -> bytes | None:
    """Return the content of a good answer, if there is one already."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=1)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def started(peer: Peer, site: Site, stack: ExitStack) -> Target:
    """Start a proxy, wait until it answers, and see that it injects the credential."""
    port, port_tls = free_port(), free_port()
    start = peer.start(site, port, port_tls)
    begun = time.monotonic()
    log = site.folder / f"{peer.name}.log"
    argv = ["taskset", "-c", PROXY, *start.argv]
    pid = stack.enter_context(running(argv, dict(start.environ), log))
    plain = f"http://127.0.0.1:{port}{start.plain}"
    while (content := answered(f"{plain}/check")) is None:
        if time.monotonic() > begun + STARTS:
            raise RuntimeError(f"{peer.name} does not answer:\n{log.read_text()[-2000:]}")
        time.sleep(0.005)
    seconds = time.monotonic() - begun
    if content.decode() != CREDENTIAL:
        raise RuntimeError(f"{peer.name} does not inject the credential: {content!r}")
    time.sleep(0.5)
    secure_port = port if start.secure else port_tls
    secure = None if peer.one_upstream else f"http://127.0.0.1:{secure_port}{start.secure}"
    sockets = None if peer.one_upstream else f"http://127.0.0.1:{port}{start.sockets}"
    injected = f"http://127.0.0.1:{port}{start.injected}" if start.injected else None
    return Target(peer.name, plain, secure, sockets, injected, pid, seconds, memory(pid))


def measured(load: Load, target: Target, seconds: int, backend: int) -> dict[str, float] | None:
    """Return what came of one load, `None` if the proxy cannot do that."""
    special = {"tls": target.secure, "socket": target.sockets, "json": target.injected}
    url = special.get(load.kind, target.plain)
    if url is None:
        return None
    core = PROXY if load.one_core else OTHERS
    pin(backend, core)
    before = 0.0 if target.pid is None else processor_seconds(target.pid)
    found = load.run(url, seconds, core)
    if target.pid is not None:
        used = processor_seconds(target.pid) - before
        found["processor"] = used / max(found["requests"], 1) * 1e6
    return found


@contextmanager
def idle_connections(url: str, count: int) -> Iterator[None]:
    """Hold so many connections that have been answered once and ask nothing more."""
    parts = urllib.parse.urlsplit(url)
    request = f"GET {parts.path}/json HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    assert parts.hostname is not None
    with ExitStack() as stack:
        for _ in range(count):
            held = stack.enter_context(socket.create_connection((parts.hostname, parts.port), 30))
            held.sendall(request)
            held.recv(65536)
        time.sleep(1.0)
        yield


def with_idle_connections(target: Target) -> float:
    """Return the memory then, no number if the proxy does not take so many."""
    assert target.pid is not None
    try:
        with idle_connections(target.plain, IDLE):
            return memory(target.pid)
    except OSError:
        return math.nan


def pin(pid: int, core: str) -> None:
    """Let a process and its children run on that core only."""
    for member in family(pid):
        os.sched_setaffinity(member, {int(core)})


def compared(
    peers: Sequence[Peer], loads: Sequence[str], rounds: int, seconds: int
) -> dict[str, Any]:
    """Run everything, and return all figures as JSON can hold them."""
    result: dict[str, Any] = {"start": {}, "left out": {}, "rounds": []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        site = Site(Path(folder))
        site.prepare()
        configuration = site.render("backend.conf")
        argv = ["taskset", "-c", OTHERS, "nginx", "-c", str(configuration)]
        backend = stack.enter_context(running(argv, {}, site.folder / "backend.log"))
        echo = [sys.executable, "-m", "benchmarks.round_trips", "serve", str(site.sockets)]
        argv = ["taskset", "-c", OTHERS, *echo]
        stack.enter_context(running(argv, {}, site.folder / "echo.log"))
        while answered(f"http://127.0.0.1:{site.backend}/json") is None:
            time.sleep(0.01)
        targets = [
            Target(
                DIRECT,
                f"http://127.0.0.1:{site.backend}",
                f"https://localhost:{site.backend_tls}",
                f"http://127.0.0.1:{site.sockets}/",
            )
        ]
        for peer in peers:
            missing = peer.missing()
            if missing is None:
                targets.append(started(peer, site, stack))
            else:
                result["left out"][peer.name] = missing
        for number in range(rounds):
            for name in loads:
                for target in targets:
                    found = measured(LOADS[name], target, seconds, backend)
                    if found is not None:
                        row = {"round": number, "load": name, "target": target.name, **found}
                        result["rounds"].append(row)
        for target in targets:
            if target.pid is not None:
                after = memory(target.pid)
                result["start"][target.name] = {
                    "seconds": target.seconds_to_start,
                    "idle": target.idle,
                    "after": after,
                    "idle connections": with_idle_connections(target) - after,
                }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="for one load of one proxy")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS))
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="+", choices=names, default=names)
    parser.add_argument("--json", type=Path, help="write all figures there")
    asked = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    peers = [peer for peer in PEERS if peer.name in asked.peers]
    result = compared(peers, asked.loads, asked.rounds, asked.seconds)
    if asked.json is not None:
        asked.json.write_text(json.dumps(result, indent=1))
    print("\n".join(tables(result)))


if __name__ == "__main__":
    main()
