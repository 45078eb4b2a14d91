"""A token endpoint that follows no standard, described in the configuration. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from pydantic import Field, JsonValue, StringConstraints, model_validator

from proxy.credentials.providers.answers import (
    Expiry,
    by_our_clock,
    expiry,
    moment,
    pick,
    read_object,
    reason,
    token_at,
)
from proxy.credentials.providers.base import Provider
from proxy.credentials.providers.oauth2_client_credentials import FORM, basic
from proxy.credentials.secret import Secret
from proxy.credentials.token import Token, TokenFlow, TokenRequest, TokenResponse
from proxy.errors import GrantRejected
from proxy.notation import Duration, Frozen, Status, Url
from proxy.placeholders import fill

Method = Annotated[str, StringConstraints(pattern=r"^(GET|POST|PUT|PATCH)$")]
JsonPath = Annotated[str, StringConstraints(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]


class ClientAuth(Frozen):
    """Where the client's id and secret go as such."""

    basic: tuple[Secret, Secret]
    """Id and secret as Basic credentials (RFC 7617)."""


class RequestShape(Frozen):
    """One request to the token endpoint; its fields usually hold secrets, so they never print."""

    url: Url
    """Where the request goes."""
    method: Method = "POST"
    """GET, POST, PUT or PATCH."""
    auth: ClientAuth | None = None
    """Where the client's id and secret go as such."""
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """Further header fields."""
    query: dict[str, str] = Field(default_factory=dict, repr=False)
    """Parameters that are added to the URL."""
    form: dict[str, str] | None = Field(default=None, repr=False)
    """Content as a form; excludes `json`."""
    json_content: dict[str, JsonValue] | None = Field(default=None, alias="json", repr=False)
    """Content as a JSON object; excludes `form`."""

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if self.form is not None and self.json_content is not None:
            raise ValueError("json and form exclude each other")
        return self

    def fill(self, values: Mapping[str, str]) -> TokenRequest:
        """Return the request with `{name}` replaced by the values of that name."""
        content_type, content = self._content(values)
        headers = {"Content-Type": content_type} if content_type else {}
        headers = _overridden(headers, fill(self.headers, values))
        if self.auth is not None:
            user, password = self.auth.basic
            authorization = basic(user.reveal(), password.reveal())
            headers = _overridden(headers, {"Authorization": authorization})
        return TokenRequest(self.method, self._url(values), headers, content)

    def _content(self, values: Mapping[str, str]) -> tuple[str | None, bytes]:
        if self.json_content is not None:
            filled = json.dumps(fill(self.json_content, values), ensure_ascii=False)
            return "application/json", filled.encode()
        if self.form is not None:
            return FORM, urlencode(fill(self.form, values)).encode()
        return None, b""

    def _url(self, values: Mapping[str, str]) -> str:
        if not self.query:
            return self.url
        separator = "&" if "?" in self.url else "?"
        return self.url + separator + urlencode(fill(self.query, values))


def _overridden(headers: dict[str, str], by: dict[str, str]) -> dict[str, str]:
    """Return both; where a name is in both, whatever its case, `by` wins."""
    names = {name.lower() for name in by}
    return {name: value for name, value in headers.items() if name.lower() not in names} | by


class ResponseShape(Frozen):
    """Where things stand in the JSON answer, as dotted paths."""

    token: JsonPath = "access_token"  # noqa: S105  a path, no password
    """Path of the token."""
    refresh_token: JsonPath | None = None
    """Path of a refresh token, which `renewal` gets as `{refresh_token}`."""
    expires_in: JsonPath | None = None
    """Path of the token's lifetime in seconds."""
    expires_at: JsonPath | None = None
    """Path of the moment at which the token expires."""


class Success(Frozen):
    """Which answers are a success; kabu Station says `ResultCode: 0`, others answer 201."""

    statuses: tuple[Status, ...] = (200, 201)
    """Statuses of a success."""
    json_conditions: dict[JsonPath, JsonValue] = Field(default_factory=dict, alias="json")
    """Paths into the answer, and the values that must stand there."""


class TokenEndpoint(Provider):
    """A declared request buys a token; a declared renewal buys the next one while it can."""

    type: Literal["token_endpoint"]
    """A token endpoint that is described here."""
    request: RequestShape
    """The request that buys a token."""
    renewal: RequestShape | None = None
    """The request that renews one: `{token}` and `{refresh_token}` are filled in."""
    response: ResponseShape = ResponseShape()
    """Where things stand in the JSON answer, as dotted paths."""
    success: Success = Success()
    """Which answers are a success."""
    lifetime: Duration | None = None
    """How long a token counts as good where the answer does not say; without it, until rejected."""
    refresh_lifetime: Duration | None = None
    """How long a refresh token counts as good."""

    @property
    def rotates(self) -> bool:
        return self.renewal is not None

    def endpoints(self) -> tuple[str, ...]:
        return (self.request.url,) if self.renewal is None else (self.request.url, self.renewal.url)

    def acquire(self, previous: Token | None) -> TokenFlow:
        if self.renewal is not None and self._renewable(previous):
            try:
                return (yield from self._renew(self.renewal, previous))
            except GrantRejected:
                pass  # too late to renew: begin again, as the portal's document says
        response = yield self.request.fill({})
        return self._read(response, None)

    def _renewable(self, previous: Token | None) -> bool:
        if previous is None:
            return False
        return previous.refresh_token is not None or self.response.refresh_token is None

    def _renew(self, shape: RequestShape, previous: Token | None) -> TokenFlow:
        assert previous is not None  # _renewable saw to it
        values = {"token": previous.value.reveal()}
        if previous.refresh_token is not None:
            values["refresh_token"] = previous.refresh_token.reveal()
        response = yield shape.fill(values)
        return self._read(response, previous)

    def _read(self, response: TokenResponse, previous: Token | None) -> Token:
        answer = read_object(response, self.success.statuses)
        for path, expected in self.success.json_conditions.items():
            if pick(answer, path) != expected:
                raise GrantRejected(f"the token endpoint refused{reason(answer)}")
        token = token_at(answer, self.response.token)
        kept = self._refresh_token(answer)
        if kept is not None:
            lifetime = self.refresh_lifetime
            refresh_expires_at = response.sent_at + lifetime if lifetime else None
        else:  # no new refresh token: the old one goes on (RFC 6749 section 6)
            kept = previous.refresh_token if previous else None
            refresh_expires_at = previous.refresh_expires_at if previous else None
        expires = self._expiry(response, answer, token)
        return Token(
            token,
            expires_at=expires.at,
            assumed=expires.assumed,
            refresh_token=kept,
            refresh_expires_at=refresh_expires_at,
        )

    def _refresh_token(self, answer: dict[str, Any]) -> Secret | None:
        path = self.response.refresh_token
        if path is None or not pick(answer, path):
            return None
        return token_at(answer, path)

    def _expiry(self, response: TokenResponse, answer: dict[str, Any], token: Secret) -> Expiry:
        if self.response.expires_at is not None:
            stated = by_our_clock(response, moment(pick(answer, self.response.expires_at)))
            if stated is not None:
                return Expiry(stated, assumed=False)
        expires_in = pick(answer, self.response.expires_in) if self.response.expires_in else None
        return expiry(response, token, expires_in=expires_in, default=self.lifetime)
