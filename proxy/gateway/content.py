"""The client's content: streamed, or read as a whole, and kept for a replay while it is small."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress

from aiohttp import HttpVersion11, web

from proxy.errors import SidekeyError
from proxy.gateway.limits import too_large
from proxy.gateway.recorder import Copy
from proxy.injection import ContentFilter, Injector, OutgoingRequest, content_limit
from proxy.refusals import BadMessage, ClientTooSlow, ContentTooLarge

REPLAY_LIMIT = 256 * 1024  # bytes kept; larger content cannot be sent a second time
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
COPY_PATIENCE = 0.5  # seconds; clients send small content right behind the head
SLOWEST = 1024  # bytes a second of content, once it has been waited for as long as for one piece


class ClientContent:
    """Reads the content of `request` once, and gives it out again from what it kept.

    `patience` is how many seconds the next piece may take; `limit` is the size of the whole. A
    `copy` gets what the client sends.
    Reading raises `ClientTooSlow`, `ContentTooLarge` and `BadMessage`.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        patience: float,
        limit: int | None = None,
        copy: Copy | None = None,
    ) -> None:
        self._request = request
        self._patience = patience
        self._limit = limit
        self._copy = copy
        self._waited = 0.0  # seconds, for the client alone
        self._received = 0
        self._kept = bytearray()
        self._ended = not request.body_exists
        self._continued = False
        self._turn = asyncio.Lock()  # a replay begins when the first sending has let go
        self.exists = request.body_exists
        self.length = request.content_length  # None where the client sends chunks
        self.replayable = True
        self.failure: SidekeyError | None = None
        self.on_failure: Callable[[], None] | None = None

    def fail(self, error: SidekeyError) -> None:
        """Note why the content never ends, and tell the one whose answer waits for its end."""
        self.failure = error
        if self.on_failure is not None:
            asyncio.get_running_loop().call_soon(self.on_failure)

    async def read(self, limit: int) -> bytes:
        """Return the whole content, or raise `ContentTooLarge` past `limit` bytes."""
        check_size(self._request.content_length or 0, limit)
        content = bytearray()
        async for chunk in self._rest():
            content += chunk
            check_size(len(content), limit)
        return bytes(content)

    async def beginnings(self, limit: int) -> AsyncIterator[bytes]:
        """Yield longer and longer beginnings of the content, each twice as long, up to `limit`.

        All of it is kept for `stream`, whatever its size.
        """
        shown = 0
        async for chunk in self._rest():
            self._kept += chunk
            if len(self._kept) >= min(2 * shown, limit):
                shown = len(self._kept)
                yield bytes(self._kept[:limit])
            if shown >= limit:
                return
        if len(self._kept) > shown:
            yield bytes(self._kept[:limit])

    def arrived(self) -> bytes | None:
        """Return the whole content if the client has sent it already and it can be kept."""
        if not self.exists:
            return b""
        if not self._ended:
            content = self._request.content
            if not content.is_eof() or content.total_bytes > REPLAY_LIMIT or content.exception():
                return None
            rest = content.read_nowait()
            self._count(rest)
            self._keep(rest)
            self._ended = True
        return bytes(self._kept) if self.replayable else None

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the content: what was kept of it first, then the rest from the client."""
        async with self._turn:
            if self._kept:
                yield bytes(self._kept)
            async for chunk in self._rest():
                self._keep(chunk)
                yield chunk

    async def fill_copy(self) -> None:
        """Read for the copy alone, if there is one, as much as it keeps and comes at once.

        Whatever is wrong with the content is nobody's concern then.
        """
        if self._copy is None:
            return
        with suppress(TimeoutError, BadMessage, ClientTooSlow, ContentTooLarge):
            async with asyncio.timeout(COPY_PATIENCE):
                async for _ in self._rest():
                    if not self._copy.is_whole:
                        return

    def _keep(self, chunk: bytes) -> None:
        if self.replayable and len(self._kept) + len(chunk) <= REPLAY_LIMIT:
            self._kept += chunk
        else:
            self.replayable = False
            self._kept.clear()

    async def _rest(self) -> AsyncIterator[bytes]:
        if not self._ended:
            await self._invite()
        while not self._ended:
            chunk = await self._next()
            if chunk:
                self._count(chunk)
                yield chunk
            else:
                self._ended = True

    async def _next(self) -> bytes:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self._patience):
                return await self._request.content.readany()
        except web.RequestPayloadError:
            raise BadMessage("the content is no proper HTTP/1.1") from None
        except TimeoutError:
            raise ClientTooSlow(f"no content came for {self._patience:g} seconds") from None
        finally:
            self._waited += time.monotonic() - begun

    def _count(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._copy is not None:
            self._copy.add(chunk)
        if self._limit is not None and self._received > self._limit:
            raise too_large(self._limit)
        if self._waited > self._patience and self._received < self._waited * SLOWEST:
            raise ClientTooSlow(f"the content comes at less than {SLOWEST} bytes a second")

    async def _invite(self) -> None:
        """Answer `Expect: 100-continue` now: every check has passed, and content is wanted."""
        expected = self._request.headers.get("Expect", "").lower()
        understands = self._request.version >= HttpVersion11  # RFC 9110 10.1.1
        if understands and expected == "100-continue" and not self._continued:
            self._continued = True
            with suppress(ConnectionError):  # the client has left: reading will tell
                await self._request.writer.write(CONTINUE)
            self._request.writer.output_size = 0  # the interim answer is not the answer's beginning


def check_size(size: int, limit: int) -> None:
    """Raise `ContentTooLarge` for more bytes than a credential may go into."""
    if size > limit:
        raise ContentTooLarge(
            f"content that a credential goes into may have {limit} bytes",
            fix="send less at once, or raise max_size of the body rule",
        )


async def gathered(
    request: OutgoingRequest, rules: Sequence[Injector], content: ClientContent
) -> OutgoingRequest:
    """Return `request` with its content at hand, where a rule needs it as a whole."""
    limit = content_limit(request, rules)
    if limit is None or request.content is not None:
        return request
    return request.with_content(await content.read(limit))


async def filtered(
    chunks: AsyncGenerator[bytes, None], filters: tuple[Callable[[], ContentFilter], ...]
) -> AsyncGenerator[bytes, None]:
    """Yield `chunks` after they went through fresh filters."""
    stages = [begin() for begin in filters]
    async with aclosing(chunks):
        async for chunk in chunks:
            passed = chunk
            for stage in stages:
                passed = stage.feed(passed)
            if passed:
                yield passed
    rest = b""
    for stage in stages:
        rest = (stage.feed(rest) if rest else b"") + stage.finish()
    if rest:
        yield rest
