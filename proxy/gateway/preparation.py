"""The client's request made ready for one upstream, but for the credential."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from multidict import CIMultiDict

from proxy.config.models import Upstream
from proxy.gateway.clients import Clients
from proxy.gateway.content import ClientContent, gathered
from proxy.gateway.fields import hops, request_fields, without_unreadable_codings
from proxy.gateway.head import Head
from proxy.gateway.target import Target
from proxy.gateway.websocket import HANDSHAKE, wants_websocket
from proxy.injection import Cookie, Injector, OutgoingRequest, client_values, strip_credentials
from proxy.refusals import CredentialConflict

PROCESS = secrets.token_hex(8)  # what upstreams that are proxies like this one know it by


@dataclass(frozen=True, slots=True)
class Prepared:
    """The client's request, stripped, and the rules that are yet to be applied to it."""

    request: OutgoingRequest
    rules: tuple[Injector, ...]


class Preparation:
    """Prepares requests for one upstream, whose base URL has the path `base_path`."""

    def __init__(self, settings: Upstream, base_path: str, clients: Clients) -> None:
        self._settings = settings
        self._base_path = base_path
        self._clients = clients
        self._has_cookie_rule = any(isinstance(rule, Cookie) for rule in settings.inject)
        self._looks_into_answers = any(rule.contains is not None for rule in settings.reject_on)

    def received(self, request: Head, target: Target, *, has_content: bool) -> OutgoingRequest:
        """Return the client's request as it came, its content still to come."""
        return OutgoingRequest(
            method=request.method,
            base=self._base_path,
            path=target.path,
            query=target.query,
            headers=CIMultiDict(request.headers),
            has_content=has_content,
        )

    async def prepare(
        self, received: OutgoingRequest, content: ClientContent, *, replace: bool
    ) -> Prepared:
        """Strip first, so that nothing that the client sends can undo what is injected last.

        With `replace`, what stands in the credential's place is no credential of the client's own,
        whatever `client_credential` says. Raises `CredentialConflict`.
        """
        if not replace and self._settings.client_credential != "replace":
            # Multipart streams unread.
            received = await gathered(received, self._settings.inject, content)
        stripped = self.stripped(received, replace=replace)
        request = await gathered(stripped.request, stripped.rules, content)
        return Prepared(request, stripped.rules)

    def stripped(self, received: OutgoingRequest, *, replace: bool) -> Prepared:
        """Return the request without what must not pass, its content yet to be gathered.

        `received` has its content at hand where a credential of the client's own counts. Raises
        `CredentialConflict`.
        """
        rules: tuple[Injector, ...] = self._settings.inject
        keeps_own = not replace and self._keeps_own_credential(received)
        if keeps_own:
            rules = tuple(rule for rule in rules if not rule.uses_token)
        fields = self._fields(received, keeps_own=keeps_own)
        return Prepared(strip_credentials(received.with_headers(fields), rules), rules)

    def _keeps_own_credential(self, received: OutgoingRequest) -> bool:
        """Tell whether the client's own credential goes through in place of ours."""
        if self._settings.client_credential == "replace":
            return False
        if not any(value.strip() for value in client_values(received, self._settings.inject)):
            return False
        if self._settings.client_credential == "reject":
            raise CredentialConflict(
                "the client sent a credential of its own, and this upstream has one"
            )
        return True

    def _fields(self, received: OutgoingRequest, *, keeps_own: bool) -> CIMultiDict[str]:
        fields = request_fields(
            received.headers,
            keep_credentials=keeps_own,
            keep_cookies=self._settings.cookies == "pass" or (keeps_own and self._has_cookie_rule),
        )
        fields.update(hops(received.headers, PROCESS, self._settings.base_url))
        if self._clients.header is not None:
            fields.popall(self._clients.header, None)
        if self._looks_into_answers:
            fields = without_unreadable_codings(fields)
        if wants_websocket(received.headers):
            fields.update(HANDSHAKE)
        return fields
