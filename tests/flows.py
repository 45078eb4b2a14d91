"""Plays a provider's flow by hand: no loop, no server, no mocks."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from proxy.credentials.token import TokenRequest, TokenResponse
from proxy.errors import SidekeyError

T = TypeVar("T")
E = TypeVar("E", bound=SidekeyError)

SENT_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(**after: float) -> datetime:
    """Return the time that long after a request was sent: `at(hours=23)`."""
    return SENT_AT + timedelta(**after)


def answer(content: Any, status: int = 200, **headers: str) -> TokenResponse:
    """Return an answer to a request sent at `at()`; whatever is not bytes becomes JSON."""
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return TokenResponse(status, fields, content, SENT_AT)


def play(
    flow: Generator[TokenRequest, TokenResponse, T], *responses: TokenResponse
) -> tuple[T, list[TokenRequest]]:
    """Answer the flow's requests in turn; return what it returns, and what it asked for.

    A flow that asks for less or for more than there are responses fails the test.
    """
    requests: list[TokenRequest] = []
    return _driven(flow, iter(responses), requests), requests


def play_to_error(
    flow: Generator[TokenRequest, TokenResponse, T],
    expected: type[E],
    *responses: TokenResponse,
) -> tuple[E, list[TokenRequest]]:
    """Answer the flow's requests in turn; return the error it raises, and what it asked for."""
    requests: list[TokenRequest] = []
    with pytest.raises(expected) as caught:
        _driven(flow, iter(responses), requests)
    assert type(caught.value) is expected
    return caught.value, requests


def _driven(
    flow: Generator[TokenRequest, TokenResponse, T],
    responses: Iterator[TokenResponse],
    requests: list[TokenRequest],
) -> T:
    result: T
    try:
        request = next(flow)
        while True:
            requests.append(request)
            response = next(responses, None)
            assert response is not None, f"one more response is needed, to {request!r}"
            request = flow.send(response)
    except StopIteration as stop:
        result = stop.value
    finally:
        flow.close()
        assert next(responses, None) is None, "the flow asked for less than there are responses"
    return result
