"""The sandbox of J-Quants v2 answers what the vendor documents and the official client needs."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from clocks import Clock

from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.serving import serve

BAD_KEY = {"message": "The incoming api key is invalid or expired."}
WRONG_PATH = {
    "message": "Missing Authentication Token. The method or resources may not be supported."
}


@pytest.fixture
def v2() -> JQuantsV2:
    return JQuantsV2(keys=("first-key", "second-key"))


@pytest.fixture
async def client(v2: JQuantsV2) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-api-key": "first-key"}
    async with (
        serve(v2.application()) as origin,
        httpx.AsyncClient(base_url=origin, headers=headers) as client,
    ):
        yield client


async def all_pages(
    client: httpx.AsyncClient, path: str, query: dict[str, str]
) -> list[dict[str, Any]]:
    pages = [(await client.get(path, params=query)).json()]
    while "pagination_key" in pages[-1]:
        key = pages[-1]["pagination_key"]
        pages.append((await client.get(path, params={**query, "pagination_key": key})).json())
    return pages


async def test_morning_bars_that_are_not_there_are_210_with_a_message(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/v2/equities/bars/daily/am")
    assert (answer.status_code, list(answer.json())) == (210, ["message"])


@pytest.mark.parametrize("key", [None, "", "wrong"])
async def test_a_bad_key_is_403_and_not_401(client: httpx.AsyncClient, key: str | None) -> None:
    del client.headers["x-api-key"]
    headers = {} if key is None else {"x-api-key": key}
    answer = await client.get("/v2/equities/master", headers=headers)
    assert (answer.status_code, answer.json()) == (403, BAD_KEY)


async def test_a_deleted_key_is_403_while_the_other_key_works_on(
    v2: JQuantsV2, client: httpx.AsyncClient
) -> None:
    v2.revoke_key("first-key")
    assert (await client.get("/v2/equities/master")).status_code == 403
    headers = {"x-api-key": "second-key"}
    assert (await client.get("/v2/equities/master", headers=headers)).status_code == 200


async def test_an_unknown_path_is_403_also_with_a_good_key(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v2/no/such/path")
    assert (answer.status_code, answer.json()) == (403, WRONG_PATH)


async def test_every_list_of_version_2_comes_under_data(client: httpx.AsyncClient) -> None:
    for path, query in (
        ("/v2/equities/master", {}),
        ("/v2/equities/bars/daily", {"code": "7203"}),
        ("/v2/markets/calendar", {"hol_div": "1"}),
        ("/v2/fins/summary", {"code": "7203"}),
    ):
        answer = await client.get(path, params=query)
        assert answer.status_code == 200
        assert answer.json()["data"]


async def test_no_hit_is_an_empty_list_without_a_pagination_key(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/v2/equities/bars/daily", params={"code": "99999"})
    assert (answer.status_code, answer.json()) == (200, {"data": []})


async def test_daily_bars_come_in_pages(client: httpx.AsyncClient) -> None:
    pages = await all_pages(client, "/v2/equities/bars/daily", {"date": "20250602"})
    assert [len(page["data"]) for page in pages] == [3, 3, 2]


async def test_only_the_last_page_of_summaries_has_a_cursor(client: httpx.AsyncClient) -> None:
    pages = await all_pages(client, "/v2/fins/summary", {"date": "20250613"})
    assert ["cursor" in page for page in pages] == [False, False, True]


async def test_too_many_requests_are_429_without_retry_after_until_a_minute_is_over(
    clock: Clock,
) -> None:
    v2 = JQuantsV2(requests_per_minute=2, now=clock)
    headers = {"x-api-key": "demo-api-key"}
    async with (
        serve(v2.application()) as origin,
        httpx.AsyncClient(base_url=origin, headers=headers) as client,
    ):
        answers = [await client.get("/v2/markets/calendar") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert "message" in answers[2].json()
        assert "Retry-After" not in answers[2].headers
        clock.time += timedelta(minutes=1)
        assert (await client.get("/v2/markets/calendar")).status_code == 200


async def test_a_download_needs_its_signed_url_and_no_key(
    v2: JQuantsV2, client: httpx.AsyncClient
) -> None:
    query = {"endpoint": "/equities/bars/daily"}
    (listed,) = (await client.get("/v2/bulk/list", params=query)).json()["data"]
    answer = await client.get("/v2/bulk/get", params={"key": listed["Key"]})
    url = answer.json()["url"]
    assert url.startswith(str(client.base_url))
    assert "/v2" not in url
    async with httpx.AsyncClient() as plain:
        file = await plain.get(url)
        assert (await plain.get(url.partition("?")[0])).status_code == 403
    assert gzip.decompress(file.content).startswith(b"Date,Code,O,H,L,C,")
    assert len(file.content) == listed["Size"]
    assert not v2.key_reached_storage


async def test_a_key_that_leaks_to_the_storage_is_noticed(
    v2: JQuantsV2, client: httpx.AsyncClient
) -> None:
    await client.get("/storage/equities_bars_daily_202506.csv.gz")
    assert v2.key_reached_storage


# The official client

OFFICIAL_CLIENT = """
import sys, jquantsapi
one, two, refresh_token = sys.argv[1:]
class Client(jquantsapi.Client): JQUANTS_API_BASE = one + "/v1"
class ClientV2(jquantsapi.ClientV2): JQUANTS_API_BASE = two + "/v2"
by_login = Client(mail_address="demo@example.com", password="demo-password")
assert len(by_login.get_list()) == 8
by_token = Client(refresh_token=refresh_token)
assert len(by_token.get_listed_info(code="7203")) == 1
assert len(by_token.get_prices_daily_quotes(date_yyyymmdd="2025-06-02")) == 8
assert len(by_token.get_prices_daily_quotes(code="7203", from_yyyymmdd="20250609")) == 5
assert len(by_token.get_fins_announcement()) == 8
assert len(by_token.get_markets_trading_calendar()) == 14
assert isinstance(by_token.get_prices_prices_am(), str)
v2 = ClientV2("demo-api-key")
assert len(v2.get_list()) == 8
assert len(v2.get_eq_bars_daily(date_yyyymmdd="20250602")) == 8
assert len(v2.get_mkt_calendar()) == 14
assert len(v2.get_fin_summary(code="7203")) == 1
v2.download_bulk(v2.get_bulk_list("/equities/bars/daily").Key[0], "downloaded.csv.gz")
print("all right")
"""


@pytest.mark.skipif(
    importlib.util.find_spec("jquantsapi") is None, reason="needs the extra named clients"
)
async def test_the_official_client_works_against_both_versions(tmp_path: Path) -> None:
    v1, v2 = JQuantsV1(), JQuantsV2()
    async with serve(v1.application()) as one, serve(v2.application()) as two:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-c", OFFICIAL_CLIENT),
            *(one, two, v1.refresh_token()),
            cwd=tmp_path,
            env={"HOME": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await program.communicate()
    assert output == b"all right\n"
    assert not v2.key_reached_storage
