"""The J-Quants API, version 1: mail address and password, refresh token, ID token, data.

Sources: the vendor's pages /token/auth_user and /token/auth_refresh, the v1 reference, and what
the official Python client (jquants-api-client 2.0.0) asks for and expects.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.sandbox import jquants
from proxy.sandbox.jquants import BadParameter, Row
from proxy.sandbox.market import Bar, Company, days, is_trading_day
from proxy.sandbox.recording import Recording

Endpoint = Callable[[web.Request], web.Response]

_SIGNING_KEY = b"demo-signing-key"
_JWE_HEADER = {"cty": "JWT", "enc": "A256GCM", "alg": "RSA-OAEP"}
_WRONG_LOGIN = "'mailaddress' or 'password' is incorrect."
_NO_REFRESH_TOKEN = "'refreshtoken' is required."
_DEAD_REFRESH_TOKEN = "'refreshtoken' is invalid or expired."
"""Only the status 400 is known (the official client logs in again on it); the wording is ours."""
_DEAD_ID_TOKEN = "The incoming token is invalid or expired."


class JQuantsV1:
    """One account of J-Quants v1. Its base URL is the origin and `/v1`.

    No answer names a lifetime, and a refresh token is never rotated.
    """

    def __init__(
        self,
        mailaddress: str = "demo@example.com",
        password: str = "demo-password",
        *,
        id_token_life: timedelta = timedelta(hours=24),
        refresh_token_life: timedelta = timedelta(days=7),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._login = (mailaddress, password)
        self._id_token_life = id_token_life
        self._refresh_token_life = refresh_token_life
        self._now = now
        self._id_tokens: dict[str, datetime] = {}
        self._refresh_tokens: dict[str, datetime] = {}
        self._recording = Recording(jquants.error)
        self.calls = self._recording.calls
        self.requests = self._recording.requests
        self.faults = self._recording.faults

    def application(self) -> web.Application:
        return self._recording.application(
            [
                web.post("/v1/token/auth_user", self._auth_user),
                web.post("/v1/token/auth_refresh", self._auth_refresh),
                self._data("/v1/listed/info", _listed_info),
                self._data("/v1/prices/daily_quotes", _daily_quotes),
                self._data("/v1/prices/prices_am", jquants.morning_not_available),
                self._data("/v1/markets/trading_calendar", _trading_calendar),
                self._data("/v1/fins/announcement", _announcement),
            ]
        )

    def refresh_token(self) -> str:
        """A fresh refresh token, as a user copies it from the vendor's dashboard."""
        token = _jwe()
        self._refresh_tokens[token] = self._now() + self._refresh_token_life
        return token

    def revoke_id_tokens(self) -> None:
        """Make every ID token that was issued so far invalid."""
        self._id_tokens.clear()

    def revoke_refresh_tokens(self) -> None:
        """Make every refresh token that was issued so far invalid; ID tokens live on."""
        self._refresh_tokens.clear()

    async def _auth_user(self, request: web.Request) -> web.Response:
        # Whatever the Content-Type: the vendor's own Python sample sends none.
        if _login(await request.read()) != self._login:
            return jquants.refusal(400, _WRONG_LOGIN)
        return jquants.answer(request, {"refreshToken": self.refresh_token()})

    async def _auth_refresh(self, request: web.Request) -> web.Response:
        token = request.query.get("refreshtoken", "")
        if not token:
            return jquants.refusal(400, _NO_REFRESH_TOKEN)
        if not self._is_alive(self._refresh_tokens, token):
            return jquants.refusal(400, _DEAD_REFRESH_TOKEN)
        expires_at = self._now() + self._id_token_life
        id_token = _jwt(self._login[0], self._now(), expires_at)
        self._id_tokens[id_token] = expires_at
        return jquants.answer(request, {"idToken": id_token})

    def _data(self, path: str, endpoint: Endpoint) -> web.RouteDef:
        return web.get(path, self._authorized(endpoint), allow_head=False)

    def _authorized(self, endpoint: Endpoint) -> Handler:
        async def authorized(request: web.Request) -> web.Response:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme != "Bearer" or not self._is_alive(self._id_tokens, token):
                return jquants.refusal(401, _DEAD_ID_TOKEN)
            try:
                return endpoint(request)
            except BadParameter as reason:
                return jquants.refusal(400, str(reason))

        return authorized

    def _is_alive(self, tokens: dict[str, datetime], token: str) -> bool:
        return token in tokens and self._now() < tokens[token]


def _listed_info(request: web.Request) -> web.Response:
    day = jquants.reference_date(request)
    rows = [_info_row(listed, day) for listed in jquants.wanted_companies(request)]
    # All at once: the vendor's list of some 4,000 companies fits into one answer.
    return jquants.answer(request, {"info": rows})


def _daily_quotes(request: web.Request) -> web.Response:
    rows = [_quote_row(bar) for bar in jquants.wanted_bars(request)]
    if request.query.get("code"):
        return jquants.answer(request, {"daily_quotes": rows})
    return jquants.answer(request, jquants.page(request, "daily_quotes", rows))


def _trading_calendar(request: web.Request) -> web.Response:
    first, last = jquants.period(request)
    wanted = request.query.get("holidaydivision", "")
    rows = [
        {"Date": day.isoformat(), "HolidayDivision": "1" if is_trading_day(day) else "0"}
        for day in days()
        if first <= day <= last
    ]
    rows = [row for row in rows if wanted in ("", row["HolidayDivision"])]
    return jquants.answer(request, {"trading_calendar": rows})


def _announcement(request: web.Request) -> web.Response:
    rows = [
        {
            "Date": "2025-06-16",
            "Code": listed.code,
            "CompanyName": listed.name,
            "FiscalYear": "9月30日",
            "SectorName": listed.sector_33[1],
            "FiscalQuarter": "第２四半期",
            "Section": listed.market[1],
        }
        for listed in jquants.wanted_companies(request)
    ]
    return jquants.answer(request, jquants.page(request, "announcement", rows))


def _info_row(listed: Company, day: str) -> Row:
    return {
        "Date": day,
        "Code": listed.code,
        "CompanyName": listed.name,
        "CompanyNameEnglish": listed.name_english,
        "Sector17Code": listed.sector_17[0],
        "Sector17CodeName": listed.sector_17[1],
        "Sector33Code": listed.sector_33[0],
        "Sector33CodeName": listed.sector_33[1],
        "ScaleCategory": listed.scale,
        "MarketCode": listed.market[0],
        "MarketCodeName": listed.market[1],
    }


def _quote_row(bar: Bar) -> Row:
    return {
        "Date": bar.day.isoformat(),
        "Code": bar.company.code,
        "Open": bar.open,
        "High": bar.high,
        "Low": bar.low,
        "Close": bar.close,
        "UpperLimit": "1" if bar.hit_upper_limit else "0",
        "LowerLimit": "0",
        "Volume": bar.volume,
        "TurnoverValue": bar.turnover,
        "AdjustmentFactor": 1.0,
        "AdjustmentOpen": bar.open,
        "AdjustmentHigh": bar.high,
        "AdjustmentLow": bar.low,
        "AdjustmentClose": bar.close,
        "AdjustmentVolume": bar.volume,
    }


def _login(content: bytes) -> tuple[object, object] | None:
    try:
        login = json.loads(content)
    except ValueError:
        return None
    if not isinstance(login, dict):
        return None
    return login.get("mailaddress"), login.get("password")


def _jwt(mailaddress: str, issued_at: datetime, expires_at: datetime) -> str:
    claims = {
        "sub": mailaddress,
        "token_use": "id",
        "jti": secrets.token_hex(16),
        "iat": int(issued_at.timestamp()),
        "exp": int(expires_at.timestamp()),
    }
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    return f"{signed}.{_base64url(hmac.digest(_SIGNING_KEY, signed.encode(), hashlib.sha256))}"


def _jwe() -> str:
    """An opaque token with the outside of an RSA-OAEP, A256GCM one: five parts, 1.7 kB."""
    parts = [_base64url(secrets.token_bytes(length)) for length in (256, 12, 950, 16)]
    return ".".join([_part(_JWE_HEADER), *parts])


def _part(content: Row) -> str:
    return _base64url(json.dumps(content, separators=(",", ":")).encode())


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
