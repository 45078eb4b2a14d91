"""A small made-up stock market that the J-Quants and kabu Station sandboxes report on.

Codes, sectors and dates have the shape of real ones; names, prices and volumes are invented.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

FIRST_DAY = date(2025, 6, 2)
LAST_DAY = date(2025, 6, 15)
LAST_TRADING_DAY = date(2025, 6, 13)


@dataclass(frozen=True, slots=True)
class Company:
    """A listed company. `code` has five digits, as J-Quants answers; kabu Station uses four."""

    code: str
    name: str
    name_english: str
    sector_17: tuple[str, str]
    sector_33: tuple[str, str]
    scale: str
    market: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Bar:
    """One trading day of one company. Prices in yen, or None on a day without a trade."""

    company: Company
    day: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    turnover: float | None
    hit_upper_limit: bool = False


_PRIME = ("0111", "プライム")
_STANDARD = ("0112", "スタンダード")
_GROWTH = ("0113", "グロース")

COMPANIES = (
    Company(
        "13010",
        "見本水産",
        "Mihon Fisheries Co., Ltd.",
        ("1", "食品"),
        ("0050", "水産・農林業"),
        "TOPIX Small 2",
        _PRIME,
    ),
    Company(
        "27800",
        "見本商店",
        "Mihon Stores Co., Ltd.",
        ("14", "小売"),
        ("6100", "小売業"),
        "-",
        _STANDARD,
    ),
    Company(
        "39400",
        "見本ソフト",
        "Mihon Software, Inc.",
        ("10", "情報通信・サービスその他"),
        ("5250", "情報･通信業"),
        "-",
        _GROWTH,
    ),
    Company(
        "45020",
        "見本薬品",
        "Mihon Pharmaceutical Co., Ltd.",
        ("5", "医薬品"),
        ("3250", "医薬品"),
        "TOPIX Mid400",
        _PRIME,
    ),
    Company(
        "67580",
        "見本電機",
        "Mihon Electric Co., Ltd.",
        ("9", "電機・精密"),
        ("3650", "電気機器"),
        "TOPIX Large70",
        _PRIME,
    ),
    Company(
        "72030",
        "見本自動車",
        "Mihon Motor Corporation",
        ("6", "自動車・輸送機"),
        ("3700", "輸送用機器"),
        "TOPIX Core30",
        _PRIME,
    ),
    Company(
        "83060",
        "見本銀行",
        "Mihon Bank, Ltd.",
        ("15", "銀行"),
        ("7050", "銀行業"),
        "TOPIX Large70",
        _PRIME,
    ),
    Company(
        "86970",
        "見本取引所",
        "Mihon Exchange Group, Inc.",
        ("16", "金融（除く銀行）"),
        ("7200", "その他金融業"),
        "TOPIX Mid400",
        _PRIME,
    ),
)

NEVER_TRADED = "39400"
"""Code of the company that nobody traded: its prices are null on every day."""


def company(code: str) -> Company | None:
    """Find a company by its five digits, or by the four digits of its common stock."""
    full = code + "0" if len(code) == 4 else code
    return next((listed for listed in COMPANIES if listed.code == full), None)


def days() -> Iterator[date]:
    """Every day of the market's two weeks, holidays included."""
    for offset in range((LAST_DAY - FIRST_DAY).days + 1):
        yield FIRST_DAY + timedelta(days=offset)


def is_trading_day(day: date) -> bool:
    return FIRST_DAY <= day <= LAST_DAY and day.weekday() < 5


def bar(listed: Company, day: date) -> Bar:
    """The same made-up prices for the same company and day, always."""
    if listed.code == NEVER_TRADED:
        return Bar(listed, day, None, None, None, None, None, None)
    start = float(int(listed.code) // 20 + 7 * day.day)
    close = start + (day.day % 5 - 2) * 3.5
    volume = float(1000 * (int(listed.code) % 97 + day.day))
    return Bar(
        company=listed,
        day=day,
        open=start,
        high=max(start, close) + 4.0,
        low=min(start, close) - 4.5,
        close=close,
        volume=volume,
        turnover=volume * (start + close) / 2,
        hit_upper_limit=listed.code == "27800" and day == FIRST_DAY,
    )


def bars(listed: Company | None, first: date = FIRST_DAY, last: date = LAST_DAY) -> list[Bar]:
    """The trading days from `first` to `last` of one company, or of all of them, by code."""
    companies = COMPANIES if listed is None else (listed,)
    return [
        bar(one, day)
        for one in companies
        for day in days()
        if is_trading_day(day) and first <= day <= last
    ]
