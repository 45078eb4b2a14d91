"""What would become of a request, told without sending it: by the code that forwards. No I/O.

The order of the checks is that of `Guard`, `Gateway` and `Forwarding`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config.models import Settings
from proxy.credentials.redaction import Redaction
from proxy.errors import ConfigError, SidekeyError
from proxy.gateway.address import Address, address_of
from proxy.gateway.clients import Clients
from proxy.gateway.content import check_size
from proxy.gateway.explained import (
    Answered,
    Explanation,
    Outcome,
    Refusal,
    Verdict,
)
from proxy.gateway.fields import check_hops
from proxy.gateway.guard import Caller, Guard
from proxy.gateway.head import UnsentHead
from proxy.gateway.masked_rules import (
    STAND_IN,
    masked_pairs,
    without_stand_in,
)
from proxy.gateway.preparation import PROCESS, Prepared
from proxy.gateway.route import (
    OWN_PREFIX,
    check_navigation,
    check_served,
    is_front_door,
    is_own,
    route,
)
from proxy.gateway.target import Target, check_path
from proxy.gateway.understudy import Understudy
from proxy.gateway.websocket import check_handshake
from proxy.injection import OutgoingRequest, content_limit, inject, needs_token
from proxy.injection.body import FORM
from proxy.observe.status import State, Status
from proxy.refusals import NotAllowed

Fields = Iterable[tuple[str, str]]
States = Mapping[str, Status]


def explain(
    settings: Settings,
    method: str,
    url: str,
    fields: Fields = (),
    *,
    states: States,
    redaction: Redaction,
    known: bool = False,
) -> Explanation:
    """Return what would become of a request, without a secret in it.

    `url` is one that a client calls, its path alone, or that of an API. `states` tell how each
    upstream's token is. `redaction` knows what is configured.
    The client is taken for `known`, or else has to show what `clients` asks for. Raises
    `ConfigError` for what is no URL.
    """
    if known:
        settings = settings.model_copy(update={"clients": None})
    rehearsal = _Rehearsal(settings, method, url, fields, states)
    try:
        rehearsal.play()
    except ConfigError:
        raise
    except SidekeyError as error:
        rehearsal.refuse(error)
    return rehearsal.told().masked(lambda text: redaction.masked(without_stand_in(text)))


class _Rehearsal:
    """Leads a request through the checks, and notes what each one says."""

    def __init__(
        self, settings: Settings, method: str, url: str, fields: Fields, states: States
    ) -> None:
        self._settings = settings
        self._method = method
        self._url = url
        self._fields = fields
        self._states = states
        self._check = "address"
        self._verdicts: list[Verdict] = []
        self._known: dict[str, Any] = {}  # members of the explanation
        self._outcome: Outcome = "sent"

    def play(self) -> None:
        """Go as far as the request would get; raise the `SidekeyError` that ends it."""
        address = address_of(self._settings, self._url)
        self._known["local"] = _shown_url(address.url)
        headers = CIMultiDict([("Host", address.host), *self._fields])
        head = UnsentHead(self._method, address.target, CIMultiDictProxy(headers))
        clients = Clients(self._settings.clients)
        self._check = "caller"
        caller = Guard(address.listener, self._settings.listen, clients).check_head(head)
        self._pass("Host names this listener; no web page and no other proxy sends it")
        if caller.preflight:
            self._answer(Answered(204))
            return
        if is_own(caller.target):
            self._answer(Answered(None, "a page of sidekey's own"))
            if not caller.known:
                asked = "it is open to everybody, such as a document or a probe"
                self._known["conditions"] = (asked,)
            return
        if is_front_door(address.listener, caller, head):
            self._answer(Answered(302, f"a browser is led to the dashboard, /{OWN_PREFIX}/"))
            return
        self._check = "route"
        check_navigation(caller)
        name, rest = route(address.listener, caller.host, caller.target)
        check_served(name, self._settings.upstreams, caller, clients)
        self._known["upstream"] = name
        self._known["found_by"] = _found_by(address, name, rest, caller.target)
        self._pass(f"the upstream is {name}, by {self._known['found_by']}")
        self._forward(Understudy(self._settings, name, clients), head, caller, rest)

    def refuse(self, error: SidekeyError) -> None:
        """Note that a check ends in `error`."""
        name = self._known.get("upstream")
        if name is not None:
            error.upstream = name
        rule = error.rule if isinstance(error, NotAllowed) else None
        place = None if rule is None else f"upstreams.{name}.{rule}"
        self._verdicts.append(Verdict(self._check, False, error.detail, place))
        self._outcome = "refused"
        self._known["refusal"] = Refusal(
            error.slug, error.title, error.status, error.detail, error.fix
        )

    def told(self) -> Explanation:
        """Return what has been noted."""
        return Explanation(
            self._outcome,
            self._method,
            _shown_url(self._url),
            verdicts=tuple(self._verdicts),
            **self._known,
        )

    def _pass(self, why: str, rule: str | None = None) -> None:
        self._verdicts.append(Verdict(self._check, True, why, rule))

    def _answer(self, answer: Answered) -> None:
        self._outcome = "answered"
        self._known["answer"] = answer

    def _forward(self, to: Understudy, head: UnsentHead, caller: Caller, rest: Target) -> None:
        """Play `Forwarding.forward`."""
        conditions = []
        self._check = "client"
        received = to.preparation.received(head, rest, has_content=head.body_exists)
        self._known["path"] = received.full_path
        shown = to.clients.key_in_head(received, to.rules)
        may_follow = to.clients.key_may_follow(received, to.rules)
        if not (caller.known or shown or may_follow):
            raise to.clients.refusal()
        if not (caller.known or shown):
            conditions.append("its content holds one of clients.keys, in the credential's place")
        self._pass(_who(caller, self._settings, shown=shown))
        self._check = "message"
        check_hops(head.headers, PROCESS)
        check_handshake(head)
        self._check = "path"
        check_path(rest.path, to.upstream.encoded_slashes)
        self._pass(f"{received.full_path} has no dot segments, and no separators in disguise")
        self._check = "access"
        answer = to.local_answer(head.method, received.full_path)
        if answer is None:
            rule = to.access.check(head.method, received.full_path)
            why = "allowed" if rule else "no token endpoint, and no rule stands against it"
            self._pass(why, to.place(rule))
        else:
            self._pass("sidekey answers itself", answer.rule)
        self._check = "limits"
        to.limits.check_length(head.content_length)
        if answer is None:
            conditions += to.conditions(head)
        self._pass("the content is not too large, as far as the head tells")
        self._known["conditions"] = tuple(conditions)
        if answer is not None:
            self._answer(answer)
            return
        self._check = "credential"
        prepared = to.preparation.stripped(received, replace=shown or not caller.known)
        self._send(to, head, received, prepared)

    def _send(
        self, to: Understudy, head: UnsentHead, received: OutgoingRequest, prepared: Prepared
    ) -> None:
        """Play `Forwarding._exchange`, with a stand-in for the token."""
        request = _with_content(prepared, head)
        self._known["injections"] = to.injections(received, request, prepared.rules)
        if not needs_token(request, prepared.rules):
            self._pass("no token is needed")
            token = None
        else:
            token = STAND_IN
            status = self._states.get(to.name, Status(to.name, "idle"))
            self._known["token"] = status.members()
            if status.refusal is not None:
                raise status.refusal.with_traceback(None)  # a source has but one, for all
            self._pass(_token_words(to, status.state))
            self._known["rejection"] = to.rejection()
        self._check = "content"
        injected = inject(request, prepared.rules, token)
        self._known["request"] = to.sent(head, injected)
        self._known["removed"] = to.removed(head, self._known["request"])


def _found_by(address: Address, name: str, rest: Target, target: Target) -> str:
    if address.listener.upstream is not None:
        return f"its own port, {address.listener.port}"
    return f"the host {name}.localhost" if rest.path == target.path else f"the prefix /{name}"


def _who(caller: Caller, settings: Settings, *, shown: bool) -> str:
    if shown:
        return "shows one of clients.keys"
    if not caller.known:
        return "a key of clients.keys may stand in its content"
    return "may call" if settings.clients is None else "shows the field of clients.header"


def _token_words(to: Understudy, state: State) -> str:
    if not to.upstream.provider.kept:
        return "its key stands in the configuration"
    words = {
        "idle": "there is none yet: a request fetches one",
        "acquiring": "it is being fetched",
        "expired": "it has expired: a request renews it",
        "blocked": "the endpoint has refused to give one: a request asks once more",
        "failed": "the last attempt failed: a request makes the next one",
    }
    return "the token: " + words.get(state, "there is one")


def _with_content(prepared: Prepared, head: UnsentHead) -> OutgoingRequest:
    """Return the request with the least content at hand, where a rule needs all of it."""
    request = prepared.request
    limit = content_limit(request, prepared.rules)
    if limit is None:
        return request
    check_size(head.content_length or 0, limit)
    return request.with_content(b"..." if request.media_type == FORM else b"{}")


def _shown_url(url: str) -> str:
    before, mark, query = url.partition("?")
    return before + mark + masked_pairs(query)
