"""How durations and URLs are written in the configuration."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from proxy.notation import (
    BaseUrl,
    Duration,
    Frozen,
    Rate,
    Size,
    Status,
    Url,
    check_url,
    duration_text,
    origin_of,
    rate_text,
    size_text,
)

DURATION = TypeAdapter(Duration)
SIZE = TypeAdapter(Size)
RATE = TypeAdapter(Rate)
URL = TypeAdapter(Url)
BASE_URL = TypeAdapter(BaseUrl)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("250ms", timedelta(milliseconds=250)),
        ("1.5h", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("1.0000006s", timedelta(seconds=1, microseconds=1)),
        (" 10s ", timedelta(seconds=10)),
        (timedelta(seconds=3), timedelta(seconds=3)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: Any, duration: timedelta) -> None:
    assert DURATION.validate_python(text) == duration


@pytest.mark.parametrize(
    ("written", "told"),
    [("24h", "1d"), ("1h30m", "90m"), ("90s", "90s"), ("1.5s", "1500ms"), ("0.5ms", "0.5ms")],
)
def test_a_duration_is_told_in_the_largest_unit_that_divides_it(written: str, told: str) -> None:
    assert duration_text(DURATION.validate_python(written)) == told


@pytest.mark.parametrize(
    ("written", "told"),
    [("64KiB", "64KiB"), ("65536", "64KiB"), ("10MB", "10MB"), ("1000B", "1kB"), ("1", "1")],
)
def test_a_size_is_told_in_the_largest_unit_that_divides_it(written: str, told: str) -> None:
    assert size_text(SIZE.validate_python(written)) == told


@pytest.mark.parametrize(
    ("written", "told"),
    [("10/s", "10/s"), ("120/m", "2/s"), ("10/m", "10/m"), ("7200/h", "2/s"), ("7/h", "7/h")],
)
def test_a_rate_is_told_in_the_shortest_time_that_has_a_whole_number(
    written: str, told: str
) -> None:
    assert rate_text(RATE.validate_python(written)) == told


@given(st.timedeltas(timedelta(microseconds=1), timedelta(days=36500)))
@example(timedelta(days=26513, microseconds=927844))
def test_a_duration_that_is_told_can_be_written(span: timedelta) -> None:
    assert DURATION.validate_python(duration_text(span)) == span


@given(st.integers(1, 10**15))
def test_a_size_that_is_told_can_be_written(size: int) -> None:
    assert SIZE.validate_python(size_text(size)) == size


@given(st.integers(1, 10**6), st.sampled_from("smh"))
def test_a_rate_that_is_told_can_be_written(count: int, unit: str) -> None:
    rate = RATE.validate_python(f"{count}/{unit}")
    assert RATE.validate_python(rate_text(rate)) == pytest.approx(rate)


@pytest.mark.parametrize(
    "text",
    [
        5,
        5.0,
        "5",
        "",
        "s",
        "5 m",
        "-5m",
        "5min",
        "5M",
        "1h 30m",
        "0s",
        "0.0001ms",
        "PT5M",
        "1e3s",
        None,
        True,
        [],
        "101000d",
        "9" * 400 + "d",
        "9" * 5000 + "s",
        "0." + "1" * 5000 + "s",
        "5m5",
    ],
)
def test_anything_else_is_no_duration(text: Any) -> None:
    """A bare number could mean anything."""
    with pytest.raises(ValidationError, match="duration"):
        DURATION.validate_python(text)


@pytest.mark.parametrize(
    "text", [5, 1.5, -1.5, float("nan"), "5", "0/s", "1.5/s", "-1/s", "1/d", ""]
)
def test_anything_else_is_no_rate(text: Any) -> None:
    with pytest.raises(ValidationError, match="rate"):
        RATE.validate_python(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789.smhd -", max_size=12))
def test_the_json_schema_agrees_with_the_code(text: str) -> None:
    pattern = DURATION.json_schema()["pattern"]
    try:
        DURATION.validate_python(text)
    except ValidationError:
        return
    assert re.search(pattern, text.strip())


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "http://127.0.0.1:8080/a/b?c=d",
        "https://[::1]:8443/",
        "HTTPS://API.example.com/%2F//",
        "http://localhost",
    ],
)
def test_a_url_stays_as_written(url: str) -> None:
    assert URL.validate_python(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "//api.example.com",
        "/v1",
        "ftp://h/",
        "file:///etc",
        "https://",
        "https://:80/",
        "https://h:port/",
        "https://h:99999/",
        "https://[::1",
        "javascript:alert(1)",
        "https://h/a b",
        "https://h/\n",
        "https://h/\t",
        "https://h/\x00",
        "https://héé/",
        " https://h",
        "https://user@h/",
        "https://user:canary@h/",
        "https://@h/",
        "https://h/#fragment",
    ],
)
def test_anything_else_is_no_url(url: str) -> None:
    with pytest.raises(ValidationError):
        URL.validate_python(url)


def test_a_base_url_loses_its_last_slash_and_has_no_query() -> None:
    assert BASE_URL.validate_python("https://h/v1/") == "https://h/v1"
    assert BASE_URL.validate_python("https://h/") == "https://h"
    for url in ("https://h/?a=b", "https://h/?"):
        with pytest.raises(ValidationError, match="query"):
            BASE_URL.validate_python(url)


def test_the_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://h:8443/api?x") == "https://h:8443"
    assert origin_of("https://[::1]/api") == "https://[::1]"


class Example(Frozen):
    """A model as the configuration has them."""

    status: Status = 200
    lifetime: Duration | None = None


@pytest.mark.parametrize("status", [99, 600, 0, -1, "ok", None])
def test_a_status_has_three_digits(status: Any) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate({"status": status})
    assert [Example(status=code).status for code in (100, 599)] == [100, 599]


def test_a_model_refuses_unknown_keys_and_changes() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Example.model_validate({"statuss": 200})
    field = "status"
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Example(), field, 201)


@pytest.mark.parametrize("fields", [{"status": "canary"}, {"canari": "canary"}])
def test_a_models_errors_never_show_what_was_given(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate(fields)
    assert "canary" not in str(caught.value)


def test_a_port_that_is_none_is_not_echoed() -> None:
    """Whoever writes `https://user:pass@host` wrongly may have put a password there."""
    with pytest.raises(ValueError, match="number up to 65535") as caught:
        check_url("https://example.com:hunter2/")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://API.example.com/v1", "https://api.example.com:443", "HTTPS://api.example.com/"]
)
def test_one_origin_has_one_spelling(url: str) -> None:
    """Or a token endpoint would be reachable through a base URL that spells its host otherwise."""
    assert origin_of(url) == "https://api.example.com"
