"""A token endpoint with an API behind it, as the strictest vendors run them.

POST /token   {"user", "password"}     a new family of tokens; a wrong password is 400
POST /renew   {"refresh_token"}        the next of the family; one that was used before revokes
                                       all of it (RFC 9700 section 4.14)
any  /api/... Authorization: Bearer    200, or 401 for a token that is no longer good
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from raw_upstream import Conversation, RawRequest, RawUpstream, conversing, json_response, response

from proxy.credentials.providers import TokenEndpoint
from proxy.credentials.token import Token

USER, PASSWORD = "me@example.com", "canary-password-of-the-token-server"
HANG = object()  # read, and never answered
CUT_BEFORE = object()  # the connection breaks, and nothing has happened
CUT_AFTER = object()  # it has happened, and the answer is lost
Fault = object | bytes | float  # an answer in place of the real one, or seconds that it takes


@dataclass
class Family:
    """What one sign-in has led to; the numbers are those of its generations."""

    latest: int = 0
    revoked: bool = False


@dataclass
class TokenServer:
    """What it hands out and has seen.

    `faults` befall token requests in turn, after them what `fault` returns.
    """

    life: float = 3600.0
    now: Callable[[], float] = time.time
    rotates: bool = True
    locked: bool = False  # the account, after too many wrong passwords
    tells_life: bool = True
    faults: list[Fault] = field(default_factory=list)
    fault: Callable[[], Fault | None] = lambda: None
    issued_one: Callable[[], None] = lambda: None
    families: dict[str, Family] = field(default_factory=dict)
    asked: int = 0  # token requests, whatever became of them
    most_at_once: int = 0
    rejected: int = 0  # requests to the API
    calls: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)  # by token
    upstream: RawUpstream | None = None
    _at_once: int = 0
    _good: dict[str, float] = field(default_factory=dict)
    _revoked: set[str] = field(default_factory=set)
    _refresh: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        assert self.upstream is not None
        return self.upstream.origin

    @property
    def issued(self) -> set[str]:
        """Every access token that it has handed out."""
        return self._revoked | self._good.keys()

    def is_good(self, token: Token) -> bool:
        """Tell whether the API would take the token now."""
        return self.takes(token.value.reveal())

    def takes(self, value: str) -> bool:
        """Tell whether the API would take a token of that value now."""
        return self._good.get(value, 0.0) > self.now()

    def revoke(self) -> None:
        """Let every access token die before its time."""
        self._revoked |= self._good.keys()
        self._good.clear()

    def was_revoked(self, token: Token) -> bool:
        """Tell whether nobody could know that the token is no longer good."""
        return token.value.reveal() in self._revoked

    def provider(self, password: str = PASSWORD, *, renews: bool = True) -> TokenEndpoint:
        """Return the provider that is configured for it."""
        shape = json.loads(json.dumps(self.shape(password, renews=renews)))
        return TokenEndpoint.model_validate(shape)

    def shape(self, password: str = PASSWORD, *, renews: bool = True) -> dict[str, Any]:
        """Return the keys of the provider, ready for YAML."""
        shape: dict[str, Any] = {
            "type": "token_endpoint",
            "request": {
                "url": f"{self.origin}/token",
                "json": {"user": USER, "password": password},
            },
            "response": {"token": "access_token", "expires_in": "expires_in"},
        }
        if renews:
            shape["renewal"] = {
                "url": f"{self.origin}/renew",
                "json": {"refresh_token": "{refresh_token}"},
            }
            shape["response"]["refresh_token"] = "refresh_token"
        if not self.tells_life:
            del shape["response"]["expires_in"]
        return shape

    def upstreams(self, name: str, *, password: str = PASSWORD, renews: bool = True) -> str:
        """Return the YAML text, below `upstreams:`, of one that uses it."""
        shape = json.dumps(self.shape(password, renews=renews))
        return f"{name}: {{base_url: '{self.origin}/api', provider: {shape}}}"

    async def converse(self, peer: Conversation) -> None:
        while True:
            request = await peer.request()
            if request.target.startswith("/api"):
                await peer.send(self._api(request))
                continue
            self.asked += 1
            self.most_at_once = max(self.most_at_once, self._at_once + 1)
            self._at_once += 1
            try:
                if not await self._answer(peer, request):
                    return
            finally:
                self._at_once -= 1

    async def _answer(self, peer: Conversation, request: RawRequest) -> bool:
        """Answer a token request; `False` if the connection breaks instead."""
        fault = self.faults.pop(0) if self.faults else self.fault()
        if fault is HANG:
            await peer.reader.read()
        if fault is HANG or fault is CUT_BEFORE:
            return False
        if isinstance(fault, bytes):
            await peer.send(fault)
            return True
        answer = self._token(request)
        if fault is CUT_AFTER:
            return False
        if isinstance(fault, float):
            await asyncio.sleep(fault)
        await peer.send(answer)
        return True

    def _api(self, request: RawRequest) -> bytes:
        (field,) = request.field("Authorization") or [""]
        token = field.removeprefix("Bearer ")
        if self._good.get(token, 0.0) <= self.now():
            self.rejected += 1
            return response("401 Unauthorized", b"no")
        self.served[token] += 1
        return response("200 OK", b"ok")

    def _token(self, request: RawRequest) -> bytes:
        asked = json.loads(request.content)
        if request.target == "/token":
            return self._sign_in(asked)
        return self._renew(asked["refresh_token"])

    def _sign_in(self, asked: dict[str, str]) -> bytes:
        if self.locked or asked != {"user": USER, "password": PASSWORD}:
            self.calls["refused"] += 1
            return json_response("400 Bad Request", b'{"error":"invalid_grant"}')
        self.calls["sign-in"] += 1
        name = secrets.token_hex(8)
        self.families[name] = Family()
        return self._issue(name)

    def _renew(self, refresh_token: str) -> bytes:
        name, generation = self._refresh.get(refresh_token, ("", 0))
        family = self.families.get(name)
        if family is None or family.revoked:
            self.calls["refused"] += 1
            return json_response("400 Bad Request", b'{"error":"invalid_grant"}')
        if self.rotates and generation != family.latest:
            self.calls["reuse"] += 1
            family.revoked = True
            return json_response("400 Bad Request", b'{"error":"invalid_grant"}')
        self.calls["renewal"] += 1
        return self._issue(name)

    def _issue(self, name: str) -> bytes:
        family = self.families[name]
        family.latest += 1
        self.issued_one()
        token, refresh_token = (f"canary-{kind}-{secrets.token_hex(8)}" for kind in ("at", "rt"))
        self._good[token] = self.now() + self.life
        self._refresh[refresh_token] = name, family.latest
        members = {"access_token": token, "refresh_token": refresh_token, "expires_in": self.life}
        return json_response("200 OK", json.dumps(members).encode())


@asynccontextmanager
async def token_server(**options: Any) -> AsyncIterator[TokenServer]:
    """Serve on a free port until the block ends."""
    server = TokenServer(**options)
    async with conversing(server.converse) as server.upstream:
        yield server
