"""The log: who writes to it, at which level, and what never stands in it."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import structlog
from clocks import Clock

from proxy.credentials.redaction import Redaction
from proxy.credentials.secret import Secret
from proxy.errors import ConfigError
from proxy.events import RequestForwarded, RequestRefused, Stopped, TokenFailed
from proxy.observe.logs import REFUSALS, configure, level_of, log_observer
from proxy.observe.request_log import DELAY, PATH_LIMIT

KEY = "kept-out-of-sight"  # no canary: pytest keeps the records as they were before masking
STRUCTURED, PRETTY = "structured", "pretty"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Log:
    """What was written so far."""

    stream: io.StringIO

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def line(self) -> dict[str, Any]:
        """The only line, which is JSON."""
        (line,) = self.text.splitlines()
        return json.loads(line)


def logging_to(stream: io.StringIO, level: int = logging.INFO) -> Log:
    configure(stream, redaction=knowing(KEY), level=level)
    return Log(stream)


def knowing(secret: str) -> Redaction:
    redaction = Redaction()
    redaction.know(Secret(secret))
    return redaction


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    logging.captureWarnings(False)  # `configure` may have been called in another test's file
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture(params=[STRUCTURED, PRETTY])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setenv("NO_COLOR", "1")
    return logging_to(Terminal() if request.param == PRETTY else io.StringIO())


@pytest.mark.parametrize("name", ["sidekey", "aiohttp.server", "aiohttp.client", "asyncio"])
def test_a_secret_is_masked_whoever_logs_it(log: Log, name: str) -> None:
    logging.getLogger(name).error("tried %s and %r", KEY, {"key": KEY})
    assert KEY not in log.text
    assert "tried *** and {'key': '***'}" in log.text


@pytest.mark.parametrize("length", [1, PATH_LIMIT, PATH_LIMIT + 1, 30_000])
def test_a_long_path_is_cut(length: int) -> None:
    log = logging_to(io.StringIO())
    log_observer()(replace(REFUSED, path="/" * length))
    cut = "…" if length > PATH_LIMIT else ""
    assert log.line()["path"] == "/" * min(length, PATH_LIMIT) + cut


FORWARDED = RequestForwarded(
    request_id="0123456789abcdef",
    upstream="api",
    method="GET",
    path="/api/a",
    status=200,
    seconds=0.0123456,
    token_seconds=0.0,
    upstream_seconds=0.0119876,
    renewed=False,
    replayed=False,
    rejected=False,
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"replayed": True},
        {"renewed": True, "token_seconds": 1.23456},
        {"trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {"rejected": True},
        {"seconds": 0.0},
        {"seconds": 0.00004},
        {"seconds": 12.5},
        {"status": 503, "method": "POST"},
        {"path": '/api/a"b%20\\c~'},
        {"path": f"/api/{KEY}"},
        {"path": "/api/" + KEY.upper()},
        {"path": "/api/" + "a" * PATH_LIMIT},
        {"path": "/api/" + "a" * (PATH_LIMIT - 5)},
    ],
)
def test_a_forwarded_request_has_the_same_line_on_the_short_way(changes: dict[str, Any]) -> None:
    event = replace(FORWARDED, **changes)
    lines = []
    for is_short in (True, False):
        stream = io.StringIO()
        requests = configure(stream, redaction=knowing(KEY))
        log_observer(requests if is_short else None)(event)
        lines.append(re.sub(r'(?<="timestamp": ")[^"]*', "", stream.getvalue()))
    assert lines[0] == lines[1]
    assert lines[0].count("\n") == 1


def test_the_log_takes_nothing_along_that_no_line_uses() -> None:
    """structlog would import rich, which typer brings: 5 MB of every process."""
    look = "import sys, proxy.observe.logs; print('rich.console' in sys.modules); import rich"
    printed = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert (printed.stdout, printed.stderr) == ("False\n", "")


async def test_lines_of_requests_stand_in_order_with_others() -> None:
    stream = io.StringIO()
    observe = log_observer(configure(stream, redaction=Redaction()))
    for event in (FORWARDED, REFUSED, FORWARDED, Stopped()):
        observe(event)
    names = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert names == ["request.forwarded", "request.refused", "request.forwarded", "stopped"]


async def test_lines_of_others_do_not_overtake_lines_of_requests() -> None:
    stream = io.StringIO()
    observe = log_observer(configure(stream, redaction=Redaction()))
    observe(FORWARDED)
    logging.getLogger("asyncio").warning("something else")
    names = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert names == ["request.forwarded", "something else"]


async def test_lines_of_requests_are_written_in_a_moment() -> None:
    stream = io.StringIO()
    observe = log_observer(configure(stream, redaction=Redaction()))
    observe(FORWARDED)
    observe(FORWARDED)
    await asyncio.sleep(2 * DELAY)
    assert stream.getvalue().count("\n") == 2


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_requests_are_not_logged_at_a_higher_level(level: int) -> None:
    stream = io.StringIO()
    log_observer(configure(stream, redaction=Redaction(), level=level))(FORWARDED)
    assert stream.getvalue() == ""


def test_a_secret_where_a_path_is_cut_is_masked_before(log: Log) -> None:
    log_observer()(replace(REFUSED, path="/" * (PATH_LIMIT - 5) + KEY + "/" * 99))
    assert KEY[:5] not in log.text


def test_a_secret_is_masked_in_every_field_of_an_event(log: Log) -> None:
    event = TokenFailed("api", f"slug-{KEY}", f"no {KEY}!", f"drop {KEY}", 1.0)
    log_observer()(event)
    assert KEY not in log.text
    assert "no ***!" in log.text
    assert "drop ***" in log.text


def test_a_secret_is_masked_in_lists_mappings_and_objects(log: Log) -> None:
    class Odd:
        def __repr__(self) -> str:
            return f"Odd({KEY})"

    logger = structlog.get_logger("sidekey")
    logger.info("odd", a=[KEY, (KEY,)], b={"c": {"d": KEY}}, e=Odd(), f=Secret(KEY), g=KEY.encode())
    assert KEY not in log.text
    assert "Odd(***)" in log.text


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Cookie",
        "access_token",
        "client_secret",
        "password",
        "passwd",
        "api_key",
        "api-key",
        "apikey",
        "refresh",
        "credential",
        "mailaddress",
    ],
)
def test_a_text_is_masked_where_the_name_says_that_it_is_a_credential(log: Log, name: str) -> None:
    structlog.get_logger("sidekey").info("odd", **{name: "unknown", "inside": {name: "unknown"}})
    assert "unknown" not in log.text
    assert "***" in log.text


def test_what_events_say_is_not_masked() -> None:
    log = logging_to(io.StringIO())
    log_observer()(replace(FORWARDED, path="/api/token", replayed=True))
    said = log.line()
    assert said["event"] == "request.forwarded"
    assert {name: said[name] for name in ("request_id", "upstream", "path", "status")} == {
        "request_id": "0123456789abcdef",
        "upstream": "api",
        "path": "/api/token",
        "status": 200,
    }
    assert "***" not in log.text


def test_the_text_of_an_exception_is_masked_and_no_local_variable_is_shown(log: Log) -> None:
    local = "only-in-a-variable"
    try:
        raise ValueError(f"cannot use {KEY}") from RuntimeError(f"because of {KEY}")
    except ValueError:
        logging.getLogger("sidekey").exception("failed with %d characters", len(local))
    assert "ValueError: cannot use ***" in log.text
    assert "RuntimeError: because of ***" in log.text
    assert KEY not in log.text
    assert local not in log.text


async def test_a_task_that_nobody_waited_for_is_logged_masked(log: Log) -> None:
    async def fail() -> None:
        raise ValueError(f"cannot use {KEY}")

    task = asyncio.create_task(fail(), name=f"fails with {KEY}")
    await asyncio.wait([task])
    del task
    gc.collect()
    assert "Task exception was never retrieved" in log.text
    assert "ValueError: cannot use ***" in log.text
    assert KEY not in log.text


async def test_a_callback_that_fails_is_logged_masked(log: Log) -> None:
    def fail() -> None:
        raise ValueError(f"cannot use {KEY}")

    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0.01)
    assert "ValueError: cannot use ***" in log.text
    assert KEY not in log.text


def test_a_warning_is_logged_masked(log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"{KEY} is deprecated", stacklevel=1)
    assert "*** is deprecated" in log.text
    assert KEY not in log.text


def test_a_line_that_cannot_be_written_does_not_print_its_arguments(
    log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.getLogger().handlers[0]
    record = logging.LogRecord("sidekey", logging.ERROR, "", 0, "%d", (KEY,), None)
    handler.handle(record)
    assert KEY not in log.text + capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (None, ["info", "warning", "error"]),
        ("", ["info", "warning", "error"]),
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_says_what_is_shown(name: str | None, shown: list[str]) -> None:
    environ = {} if name is None else {"SIDEKEY_LOG_LEVEL": name}
    log = logging_to(io.StringIO(), level_of(environ))
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("aiohttp.server"), level)("a line")
    assert [json.loads(line)["level"] for line in log.text.splitlines()] == shown


def test_a_level_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ConfigError, match="SIDEKEY_LOG_LEVEL: expected one of debug, info"):
        level_of({"SIDEKEY_LOG_LEVEL": "chatty"})


def logged(log: Log) -> list[tuple[str, int | None]]:
    lines = [json.loads(line) for line in log.text.splitlines()]
    return [(line["event"], line.get("count")) for line in lines]


REFUSED = RequestRefused("1", None, "GET", "/", 421, "host-refused", "another server", None, 0.0)


def test_of_a_flood_of_refusals_the_rest_is_counted(clock: Clock) -> None:
    """Whoever can connect can cause one for each request: the disk would be full one day."""
    log = logging_to(io.StringIO())
    observe = log_observer(now=clock.monotonic)
    for _ in range(REFUSALS + 7):
        observe(REFUSED)
    clock.move(seconds=1)
    observe(TokenFailed("api", "slug", "no", None, 1.0))
    assert logged(log) == [
        *[("request.refused", None)] * REFUSALS,
        ("request.refused.unlogged", 7),
        ("token.failed", None),
    ]


def test_each_second_has_its_own_refusals(clock: Clock) -> None:
    log = logging_to(io.StringIO())
    observe = log_observer(now=clock.monotonic)
    for _ in range(3 * REFUSALS):
        observe(REFUSED)
        clock.move(seconds=1.01 / REFUSALS)
    assert logged(log) == [("request.refused", None)] * 3 * REFUSALS


def test_at_the_end_the_refusals_of_the_last_second_are_counted_too(clock: Clock) -> None:
    log = logging_to(io.StringIO())
    observe = log_observer(now=clock.monotonic)
    for _ in range(REFUSALS + 1):
        observe(REFUSED)
    observe(Stopped())
    assert logged(log)[-2:] == [("request.refused.unlogged", 1), ("stopped", None)]
