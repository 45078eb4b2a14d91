"""Stands in for the forwarding to one upstream: tells what it would do, and does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from urllib.parse import urlsplit

from multidict import CIMultiDict

from proxy.config.models import Settings
from proxy.credentials.providers import ApiKey
from proxy.credentials.redaction import Redaction
from proxy.gateway.access import Access
from proxy.gateway.clients import Clients
from proxy.gateway.content import REPLAY_LIMIT
from proxy.gateway.echo import Echo
from proxy.gateway.explained import Answered, Injection, Removed, Sent
from proxy.gateway.fields import folded, why_dropped
from proxy.gateway.framing import frame, host_of, target_of
from proxy.gateway.head import UnsentHead
from proxy.gateway.limits import Limits
from proxy.gateway.masked_rules import STAND_IN, masked_field, masked_pairs, masked_rules
from proxy.gateway.preparation import Preparation
from proxy.injection import Body, Injector, OutgoingRequest
from proxy.notation import origin_of


class Understudy:
    """The upstream `name` as its forwarding knows it, but with stand-ins in its rules."""

    def __init__(self, settings: Settings, name: str, clients: Clients) -> None:
        self.name = name
        self.clients = clients
        upstream = settings.upstreams[name]
        self.rules = masked_rules(upstream.inject)
        self.upstream = upstream.model_copy(update={"inject": self.rules})
        self.preparation = Preparation(self.upstream, urlsplit(upstream.base_url).path, clients)
        self.limits = Limits(upstream.limits)
        self._settings = settings

    @cached_property
    def access(self) -> Access:
        """What may be asked for, past the token endpoints of all upstreams."""
        every = self._settings.upstreams.values()
        providers = [upstream.provider.at(upstream.base_url) for upstream in every]
        return Access(self.upstream, [url for one in providers for url in one.endpoints()])

    def place(self, rule: str | None) -> str | None:
        """Return where a rule of the upstream stands in the configuration."""
        return None if rule is None else f"upstreams.{self.name}.{rule}"

    def local_answer(self, method: str, path: str) -> Answered | None:
        """Return what is answered here."""
        found = self.access.local_answer(method, path)
        if found is None:
            return None
        return Answered(found.status, found.json_content, self.place(self.access.place(found)))

    def conditions(self, head: UnsentHead) -> Iterator[str]:
        """Yield what depends on other requests, and on content that nobody has seen."""
        limits = self.upstream.limits
        if limits.rate is not None:
            yield f"the rate is not used up ({self.place('limits.rate')})"
        if limits.concurrency is not None:
            yield f"fewer than {limits.concurrency} requests are under way"
        if not head.body_exists:
            return
        if limits.content is not None and head.content_length is None:
            yield f"its content has at most {limits.content} bytes ({self.place('limits.content')})"
        for rule in self.rules:
            if isinstance(rule, Body):
                if self.upstream.client_credential != "replace":
                    yield f"its content has no {rule.name} ({self.place('client_credential')})"
                yield f"its content is what its type says, and has at most {rule.max_size} bytes"

    def injections(
        self, received: OutgoingRequest, request: OutgoingRequest, rules: tuple[Injector, ...]
    ) -> tuple[Injection, ...]:
        """Return what becomes of each rule; `rules` are those that are left to be applied."""
        return tuple(
            Injection(
                rule=f"upstreams.{self.name}.inject[{index}]",
                sets=_sets(rule),
                applies=(why := self._why_not(rule, request, rules)) is None,
                why=why,
                removes_own=rule in rules and any(rule.values(received)),
            )
            for index, rule in enumerate(self.rules)
        )

    def _why_not(
        self, rule: Injector, request: OutgoingRequest, rules: tuple[Injector, ...]
    ) -> str | None:
        if rule not in rules:
            return "the client's own credential goes through (client_credential: pass)"
        if not rule.covers(request):
            return f"its paths, {', '.join(rule.paths)}, do not cover this one"
        if not rule.fits(request):
            return f"a {request.method} request has no content"
        return None

    def sent(self, head: UnsentHead, injected: OutgoingRequest) -> Sent:
        """Return the request as it would go on the wire, as far as its content is known."""
        fields = CIMultiDict([("Host", host_of(self.upstream.base_url)), *injected.headers.items()])
        Echo(self.upstream.redact, Redaction()).prepare(fields)
        if injected.content is None and (not head.body_exists or _is_framed(head)):
            frame(fields, injected, exists=head.body_exists, length=head.content_length)
        query = masked_pairs(injected.query)
        shown = [(name, masked_field(name, value)) for name, value in fields.items()]
        url = origin_of(self.upstream.base_url) + target_of(injected.full_path, query)
        return Sent(injected.method, url, tuple(shown), _content(head, injected))

    def removed(self, head: UnsentHead, sent: Sent) -> tuple[Removed, ...]:
        """Return the client's fields that do not go on, but for those that are framed anew."""
        kept = {folded(name) for name, _ in sent.fields} | {"host", "content-length"}
        gone = dict.fromkeys(name for name in head.headers if folded(name) not in kept)
        return tuple(Removed(name, self._why_removed(name, head)) for name in gone)

    def _why_removed(self, name: str, head: UnsentHead) -> str:
        if self.clients.header is not None and folded(name) == folded(self.clients.header):
            return "it shows sidekey who calls"
        why = why_dropped(name, head.headers)
        return why or "a credential goes in this place, on other paths"

    def rejection(self) -> str:
        """Return what follows when the upstream rejects the token."""
        rules = [
            f"{rule.status}" + (f" with {rule.contains!r}" if rule.contains else "")
            for rule in self.upstream.reject_on
        ]
        again = f"and the request is sent once more, if its content has up to {REPLAY_LIMIT} bytes"
        provider = self.upstream.provider
        if provider.interactive:
            follows = f"the token counts as dead, until sidekey login {self.name}"
        elif not isinstance(provider, ApiKey):
            follows = f"the token is renewed, {again}"
        elif len(provider.keys) > 1:
            follows = f"the next key is taken, {again}"
        else:
            follows = "there is no other key: the client gets the answer"
        return f"{', '.join(rules) or 'no answer'}: {follows}"


def _sets(rule: Injector) -> str:
    """Return what a rule sets, and where: `header Authorization: Bearer ***`."""
    place, name = getattr(rule, "place", ""), getattr(rule, "name", None)
    value = rule.formatted(STAND_IN)
    return f"{place} {value}" if name is None else f"{place} {name}: {value}"


def _is_framed(head: UnsentHead) -> bool:
    return "Content-Length" in head.headers or "Transfer-Encoding" in head.headers


def _content(head: UnsentHead, injected: OutgoingRequest) -> str | None:
    if injected.filters:
        return "the client's own, as it comes, with the credential as its first field"
    if not head.body_exists:
        return None if injected.content is None else injected.content.decode()
    if injected.content is not None:
        return f"the client's own, with {injected.content.decode()} put in"
    return "the client's own, as it comes"
