"""Events as log lines: coloured on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import ModuleType
from typing import Any, TextIO, cast

from proxy.credentials.redaction import Redaction
from proxy.errors import ConfigError
from proxy.events import (
    ClockJumped,
    ConfigRefused,
    ConnectionsExhausted,
    EntryPutAside,
    Event,
    Listening,
    Observer,
    RequestAborted,
    RequestForwarded,
    RequestRefused,
    Stopped,
    TokenDropped,
    TokenFailed,
    TokenNotStored,
    WorkerEnded,
)
from proxy.observe.masking import Line, Masking
from proxy.observe.request_log import PATH_LIMIT, RequestLog

# structlog takes rich along where it is installed, and typer brings it: 5 MB for what no line uses.
sys.modules.setdefault("rich", cast("ModuleType", None))
import structlog  # noqa: E402  behind that

if sys.modules["rich"] is None:
    del sys.modules["rich"]

WARNINGS = (
    ClockJumped,
    ConfigRefused,
    ConnectionsExhausted,
    EntryPutAside,
    RequestAborted,
    RequestRefused,
    TokenDropped,
    TokenFailed,
    TokenNotStored,
    WorkerEnded,
)


LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
LEVEL_VARIABLE = "SIDEKEY_LOG_LEVEL"
REFUSALS = 20  # lines a second about refused requests


def level_of(environ: Mapping[str, str]) -> int:
    """Return the level that `SIDEKEY_LOG_LEVEL` names. Raises `ConfigError`."""
    name = environ.get(LEVEL_VARIABLE) or "info"
    if name not in LEVELS:
        raise ConfigError([f"{LEVEL_VARIABLE}: expected one of {', '.join(LEVELS)}"])
    return LEVELS[name]


def configure(
    stream: TextIO = sys.stderr, *, redaction: Redaction, level: int = logging.INFO
) -> RequestLog | None:
    """Send the log of sidekey, aiohttp and asyncio, and warnings, to `stream`, one line a fact.

    No line holds what `redaction` knows, whoever wrote it. Returned is the short way for forwarded
    requests, which there is where lines are JSON and of their level.
    """
    pretty = stream.isatty()
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    rendering: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,  # as text, without local variables
        Masking(redaction),
        _cut,  # last, since no search finds half a secret
        _renderer(pretty=pretty),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendering)
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a line that cannot be written is printed, arguments and all
    if level > logging.INFO or pretty:
        return None
    requests = RequestLog(stream, redaction)
    handler.addFilter(requests.precede)
    return requests


def _cut(_logger: object, _method: str, line: Line) -> Line:
    """Shorten the path: any caller's may have 16 kB."""
    path = line.get("path")
    if isinstance(path, str) and len(path) > PATH_LIMIT:
        line["path"] = path[:PATH_LIMIT] + "…"
    return line


def _renderer(*, pretty: bool) -> Any:
    if not pretty:
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors="NO_COLOR" not in os.environ,
        exception_formatter=structlog.dev.plain_traceback,  # it warns of other ones
    )


def log_observer(
    requests: RequestLog | None = None,
    *,
    banner: bool = False,
    now: Callable[[], float] = time.monotonic,
) -> Observer:
    """Return an observer that logs every event under its own name, such as `token.acquired`.

    With `requests`, forwarded requests take that way. With `banner`, somebody tells a person in
    another way where the proxy listens. Of a flood of refusals, which anybody who gets here can
    cause, `request.refused.unlogged` tells the number.
    """
    logger = structlog.get_logger("sidekey")
    refusals = _Refusals(now)

    def observe(event: Event) -> None:
        unlogged = refusals.unlogged(ended=isinstance(event, Stopped))
        if requests is not None and not unlogged and isinstance(event, RequestForwarded):
            requests.write(event)
            return
        if banner and isinstance(event, Listening):
            return
        if unlogged:
            logger.warning("request.refused.unlogged", count=unlogged)
        if isinstance(event, RequestRefused) and not refusals.admit():
            return
        log_one(event)

    def log_one(event: Event) -> None:
        rejected = isinstance(event, RequestForwarded) and event.rejected
        log = logger.warning if rejected or isinstance(event, WARNINGS) else logger.info
        log(event_name(event), **_said(event))

    if requests is not None:
        requests.otherwise = log_one
    return observe


class _Refusals:
    """Lets `REFUSALS` of one second into the log, and counts the others."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = now()
        self._seen = 0

    def unlogged(self, *, ended: bool) -> int:
        """Return how many were left out in a second that is over, or `ended`, and forget them."""
        now = self._now()
        if now - self._second < 1 and not ended:
            return 0
        left_out = max(0, self._seen - REFUSALS)
        self._second, self._seen = now, 0
        return left_out

    def admit(self) -> bool:
        """Count a refusal, and tell whether it is to be logged."""
        self._seen += 1
        return self._seen <= REFUSALS


def event_name(event: Event) -> str:
    """Return the name of an event: `TokenAcquired` is `token.acquired`."""
    return ".".join(re.findall("[A-Z][a-z]+", type(event).__name__)).lower()


def _said(event: Event) -> dict[str, Any]:
    """Return the event's facts that say something, ready for JSON."""
    known = {field.name: getattr(event, field.name) for field in fields(event)}
    facts = {
        name: value for name, value in known.items() if value is not None and value is not False
    }
    for name in ("seconds", "token_seconds", "upstream_seconds"):
        if name in facts:
            facts[name] = round(facts[name], 4)
    if facts.get("token_seconds") == 0:
        del facts["token_seconds"]
    if "expires_at" in facts:
        facts["expires_at"] = facts["expires_at"].isoformat(timespec="seconds")
    return facts
