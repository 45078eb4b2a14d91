"""The one log line that comes by the thousand, written in a tenth of the time of any other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import TextIO

from proxy.credentials.redaction import Redaction
from proxy.events import RequestForwarded, nobody

PATH_LIMIT = 512  # characters of a path in the log
DELAY = 0.05  # seconds until a line is written
WAITING = 64  # lines that wait at most: nothing else happens while they are written


class RequestLog:
    """Writes what forwarded requests say, as structlog would render it in JSON.

    structlog's way through its processors, `logging` and a handler takes a fifth of a request.
    `tests/test_logs.py` compares the lines. They wait for each other for a moment, since a write
    costs more than a line. What needs a look takes structlog's way: `otherwise`.
    """

    def __init__(self, stream: TextIO, redaction: Redaction) -> None:
        self.otherwise: Callable[[RequestForwarded], None] = nobody
        self._stream = stream
        self._redaction = redaction
        self._waiting: list[tuple[RequestForwarded, float]] = []
        self._lock = threading.Lock()

    def write(self, event: RequestForwarded) -> None:
        """Write the line of an event, in a moment."""
        if event.rejected or len(event.path) > PATH_LIMIT:
            self.otherwise(event)
            return
        with self._lock:  # other threads log as well, and make way for what waits
            self._waiting.append((event, time.time()))
        if len(self._waiting) == 1:
            self._flush_soon()
        elif len(self._waiting) >= WAITING:
            self.flush()

    def precede(self, _record: logging.LogRecord) -> bool:
        """Write what is waiting, before any other line."""
        self.flush()
        return True

    def flush(self) -> None:
        """Write what is waiting."""
        if not self._waiting:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, []
        text = "".join(_rendered(event, moment) for event, moment in waiting)
        if self._redaction.masked(text) == text:
            self._write(text)
            return
        for event, moment in waiting:
            line = _rendered(event, moment)
            if self._redaction.masked(line) == line:
                self._write(line)
            else:
                self.otherwise(event)  # masks each value

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # as logging does: nobody reads it
            self._stream.write(text)
            self._stream.flush()

    def _flush_soon(self) -> None:
        try:
            asyncio.get_running_loop().call_later(DELAY, self.flush)
        except RuntimeError:  # no loop, nothing to wait for
            self.flush()


def _rendered(event: RequestForwarded, moment: float) -> str:
    second, fraction = divmod(int(moment * 1_000_000), 1_000_000)
    waited = f'"token_seconds": {round(event.token_seconds, 4)}, ' if event.token_seconds else ""
    renewed = '"renewed": true, ' if event.renewed else ""
    replayed = '"replayed": true, ' if event.replayed else ""
    trace = f'"trace": {quoted(event.trace)}, ' if event.trace is not None else ""
    return (
        f'{{"request_id": "{event.request_id}", "upstream": {quoted(event.upstream)},'
        f' "method": "{event.method}", "path": {quoted(event.path)},'
        f' "status": {event.status}, "seconds": {round(event.seconds, 4)}, {waited}'
        f'"upstream_seconds": {round(event.upstream_seconds, 4)}, {renewed}{replayed}{trace}'
        f'"event": "request.forwarded", "level": "info",'
        f' "timestamp": "{_second(second)}.{fraction:06d}Z"}}\n'
    )


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00")
