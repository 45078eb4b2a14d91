"""The client's answer: the upstream's, with its fields made fit for a shared local origin."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict

from proxy.config.models import Upstream
from proxy.errors import CredentialExhausted, UpstreamUnreachable
from proxy.gateway.cookies import with_local_cookies
from proxy.gateway.fields import as_utf8, response_fields, sendable, with_protection
from proxy.gateway.location import with_local_locations
from proxy.gateway.problems import ERROR_FIELD
from proxy.gateway.upstream import UpstreamResponse
from proxy.gateway.websocket import HANDSHAKE, join, wants_websocket
from proxy.injection import Cookie

ADDED_FIELDS = ("Content-Type", "Date", "Server")  # aiohttp adds these where they are missing


class ForwardedResponse(web.StreamResponse):
    """An answer whose status and reason are the upstream's; its fields are `client_fields`."""

    @classmethod
    def of(
        cls, answer: UpstreamResponse, settings: Upstream, prefix: str, *, rejected: bool
    ) -> Self:
        """Raise `UpstreamUnreachable` for an answer that cannot be written as it is."""
        reason = answer.reason
        if not sendable(reason):
            raise UpstreamUnreachable("the upstream sent a reason phrase with a control byte in it")
        headers = client_fields(answer, settings, prefix)
        if rejected:
            headers[ERROR_FIELD] = CredentialExhausted.slug
        return cls(status=answer.status, reason=as_utf8(reason), headers=headers)

    async def _prepare_headers(self) -> None:
        missing = [name for name in ADDED_FIELDS if name not in self.headers]
        await super()._prepare_headers()
        for name in missing:
            self.headers.popall(name, None)


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
