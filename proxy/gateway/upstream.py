"""The exchange with one upstream: a request goes out, the head of its answer comes back."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http import RawResponseMessage
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config.models import Rejection, Upstream
from proxy.connections import forward_proxy
from proxy.credentials.exchange import why_unreachable
from proxy.credentials.source import Source
from proxy.errors import SidekeyError, UpstreamTimeout, UpstreamUnreachable
from proxy.gateway.content import ClientContent, filtered
from proxy.gateway.deadline import Deadline
from proxy.gateway.echo import WITHOUT_CONTENT, Echo
from proxy.gateway.fields import READABLE_CODINGS
from proxy.gateway.framing import LAST_CHUNK, chunk, frame, head_of, host_of, joined, target_of
from proxy.gateway.pool import Pool, UpstreamConnection
from proxy.injection.request import OutgoingRequest
from proxy.notation import origin_of

PEEK_LIMIT = 16 * 1024  # bytes of an answer that a `contains` condition looks at
IDEMPOTENT = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"})  # RFC 9110 9.2.2


class UpstreamResponse:
    """The upstream's answer: its head, and its content as it comes.

    The connection goes back to the pool at its close, if the content has ended and all has been
    sent. `sent` is the request's head, `first` the first bytes of the answer.
    """

    def __init__(
        self,
        method: str,
        message: RawResponseMessage,
        received: aiohttp.StreamReader,
        connection: UpstreamConnection,
        sent: bytes,
        sending: asyncio.Task[bool] | None,
        content: ClientContent,
        pool: Pool,
        echo: Echo,
    ) -> None:
        self.connection = connection
        self.sent = sent
        self.first = connection.first
        self._method = method
        self._message = message
        self._received = received
        self._sending = sending
        self._content = content
        self._pool = pool
        self._echo = echo
        self._headers = echo.fields(CIMultiDictProxy(message.headers))
        self._head = b""
        self._released = False
        content.on_failure = self._fail
        if content.failure is not None:
            self._fail()

    @property
    def status(self) -> int:
        return self._message.code

    @property
    def reason(self) -> str:
        return self._echo.text(self._message.reason or "")

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The fields, without a credential that the upstream echoes."""
        return self._headers

    def check_readable(self) -> None:
        """Raise `UpstreamUnreachable` if the content is to be searched and cannot be."""
        self._echo.check(self._method, self.status, self.headers)

    def plain_head(self) -> bytes | None:
        """Return the bytes of the head, if the next one that is the same means the same.

        That is one of HTTP/1.1 whose content has a length, on a connection that goes on.
        """
        head = head_of(self.first)
        is_plain = (
            head is not None
            and self._method != "HEAD"
            and head.startswith(b"HTTP/1.1 %d" % self.status)
            and self.status >= 200
            and self.status not in WITHOUT_CONTENT
            and self.headers.get("Content-Length", "").isdecimal()
            and not self._message.should_close
        )
        return head if is_plain else None

    def whole(self) -> bytes | None:
        """Return the content if all of it is here already; `None` if it is yet to come."""
        if not self._received.is_eof() or self._received.exception() or self._echo.filters():
            return None
        return self._head + self._received.read_nowait()

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the content as it comes. Raises `UpstreamError` if it ends too early."""
        filters = self._echo.filters()
        return filtered(self._chunks(), filters) if filters else self._chunks()

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        if self._head:
            yield self._head
        with _upstream_errors(self._content):
            async for data in self._received.iter_any():
                yield data

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
        if not self._released:
            self._released = True
            self._release()
        sending, self._sending = self._sending, None
        if sending is not None:
            await _ended(sending)

    def _release(self) -> None:
        if self.connection.upgraded:
            self.connection.end()  # whoever joined it to the client's has seen to its bytes
        elif self._is_complete() and self._is_sent():
            self._pool.keep(self.connection)
        else:
            self.connection.cut()

    def _is_complete(self) -> bool:
        """Tell whether nothing of the answer is yet to come, and nobody reads it any more.

        A reader that is behind would go on reading from the connection.
        """
        if not self._received.is_eof() or self._received.exception() is not None:
            return False
        self._received.read_nowait()
        return True

    def _is_sent(self) -> bool:
        """Tell whether the upstream does not wait for more: some answer before they have all."""
        sending = self._sending
        return sending is None or (sending.done() and not sending.cancelled() and sending.result())

    def _fail(self) -> None:
        """Let whoever reads the answer hear that the content never ended: no end would come."""
        self._received.set_exception(aiohttp.ClientConnectionError())

    async def _peek(self) -> str:
        while len(self._head) < PEEK_LIMIT:
            data = await self._received.read(PEEK_LIMIT - len(self._head))
            if not data:
                break
            self._head += data
        return _inflated(self._head, self.headers).decode(errors="replace")


def _inflated(content: bytes, headers: CIMultiDictProxy[str]) -> bytes:
    """Return the beginning of the content without its coding, as far as it can be read."""
    if headers.get("Content-Encoding", "identity").lower() not in READABLE_CODINGS - {"identity"}:
        return content
    for wbits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib; some send bare deflate
        with contextlib.suppress(zlib.error):
            return zlib.decompressobj(wbits).decompress(content, PEEK_LIMIT)
    return b""


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A request as it goes on the wire: its head, and content at hand or as it comes."""

    method: str
    start: bytes
    fields: CIMultiDict[str]
    content: bytes = b""
    chunks: AsyncGenerator[bytes, None] | None = None

    def head_for(self, connection: UpstreamConnection) -> bytes:
        """Return the head for a connection, which may lead to a forward proxy."""
        fields = list(self.fields.items())
        if connection.proxy_authorization is not None:
            fields.append(("Proxy-Authorization", connection.proxy_authorization))
        return joined(self.start, fields)

    def framed(self, data: bytes) -> bytes:
        """Return a part of the content as it goes on the wire."""
        return chunk(data) if "Transfer-Encoding" in self.fields else data

    @property
    def end(self) -> bytes:
        """What follows the last chunk."""
        return LAST_CHUNK if "Transfer-Encoding" in self.fields else b""


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
        origin = origin_of(settings.base_url)
        proxy = forward_proxy(origin)  # reads the whole environment: once is enough
        self._host = host_of(settings.base_url)
        # RFC 9112 3.2.2: a forward proxy gets the absolute form, but for what it only tunnels.
        self._prefix = origin if proxy is not None and origin.startswith("http:") else ""
        self.pool = Pool(origin, proxy, self._connect)

    async def send(
        self,
        request: OutgoingRequest,
        content: ClientContent,
        begun: UpstreamConnection | None = None,
    ) -> UpstreamResponse:
        """Send `request`, with its own content or the client's, and return the answer's head.

        It may have been sent already, on the connection where it was `begun`. Follows no redirect.
        Raises `UpstreamError`, and `ClientError` where the content turns out to have no place for
        the credential.
        """
        deadline = Deadline(self._connect, self._read)
        with _upstream_errors(content):
            async with deadline:
                connection = await self.pool.ready() if begun is None else begun
                is_sent = begun is not None
                try:
                    return await self._exchange(connection, request, content, deadline, is_sent)
                except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                    # The upstream may have closed it while it was idle (RFC 9112 9.3.1).
                    if not _may_repeat(request, content):
                        raise
                deadline.begin_anew()
                connection = await self.pool.opened()
                return await self._exchange(connection, request, content, deadline)

    async def close(self) -> None:
        """Close every connection."""
        await self.pool.close()

    def start_line(self, method: str, path: str, query: str) -> bytes:
        """Return the first line of a request; `path` is the one at the upstream."""
        return f"{method} {self._prefix}{target_of(path, query)} HTTP/1.1".encode()

    def expect(self, connection: UpstreamConnection, method: str) -> None:
        """Let aiohttp read the answer that comes on a connection."""
        connection.expect(method, self._read)

    async def _exchange(
        self,
        connection: UpstreamConnection,
        request: OutgoingRequest,
        content: ClientContent,
        deadline: Deadline,
        is_sent: bool = False,
    ) -> UpstreamResponse:
        sending: asyncio.Task[bool] | None = None
        sent = b""
        try:
            if not is_sent:
                outgoing = self._outgoing(request, content)
                sent = outgoing.head_for(connection)
                self.expect(connection, request.method)
                connection.write(sent + outgoing.content)
                if outgoing.chunks is not None:
                    sending = asyncio.create_task(_send(connection, outgoing, content, deadline))
                else:
                    connection.start_timeout()
            message, received = await connection.answer()
        except BaseException:
            connection.cut()
            if sending is not None:
                await _ended(sending)
            raise
        return UpstreamResponse(
            request.method,
            message,
            received,
            connection,
            sent,
            sending,
            content,
            self.pool,
            self._echo,
        )

    def _outgoing(self, request: OutgoingRequest, content: ClientContent) -> _Outgoing:
        """Return the request with the fields that say how its content is framed."""
        start = self.start_line(request.method, request.full_path, request.query)
        fields = CIMultiDict([("Host", self._host), *request.headers.items()])
        self._echo.prepare(fields)
        frame(fields, request, exists=content.exists, length=content.length)
        outgoing = _Outgoing(request.method, start, fields)
        at_hand = request.content
        if at_hand is None and not request.filters:
            at_hand = content.arrived()
        if at_hand is None:
            return replace(outgoing, chunks=filtered(content.stream(), request.filters))
        return replace(outgoing, content=outgoing.framed(at_hand) + outgoing.end)


async def _send(
    connection: UpstreamConnection,
    outgoing: _Outgoing,
    content: ClientContent,
    deadline: Deadline,
) -> bool:
    """Send the content as it comes, and tell whether all of it went.

    A failure of it is told to whoever waits for the answer.
    """
    assert outgoing.chunks is not None
    try:
        async with contextlib.aclosing(outgoing.chunks) as chunks:
            _rest(deadline, connection)
            async for data in chunks:
                _run(deadline, connection)
                connection.write(outgoing.framed(data))
                await connection.drain()
                _rest(deadline, connection)
            _run(deadline, connection)
        connection.write(outgoing.end)
        return True
    except SidekeyError as error:
        connection.set_exception(aiohttp.ClientConnectionError())
        content.fail(error)
    except (aiohttp.ClientError, ConnectionError):
        pass  # whoever waits for the answer hears of it, or there is one already
    except Exception:  # a mistake of ours: whoever waits would wait for ever
        connection.set_exception(aiohttp.ClientConnectionError())
        raise
    return False


def _rest(deadline: Deadline, connection: UpstreamConnection) -> None:
    """Count no time: it is the client's turn."""
    deadline.rest()
    connection.rest()


def _run(deadline: Deadline, connection: UpstreamConnection) -> None:
    """Count the upstream's time, until its answer begins, and then until more of it comes."""
    deadline.run()
    connection.start_timeout()


async def _ended(sending: asyncio.Task[bool]) -> None:
    """Wait until nothing is sent any more; a replay of the content would wait for its turn."""
    sending.cancel()
    await asyncio.wait({sending})


def _may_repeat(request: OutgoingRequest, content: ClientContent) -> bool:
    """Tell whether a request may be sent again that may have been executed."""
    return request.method in IDEMPOTENT and (request.content is not None or content.replayable)


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
