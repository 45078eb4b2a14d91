"""Performs the requests of a flow at the token endpoint: the only code that sends them."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import aiohttp
from yarl import URL

from proxy.clock import Clock
from proxy.connections import (
    AddressRefused,
    ImproperAnswer,
    ImproperProxy,
    forward_proxy,
    open_session,
    proxy_url,
)
from proxy.credentials.identity import masked
from proxy.credentials.providers import Provider
from proxy.credentials.token import TokenRequest, TokenResponse, without_query
from proxy.errors import (
    SidekeyError,
    TokenEndpointError,
    TokenEndpointTimeout,
    TokenEndpointUnreachable,
)
from proxy.mistakes import tell

T = TypeVar("T")

ANSWER_LIMIT = 64 * 1024  # bytes; the longest known answer has 4 kB
STEP_LIMIT = 8
TIMEOUT = 30.0  # seconds, for one whole request: a late answer may hold a token that exists once
_IMPROPER = (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, ImproperAnswer)


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a flow, and what came of it. Both may hold secrets."""

    request: TokenRequest
    outcome: TokenResponse | TokenEndpointError
    seconds: float


class Exchange:
    """Drives flows over HTTP; `watch` is told of each step, before the flow goes on."""

    def __init__(self, clock: Clock, watch: Callable[[Step], None] | None = None) -> None:
        self._clock = clock
        self._watch = watch
        self._session: aiohttp.ClientSession | None = None

    async def run(
        self,
        flow: Generator[TokenRequest, TokenResponse, T],
        provider: Provider,
        check: Callable[[], None] = lambda: None,
    ) -> T:
        """Run a flow of `provider` to its end and return what it returns.

        Raises what the flow raises, without the provider's secrets in its words,
        `TokenEndpointError` where no usable answer came, and what `check` raises, which is called
        before each request.
        """
        try:
            request = next(flow)
            for _ in range(STEP_LIMIT):
                check()
                request = flow.send(await self._exchanged(request))
        except StopIteration as stop:
            result: T = stop.value
            return result
        except SidekeyError as error:
            error.detail = masked(error.detail, provider)
            raise
        finally:
            flow.close()
        raise TokenEndpointUnreachable(f"the flow did not end within {STEP_LIMIT} requests")

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _exchanged(self, request: TokenRequest) -> TokenResponse:
        if self._watch is None:
            return await self._send(request)
        began = self._clock.elapsed()
        try:
            response = await self._send(request)
        except TokenEndpointError as error:
            _tell(self._watch, Step(request, error, self._clock.elapsed() - began))
            raise
        _tell(self._watch, Step(request, response, self._clock.elapsed() - began))
        return response

    async def _send(self, request: TokenRequest) -> TokenResponse:
        where = without_query(request.url)
        began = self._clock.elapsed()
        try:
            async with self._opened().request(
                request.method,
                URL(request.url, encoded=True),
                headers=dict(request.headers),
                data=request.content or None,
                allow_redirects=False,
                proxy=proxy_url(forward_proxy(request.url)),
            ) as response:
                content = await _read(response, where)
                headers = {name.title(): value for name, value in response.headers.items()}
                # By the wall clock of now: somebody may have set it since the request left.
                sent_at = self._clock.wall() - timedelta(seconds=self._clock.elapsed() - began)
                return TokenResponse(response.status, headers, content, sent_at)
        except TimeoutError as error:
            raise TokenEndpointTimeout(f"{where} did not answer within {TIMEOUT:.0f} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TokenEndpointUnreachable(f"{where}: {why_unreachable(error)}") from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = open_session(aiohttp.ClientTimeout(total=TIMEOUT))
        return self._session


def _tell(watch: Callable[[Step], None], step: Step) -> None:
    """Show a step; whatever goes wrong with that must not cost a token that exists once."""
    try:
        watch(step)
    except Exception as mistake:  # noqa: BLE001  a broken pipe, say, of whoever reads along
        tell(mistake)


async def _read(response: aiohttp.ClientResponse, where: str) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > ANSWER_LIMIT:
            raise TokenEndpointUnreachable(f"{where} answered more than {ANSWER_LIMIT} bytes")
    return bytes(content)


def why_unreachable(error: Exception) -> str:
    """Return why a connection failed, without the URL that aiohttp's own messages hold."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate cannot be trusted"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "it does not speak TLS as it should (is it an http:// address?)"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, aiohttp.InvalidURL):
        return "its host is no proper name or address"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, AddressRefused
    ):
        return "it resolves to an address that sidekey does not call"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({os.strerror(error.errno) if error.errno else 'failed'})"
    if isinstance(error, ImproperProxy):
        return "the forward proxy that the environment names is no proper URL"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    if isinstance(error, _IMPROPER):
        return "its answer is no proper HTTP"
    return type(error).__name__
