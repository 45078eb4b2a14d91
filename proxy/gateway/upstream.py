"""Connections to one upstream."""

from __future__ import annotations

import asyncio
import contextlib
import io
import zlib
from collections.abc import AsyncGenerator, Iterator
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.config.models import Rejection, Upstream
from proxy.connections import forward_proxy, open_session
from proxy.credentials.exchange import why_unreachable
from proxy.credentials.source import Source
from proxy.errors import SidekeyError, UpstreamTimeout, UpstreamUnreachable
from proxy.gateway.content import ClientContent, filtered
from proxy.gateway.deadline import Deadline
from proxy.gateway.echo import Echo
from proxy.gateway.fields import READABLE_CODINGS
from proxy.injection.request import OutgoingRequest
from proxy.notation import origin_of

PEEK_LIMIT = 16 * 1024  # bytes of an answer that a `contains` condition looks at


class UpstreamResponse:
    """The upstream's answer: its head, and its content as it comes."""

    def __init__(
        self,
        answer: aiohttp.ClientResponse,
        sending: AsyncGenerator[bytes, None] | None,
        content: ClientContent,
        echo: Echo,
    ) -> None:
        self._answer = answer
        self._echo = echo
        self._headers = echo.fields(answer.headers)
        self._sending = sending
        self._content = content
        self._head = b""
        content.on_failure = answer.close  # nothing more would come, and no end either

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def reason(self) -> str:
        return self._echo.text(self._answer.reason or "")

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The fields, without a credential that the upstream echoes."""
        return self._headers

    @property
    def connection(self) -> aiohttp.connector.Connection | None:
        """The connection, for an answer that ends HTTP on it (101)."""
        return self._answer.connection

    def check_readable(self) -> None:
        """Raise `UpstreamUnreachable` if the content is to be searched and cannot be."""
        self._echo.check(self._answer.method, self.status, self.headers)

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the content as it comes. Raises `UpstreamError` if it ends too early."""
        filters = self._echo.filters()
        return filtered(self._received(), filters) if filters else self._received()

    async def _received(self) -> AsyncGenerator[bytes, None]:
        if self._head:
            yield self._head
        with _upstream_errors(self._content):
            async for chunk in self._answer.content.iter_any():
                yield chunk

    async def is_rejection(self, rules: tuple[Rejection, ...]) -> bool:
        """Tell whether the upstream says that the token is no longer good."""
        candidates = [rule for rule in rules if rule.status == self.status]
        if any(rule.contains is None for rule in candidates):
            return True
        if not candidates or "json" not in self.headers.get("Content-Type", "").lower():
            return False
        with _upstream_errors(self._content):
            text = await self._peek()
        return any(rule.contains is not None and rule.contains in text for rule in candidates)

    async def close(self) -> None:
        """Let go of the answer and of content that is still being sent."""
        self._answer.close()
        sending, self._sending = self._sending, None
        if sending is not None:
            await asyncio.sleep(0)
            with contextlib.suppress(RuntimeError):  # already being closed by the one who sent it
                await sending.aclose()

    async def _peek(self) -> str:
        while len(self._head) < PEEK_LIMIT:
            chunk = await self._answer.content.read(PEEK_LIMIT - len(self._head))
            if not chunk:
                break
            self._head += chunk
        return _inflated(self._head, self.headers).decode(errors="replace")


def _inflated(content: bytes, headers: CIMultiDictProxy[str]) -> bytes:
    """Return the beginning of the content without its coding, as far as it can be read."""
    if headers.get("Content-Encoding", "identity").lower() not in READABLE_CODINGS - {"identity"}:
        return content
    for wbits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib; some send bare deflate
        with contextlib.suppress(zlib.error):
            return zlib.decompressobj(wbits).decompress(content, PEEK_LIMIT)
    return b""


class UpstreamConnections:
    """Sends requests to the upstream `name`, and to no other origin."""

    def __init__(self, name: str, settings: Upstream, source: Source) -> None:
        self.name = name
        self.settings = settings
        self.source = source
        self.base_path = urlsplit(settings.base_url).path
        self._echo = Echo(settings.redact, source.redaction)
        self._connect = settings.timeouts.connect.total_seconds()
        self._read = settings.timeouts.read.total_seconds()
        self._origin = origin_of(settings.base_url)
        self._proxy = forward_proxy(self._origin)  # reads the whole environment: once is enough
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: OutgoingRequest, content: ClientContent) -> UpstreamResponse:
        """Send `request`, with its own content or the client's, and return the answer's head.

        Follows no redirect. Raises `UpstreamError`, and `ClientError` where the content turns out
        to have no place for the credential.
        """
        headers = request.headers.copy()
        self._echo.prepare(headers)
        deadline = Deadline(self._connect, self._read)
        sending = _sending(request, content, headers, deadline)
        with _upstream_errors(content):
            async with deadline:
                answer = await self._opened().request(
                    request.method,
                    self._url(request),
                    headers=headers,
                    data=sending if sending is not None else _in_pieces(request.content),
                    allow_redirects=False,
                    proxy=self._proxy,
                )
        return UpstreamResponse(answer, sending, content, self._echo)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _url(self, request: OutgoingRequest) -> URL:
        query = f"?{request.query}" if request.query else ""
        url = f"{self._origin}{request.full_path or '/'}{query}"
        return URL(url, encoded=True)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = open_session(
                aiohttp.ClientTimeout(  # `connect` includes the resolver's time
                    total=None, connect=self._connect, sock_read=self._read
                )
            )
        return self._session


def _sending(
    request: OutgoingRequest,
    content: ClientContent,
    headers: CIMultiDict[str],
    deadline: Deadline,
) -> AsyncGenerator[bytes, None] | None:
    """Return the content that streams from the client, and declare its length if it has one."""
    if request.content is not None or not content.exists:
        return None
    chunks = content.stream()
    if request.filters:
        chunks = filtered(chunks, request.filters)
    elif content.length is not None:
        headers["Content-Length"] = str(content.length)
    return _watched(chunks, content, deadline)


def _in_pieces(content: bytes | None) -> io.BytesIO | None:
    """Return content that aiohttp writes piece by piece: it warns of bytes over 1 MiB at once."""
    return io.BytesIO(content) if content else None


async def _watched(
    chunks: AsyncGenerator[bytes, None], content: ClientContent, deadline: Deadline
) -> AsyncGenerator[bytes, None]:
    """Yield `chunks`, and note our own error: aiohttp reports it as a broken connection."""
    try:
        async with contextlib.aclosing(chunks):
            if not content.has_arrived:
                yield b""  # sends the head, which aiohttp keeps until the first bytes
            deadline.rest()
            async for chunk in chunks:
                deadline.run()
                yield chunk
                deadline.rest()
        deadline.run()
    except SidekeyError as error:
        content.fail(error)
        raise


@contextlib.contextmanager
def _upstream_errors(content: ClientContent) -> Iterator[None]:
    """Turn aiohttp's errors, whose texts hold URLs, into ours."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError:
        raise UpstreamUnreachable("the upstream: no connection in time") from None
    except TimeoutError as error:
        raise UpstreamTimeout("the upstream did not answer in time") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if content.failure is not None:
            raise content.failure from None
        raise UpstreamUnreachable(f"the upstream: {why_unreachable(error)}") from None
