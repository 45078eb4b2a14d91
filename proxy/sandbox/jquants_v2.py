"""The J-Quants API, version 2: a static key in `x-api-key`, rate limits, bulk downloads.

Sources: the vendor's v2 reference and what the official Python client (jquants-api-client 2.0.0)
asks for and expects.
"""

from __future__ import annotations

import csv
import gzip
import io
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.sandbox import jquants
from proxy.sandbox.jquants import BadParameter, Row
from proxy.sandbox.market import Bar, Company, bars, days, is_trading_day
from proxy.sandbox.recording import Recording

Endpoint = Callable[[web.Request], web.Response]

_BAD_KEY = "The incoming api key is invalid or expired."
_RATE_WINDOW = timedelta(minutes=1)
_BULK_FILES = ("equities_bars_daily_202506.csv.gz",)

_SUMMARY_FIELDS = """
DiscDate DiscTime Code DiscNo DocType CurPerType CurPerSt CurPerEn CurFYSt CurFYEn NxtFYSt NxtFYEn
Sales OP OdP NP EPS DEPS TA Eq EqAR BPS CFO CFI CFF CashEq
Div1Q Div2Q Div3Q DivFY DivAnn DivUnit DivTotalAnn PayoutRatioAnn
FDiv1Q FDiv2Q FDiv3Q FDivFY FDivAnn FDivUnit FDivTotalAnn FPayoutRatioAnn
NxFDiv1Q NxFDiv2Q NxFDiv3Q NxFDivFY NxFDivAnn NxFDivUnit NxFPayoutRatioAnn
FSales2Q FOP2Q FOdP2Q FNP2Q FEPS2Q NxFSales2Q NxFOP2Q NxFOdP2Q NxFNp2Q NxFEPS2Q
FSales FOP FOdP FNP FEPS NxFSales NxFOP NxFOdP NxFNp NxFEPS
MatChgSub SigChgInC ChgByASRev ChgNoASRev ChgAcEst RetroRst ShOutFY TrShFY AvgSh
NCSales NCOP NCOdP NCNP NCEPS NCTA NCEq NCEqAR NCBPS
FNCSales2Q FNCOP2Q FNCOdP2Q FNCNP2Q FNCEPS2Q
NxFNCSales2Q NxFNCOP2Q NxFNCOdP2Q NxFNCNP2Q NxFNCEPS2Q
FNCSales FNCOP FNCOdP FNCNP FNCEPS NxFNCSales NxFNCOP NxFNCOdP NxFNCNP NxFNCEPS
"""
"""Every field of a row of /fins/summary; those without a value are empty strings."""


class JQuantsV2:
    """One account of J-Quants v2. Its base URL is the origin and `/v2`.

    A bad key is 403, like an unknown path; there is no 401. Above `requests_per_minute` (None: no
    limit) the answer is 429, without `Retry-After`.
    """

    def __init__(
        self,
        keys: Iterable[str] = ("demo-api-key",),
        *,
        requests_per_minute: int | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = set(keys)
        self._requests_per_minute = requests_per_minute
        self._now = now
        self._recent: deque[datetime] = deque()
        self._signatures: set[str] = set()
        self._recording = Recording(jquants.error)
        self.calls = self._recording.calls
        self.requests = self._recording.requests
        self.faults = self._recording.faults
        self.key_reached_storage = False
        """Whether a download, which carries its own signature, was sent with an `x-api-key`."""

    def application(self) -> web.Application:
        return self._recording.application(
            [
                self._data("/v2/equities/master", _master),
                self._data("/v2/equities/bars/daily", _bars_daily),
                self._data("/v2/equities/bars/daily/am", jquants.morning_not_available),
                self._data("/v2/markets/calendar", _calendar),
                self._data("/v2/fins/summary", _summary),
                self._data("/v2/bulk/list", _bulk_list),
                self._data("/v2/bulk/get", self._bulk_get),
                web.get("/storage/{name}", self._download, allow_head=False),
            ]
        )

    def revoke_key(self, key: str) -> None:
        """Delete a key, as a user does in the vendor's dashboard."""
        self._keys.discard(key)

    def _data(self, path: str, endpoint: Endpoint) -> web.RouteDef:
        return web.get(path, self._authorized(endpoint), allow_head=False)

    def _authorized(self, endpoint: Endpoint) -> Handler:
        async def authorized(request: web.Request) -> web.Response:
            if request.headers.get("x-api-key") not in self._keys:
                return jquants.refusal(403, _BAD_KEY)
            if self._is_over_limit():
                return jquants.error(429)
            try:
                return endpoint(request)
            except BadParameter as reason:
                return jquants.refusal(400, str(reason))

        return authorized

    def _is_over_limit(self) -> bool:
        if self._requests_per_minute is None:
            return False
        while self._recent and self._recent[0] <= self._now() - _RATE_WINDOW:
            self._recent.popleft()
        if len(self._recent) >= self._requests_per_minute:
            return True
        self._recent.append(self._now())
        return False

    def _bulk_get(self, request: web.Request) -> web.Response:
        name = request.query.get("key", "")
        if name not in _BULK_FILES:
            raise BadParameter("'key' is invalid.")
        signature = secrets.token_hex(32)
        self._signatures.add(signature)
        url = request.url.origin() / "storage" / name % {"X-Amz-Signature": signature}
        return jquants.answer(request, {"url": str(url)})

    async def _download(self, request: web.Request) -> web.Response:
        """The object storage that bulk downloads point to, on a host of its own in real life."""
        self.key_reached_storage |= "x-api-key" in request.headers
        if request.query.get("X-Amz-Signature") not in self._signatures:
            return web.Response(status=403, body=b"", content_type="application/xml")
        return web.Response(body=_csv_gz(), content_type="binary/octet-stream")


def _master(request: web.Request) -> web.Response:
    day = jquants.reference_date(request)
    rows = [_master_row(listed, day) for listed in jquants.wanted_companies(request)]
    return jquants.answer(request, {"data": rows})


def _bars_daily(request: web.Request) -> web.Response:
    rows = [_bar_row(bar) for bar in jquants.wanted_bars(request)]
    return jquants.answer(request, jquants.page(request, "data", rows))


def _calendar(request: web.Request) -> web.Response:
    first, last = jquants.period(request)
    wanted = request.query.get("hol_div", "")
    rows = [
        {"Date": day.isoformat(), "HolDiv": "1" if is_trading_day(day) else "0"}
        for day in days()
        if first <= day <= last
    ]
    return jquants.answer(request, {"data": [row for row in rows if wanted in ("", row["HolDiv"])]})


def _summary(request: web.Request) -> web.Response:
    """Answer one disclosure per company, with a `cursor` on the last page."""
    if not request.query.get("code") and not request.query.get("date"):
        raise BadParameter("This API requires at least 1 parameter as follows; date, code")
    day = jquants.reference_date(request)
    rows = [_summary_row(listed, day) for listed in jquants.wanted_companies(request)]
    content = jquants.page(request, "data", rows)
    if "pagination_key" not in content:
        content["cursor"] = f"{day}.{len(rows)}."
    return jquants.answer(request, content)


def _bulk_list(request: web.Request) -> web.Response:
    if request.query.get("endpoint") != "/equities/bars/daily":
        return jquants.answer(request, {"data": []})
    modified = "2025-06-14T00:00:00Z"
    size = len(_csv_gz())
    rows = [{"Key": name, "Size": size, "LastModified": modified} for name in _BULK_FILES]
    return jquants.answer(request, {"data": rows})


def _master_row(listed: Company, day: str) -> Row:
    return {
        "Date": day,
        "Code": listed.code,
        "CoName": listed.name,
        "CoNameEn": listed.name_english,
        "S17": listed.sector_17[0],
        "S17Nm": listed.sector_17[1],
        "S33": listed.sector_33[0],
        "S33Nm": listed.sector_33[1],
        "ScaleCat": listed.scale,
        "Mkt": listed.market[0],
        "MktNm": listed.market[1],
        "Mrgn": "2",
        "MrgnNm": "貸借",
        "ProdCat": "011",
    }


def _bar_row(bar: Bar) -> Row:
    return {
        "Date": bar.day.isoformat(),
        "Code": bar.company.code,
        "O": bar.open,
        "H": bar.high,
        "L": bar.low,
        "C": bar.close,
        "UL": "1" if bar.hit_upper_limit else "0",
        "LL": "0",
        "Vo": bar.volume,
        "Va": bar.turnover,
        "AdjFactor": 1.0,
        "AdjO": bar.open,
        "AdjH": bar.high,
        "AdjL": bar.low,
        "AdjC": bar.close,
        "AdjVo": bar.volume,
    }


def _summary_row(listed: Company, day: str) -> Row:
    sales = int(listed.code) * 1_000_000
    known = {
        "DiscDate": day,
        "DiscTime": "15:30:00",
        "Code": listed.code,
        "DiscNo": f"20250613{listed.code}",
        "DocType": "FYFinancialStatements_Consolidated_JP",
        "CurPerType": "FY",
        "CurPerSt": "2024-04-01",
        "CurPerEn": "2025-03-31",
        "CurFYSt": "2024-04-01",
        "CurFYEn": "2025-03-31",
        "NxtFYSt": "2025-04-01",
        "NxtFYEn": "2026-03-31",
        "Sales": str(sales),
        "OP": str(sales // 10),
        "NP": str(sales // 15),
    }
    return {name: known.get(name, "") for name in _SUMMARY_FIELDS.split()}


def _csv_gz() -> bytes:
    rows = [_bar_row(bar) for bar in bars(None)]
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)
