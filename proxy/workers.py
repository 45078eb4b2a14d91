"""Several processes that serve the same sockets, and share one token life through the store.

The parent binds the sockets and forks; after that it only passes on signals and replaces workers
that end. All accept from the same sockets, so nothing is lost with a worker but what it had begun.
"""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.config.models import Limits, Settings, Upstream
from proxy.errors import ConfigError
from proxy.events import Observer, WorkerEnded
from proxy.mistakes import tell

STOPPING = (signal.SIGTERM, signal.SIGINT)
WATCHED = (*STOPPING, signal.SIGHUP, signal.SIGCHLD)
TOO_SHORT = 5.0  # seconds; a worker that ends sooner will not do better the next time,
TRIES = 3  # nor after so many times


def share(settings: Settings, workers: int) -> Settings:
    """Return what one of the workers may use: all together never more than was configured.

    Raises `ConfigError` for limits that are smaller than the number of workers.
    """
    if workers == 1:
        return settings
    if settings.store.type == "memory":
        raise ConfigError(["store.type: memory is not shared by --workers: use file or redis"])
    upstreams = settings.upstreams.items()
    connections = settings.listen.max_connections
    issues = [issue for name, upstream in upstreams for issue in _too_few(name, upstream, workers)]
    if connections < workers:
        issues.append(
            f"listen.max_connections: {connections} cannot be shared by {workers} workers"
        )
    if issues:
        raise ConfigError(issues)
    return settings.model_copy(
        update={
            "listen": settings.listen.model_copy(
                update={"max_connections": connections // workers}
            ),
            "upstreams": {
                name: upstream.model_copy(update={"limits": _part(upstream.limits, workers)})
                for name, upstream in upstreams
            },
        }
    )


def _too_few(name: str, upstream: Upstream, workers: int) -> list[str]:
    limits = {"burst": upstream.limits.burst, "concurrency": upstream.limits.concurrency}
    return [
        f"upstreams.{name}.limits.{key}: {limit} cannot be shared by {workers} workers"
        for key, limit in limits.items()
        if limit is not None and limit < workers
    ]


def _part(limits: Limits, workers: int) -> Limits:
    return limits.model_copy(
        update={
            "rate": None if limits.rate is None else limits.rate / workers,
            "burst": None if limits.burst is None else limits.burst // workers,
            "concurrency": None if limits.concurrency is None else limits.concurrency // workers,
        }
    )


def hold_signals() -> None:
    """Let signals wait, from before anybody knows that we run until somebody heeds them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # one that is ignored never comes


def heed_signals() -> None:
    """Let those come that have waited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker is told: its number, and whether it stands in for one that has ended.

    `parent` is a descriptor that becomes readable when the parent is gone, however it ended.
    """

    number: int
    parent: int
    stands_in: bool


ALONE = Worker(0, -1, stands_in=False)  # a process that serves without others


class Crew:
    """The workers that run; each ends with the exit code that `work` returns.

    Signals are held when it begins to serve, and in each worker until `work` heeds them.
    """

    def __init__(self, size: int, work: Callable[[Worker], int], observe: Observer) -> None:
        self._size = size
        self._work = work
        self._observe = observe
        self._running: dict[int, tuple[int, float]] = {}  # by pid, number and start
        self._ended_early = 0
        self._code = 0
        self._stopping = False

    def serve(self, hung_up: Callable[[], bool]) -> int:
        """Run until a signal ends it, and return the exit code.

        SIGHUP is passed on, unless the terminal has `hung_up`. What ends a proxy is passed on as
        SIGTERM; a second time it ends the workers at once.
        """
        self._alive, self._parents_end = os.pipe()
        for number in range(self._size):
            self._start(number)
        while self._running:
            number = signal.sigwait(WATCHED)
            if number == signal.SIGCHLD:
                self._replace_ended()
            elif number == signal.SIGHUP and not hung_up():
                self._send(signal.SIGHUP)
            else:
                self._stop()
        return self._code

    def _start(self, number: int, *, stands_in: bool = False) -> None:
        pid = os.fork()
        if pid:
            self._running[pid] = number, time.monotonic()
            return
        code = 1
        try:
            os.close(self._parents_end)
            code = self._work(Worker(number, self._alive, stands_in))
        except BaseException as mistake:  # noqa: BLE001  the parent's frames are none of its own
            tell(mistake)
        finally:
            atexit._run_exitfuncs()  # noqa: SLF001  some end programs that were started from here
            os._exit(code)

    def _replace_ended(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            # A container's first process also inherits children that are not its own.
            number, begun = self._running.pop(pid, (None, 0.0))
            if number is not None and not self._stopping:
                self._replace(number, begun, os.waitstatus_to_exitcode(status))

    def _replace(self, number: int, begun: float, code: int) -> None:
        self._observe(WorkerEnded(number, code))
        lasted = time.monotonic() - begun >= TOO_SHORT
        self._ended_early = 0 if lasted else self._ended_early + 1
        if self._ended_early >= TRIES:
            self._code = max(code, 1)
            self._stop()
        else:
            self._start(number, stands_in=True)

    def _stop(self) -> None:
        self._send(signal.SIGKILL if self._stopping else signal.SIGTERM)
        self._stopping = True

    def _send(self, number: signal.Signals) -> None:
        for pid in self._running:
            os.kill(pid, number)
