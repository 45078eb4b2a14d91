"""The client's answer: the upstream's, as it came."""

from __future__ import annotations

from typing import Self

from aiohttp import web

from proxy.errors import CredentialExhausted, UpstreamUnreachable
from proxy.gateway.fields import as_utf8, response_fields, sendable
from proxy.gateway.problems import ERROR_FIELD
from proxy.gateway.upstream import UpstreamResponse
from proxy.gateway.websocket import HANDSHAKE, join, wants_websocket

ADDED_FIELDS = ("Content-Type", "Date", "Server")  # aiohttp adds these where they are missing


class ForwardedResponse(web.StreamResponse):
    """An answer whose status, reason and fields are the upstream's; nothing is added."""

    @classmethod
    def of(cls, answer: UpstreamResponse, *, rejected: bool) -> Self:
        headers = response_fields(answer.headers)
        if answer.status == 101:
            headers.update(HANDSHAKE)
        if rejected:
            headers[ERROR_FIELD] = CredentialExhausted.slug
        reason = as_utf8(answer.reason) if sendable(answer.reason) else ""
        return cls(status=answer.status, reason=reason, headers=headers)

    async def _prepare_headers(self) -> None:
        missing = [name for name in ADDED_FIELDS if name not in self.headers]
        await super()._prepare_headers()
        for name in missing:
            self.headers.popall(name, None)


async def pass_on(
    request: web.BaseRequest, answer: UpstreamResponse, response: ForwardedResponse, patience: float
) -> None:
    """Send `answer` to the client as `response`, chunk by chunk, without any delay of ours.

    `patience` is how many seconds either end of a websocket may read nothing.
    """
    if answer.status == 101:
        await _upgrade(request, answer, response, patience)
        return
    answer.check_readable()
    if not request.content.is_eof():
        response.force_close()  # the upstream did not wait for content that may never come
    await response.prepare(request)
    async for chunk in answer.chunks():
        await response.write(chunk)
    await response.write_eof()


async def _upgrade(
    request: web.BaseRequest, answer: UpstreamResponse, response: ForwardedResponse, patience: float
) -> None:
    if not wants_websocket(request.headers):
        raise UpstreamUnreachable("the upstream switched protocols without being asked")
    response.force_close()
    await response.prepare(request)
    await response.write_eof()
    await join(request, answer, patience)
