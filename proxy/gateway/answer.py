"""The client's answer: the upstream's, with its fields made fit for a shared local origin."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from proxy.config.models import Upstream
from proxy.errors import CredentialExhausted, UpstreamUnreachable
from proxy.gateway.cookies import with_local_cookies
from proxy.gateway.fields import as_utf8, response_fields, sendable, with_protection
from proxy.gateway.framing import LAST_CHUNK, chunk, joined
from proxy.gateway.location import with_local_locations
from proxy.gateway.problems import ERROR_FIELD
from proxy.gateway.recorder import Copy
from proxy.gateway.upstream import UpstreamResponse
from proxy.gateway.websocket import HANDSHAKE, join, wants_websocket
from proxy.injection import Cookie

WITHOUT_CONTENT = (204, 304)  # statuses, whatever their fields say (RFC 9110 6.4.1)


class ForwardedResponse(web.StreamResponse):
    """An answer that is written as bytes; its fields are `client_fields` and the framing.

    aiohttp's own way of writing one costs as much as all the rest of a request, and adds fields.
    """

    def __init__(self, status: int, reason: str, fields: CIMultiDict[str]) -> None:
        super().__init__(status=status, reason=reason, headers=fields)
        self._request: web.BaseRequest | None = None  # once the answer has begun
        self._chunked = False
        self.head = b""  # as it was sent

    @classmethod
    def of(
        cls, answer: UpstreamResponse, settings: Upstream, prefix: str, *, rejected: bool
    ) -> Self:
        """Raise `UpstreamUnreachable` for an answer that cannot be written as it is."""
        reason = answer.reason
        if not sendable(reason):
            raise UpstreamUnreachable("the upstream sent a reason phrase with a control byte in it")
        fields = client_fields(answer, settings, prefix)
        if rejected:
            fields[ERROR_FIELD] = CredentialExhausted.slug
        return cls(answer.status, as_utf8(reason), fields)

    @property
    def prepared(self) -> bool:
        """Whether the answer has begun."""
        return self._request is not None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection goes on after the answer."""
        may = self._request is None or bool(self._request.keep_alive)
        return may and super().keep_alive is not False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: aiohttp asks for it after the handler, when all has been written."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing, for the same reason."""

    def begin(self, request: web.BaseRequest) -> bytes:
        """Return the head; from now on there is no other answer."""
        self._request = request
        is_current = request.version >= HttpVersion11
        if not has_content(request.method, self.status):
            if self.status < 200 or self.status == 204:
                self.headers.popall("Content-Length", None)
        elif "Content-Length" not in self.headers:
            if is_current:
                self._chunked = True
                self.headers["Transfer-Encoding"] = "chunked"
            else:
                self.force_close()
        if "Connection" not in self.headers:
            if is_current and not self.keep_alive:
                self.headers["Connection"] = "close"
            elif self.keep_alive and not is_current:
                self.headers["Connection"] = "keep-alive"
        version = request.version
        start = f"HTTP/{version.major}.{version.minor} {self.status} {self.reason}"
        self.head = joined(start.encode(), self.headers.items())
        return self.head

    def framed(self, data: bytes, *, last: bool = False) -> bytes:
        """Return a part of the content as it goes on the wire."""
        if not self._chunked:
            return data
        return chunk(data) + LAST_CHUNK if last else chunk(data)

    async def send(self, data: bytes) -> None:
        """Write bytes, and wait until the client takes more. Raises `ConnectionError`."""
        request = self._request
        assert request is not None
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left")
        transport.write(data)
        request.writer.output_size += len(data)
        if request.protocol.writing_paused:
            await request.writer.drain()


def has_content(method: str, status: int) -> bool:
    """Tell whether an answer has content, whatever its fields say (RFC 9110 6.4.1)."""
    return method != "HEAD" and status >= 200 and status not in WITHOUT_CONTENT


def client_fields(answer: UpstreamResponse, settings: Upstream, prefix: str) -> CIMultiDict[str]:
    """Return the fields that the client gets; `prefix` is what it writes for the base URL."""
    fields = response_fields(answer.headers, keep_cookies=settings.cookies == "pass")
    fields = with_local_locations(fields, settings.base_url, prefix)
    if "Set-Cookie" in fields:
        injected = {rule.name for rule in settings.inject if isinstance(rule, Cookie)}
        fields = with_local_cookies(fields, urlsplit(settings.base_url).path, prefix, injected)
    if answer.status == 101:
        fields.update(HANDSHAKE)
        return fields
    return with_protection(fields, answer.status)


async def pass_on(
    request: web.BaseRequest,
    answer: UpstreamResponse,
    response: ForwardedResponse,
    patience: float,
    copy: Copy | None = None,
) -> None:
    """Send `answer` to the client as `response`, chunk by chunk, without any delay of ours.

    `patience` is how many seconds either end of a websocket may read nothing. A `copy` gets what
    the client gets, but for what passes on a websocket.
    """
    if answer.status == 101:
        await _upgrade(request, answer, response, patience)
        return
    answer.check_readable()
    if not request.content.is_eof():
        response.force_close()  # the upstream did not wait for content that may never come
    begun = response.begin(request)
    whole = answer.whole()
    if whole is not None:
        if copy is not None:
            copy.add(whole)
        await response.send(begun + response.framed(whole, last=True))
        return
    await response.send(begun)
    async for data in answer.chunks():
        if copy is not None:
            copy.add(data)
        await response.send(response.framed(data))
    await response.send(response.framed(b"", last=True))


async def _upgrade(
    request: web.BaseRequest, answer: UpstreamResponse, response: ForwardedResponse, patience: float
) -> None:
    if not wants_websocket(request.headers):
        raise UpstreamUnreachable("the upstream switched protocols without being asked")
    response.force_close()
    await response.send(response.begin(request))
    await join(request, answer, patience)
