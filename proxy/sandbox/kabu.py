"""kabu Station: a program on the user's own machine that offers a brokerage API on localhost.

Sources: the vendor's OpenAPI document and list of error codes, and answers that users posted.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from aiohttp import web

from proxy.sandbox.market import LAST_TRADING_DAY, bar, company
from proxy.sandbox.recording import Recording

_MESSAGES = {
    4001001: "内部エラー",
    4001005: "パラメータ変換エラー",
    4001006: "API実行回数エラー",
    4001007: "ログイン認証エラー",
    4001009: "APIキー不一致",
    4001012: "リクエスト不正",
    4001013: "トークン取得失敗",
    4001014: "許可されていないHTTPメソッド",
    4001015: "ContentLength超過",
    4002001: "銘柄が見つからない",
}
_CODE_OF_STATUS = {404: 4001012, 405: 4001014, 413: 4001015, 429: 4001006}


class Kabu:
    """One running kabu Station. Its base URL is the origin and `/kabusapi`.

    It knows one token: a new one kills the older, and no answer names a lifetime. Set
    `result_code` to something else than 0, and `/token` fails with status 200 and that code, so
    that only the content tells.
    """

    def __init__(self, api_password: str = "demo-api-password") -> None:
        self._api_password = api_password
        self._token: str | None = None
        self._is_logged_in = True
        self._recording = Recording(_error)
        self.calls = self._recording.calls
        self.requests = self._recording.requests
        self.faults = self._recording.faults
        self.result_code = 0

    def application(self) -> web.Application:
        return self._recording.application(
            [
                web.post("/kabusapi/token", self._issue_token),
                web.get("/kabusapi/board/{symbol}", self._board, allow_head=False),
            ]
        )

    def log_out(self) -> None:
        """Log the user out, as the program itself does early every morning."""
        self._is_logged_in = False
        self._token = None

    def log_in(self) -> None:
        """Log the user in again; the token of before stays dead."""
        self._is_logged_in = True

    async def _issue_token(self, request: web.Request) -> web.Response:
        password = _api_password(await request.read())
        if password is None:
            return _refusal(400, 4001005)
        if not self._is_logged_in:
            return _refusal(401, 4001007)
        if password != self._api_password:
            return _refusal(401, 4001013)
        if self.result_code != 0:
            return web.json_response({"ResultCode": self.result_code, "Token": ""})
        self._token = secrets.token_hex(16)
        return web.json_response({"ResultCode": 0, "Token": self._token})

    async def _board(self, request: web.Request) -> web.Response:
        """Answer prices of `symbol@exchange`, such as `7203@1` (1: Tokyo)."""
        if self._token is None or request.headers.get("X-API-KEY") != self._token:
            return _refusal(401, 4001009)
        symbol, _, exchange = request.match_info["symbol"].partition("@")
        content = _prices(symbol, exchange or "1")
        return _refusal(400, 4002001) if content is None else web.json_response(content)


def _prices(symbol: str, exchange: str) -> dict[str, Any] | None:
    listed = company(symbol) if len(symbol) == 4 else None
    if listed is None or not exchange.isdigit():
        return None
    prices = bar(listed, LAST_TRADING_DAY)
    return {
        "Symbol": symbol,
        "SymbolName": listed.name,
        "Exchange": int(exchange),
        "ExchangeName": "東証プ",
        "CurrentPrice": prices.close,
        "CurrentPriceTime": f"{LAST_TRADING_DAY}T15:30:00+09:00",
        "OpeningPrice": prices.open,
        "HighPrice": prices.high,
        "LowPrice": prices.low,
        "TradingVolume": prices.volume,
    }


def _api_password(content: bytes) -> str | None:
    try:
        fields = json.loads(content)
    except ValueError:
        return None
    password = fields.get("APIPassword") if isinstance(fields, dict) else None
    return password if isinstance(password, str) else None


def _refusal(status: int, code: int) -> web.Response:
    return web.json_response({"Code": code, "Message": _MESSAGES[code]}, status=status)


def _error(status: int) -> web.Response:
    return _refusal(status, _CODE_OF_STATUS.get(status, 4001001))
