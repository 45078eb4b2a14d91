"""The sandbox of J-Quants v1 answers what the vendor documents."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from clocks import Clock

from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.serving import serve

LOGIN = {"mailaddress": "demo@example.com", "password": "demo-password"}
DEAD_ID_TOKEN = {"message": "The incoming token is invalid or expired."}
WRONG_PATH = {
    "message": "Missing Authentication Token. The method or resources may not be supported."
}


@pytest.fixture
def v1(clock: Clock) -> JQuantsV1:
    return JQuantsV1(now=clock)


@pytest.fixture
async def client(v1: JQuantsV1) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(v1.application()) as origin, httpx.AsyncClient(base_url=origin) as client:
        yield client


async def id_token(client: httpx.AsyncClient, refresh_token: str) -> str:
    answer = await client.post("/v1/token/auth_refresh", params={"refreshtoken": refresh_token})
    assert answer.status_code == 200
    return str(answer.json()["idToken"])


async def log_in(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/token/auth_user", json=LOGIN)
    token = await id_token(client, answer.json()["refreshToken"])
    client.headers["Authorization"] = f"Bearer {token}"


async def all_pages(
    client: httpx.AsyncClient, path: str, query: dict[str, str]
) -> list[dict[str, Any]]:
    pages = [(await client.get(path, params=query)).json()]
    while "pagination_key" in pages[-1]:
        key = pages[-1]["pagination_key"]
        pages.append((await client.get(path, params={**query, "pagination_key": key})).json())
    return pages


# Tokens


async def test_a_login_without_content_type_is_accepted(
    v1: JQuantsV1, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/v1/token/auth_user", content=json.dumps(LOGIN))
    assert answer.status_code == 200
    assert v1.requests[-1].header("Content-Type") == []


async def test_token_answers_name_no_lifetime_and_nothing_but_the_token(
    client: httpx.AsyncClient,
) -> None:
    login = await client.post("/v1/token/auth_user", json=LOGIN)
    assert list(login.json()) == ["refreshToken"]
    refresh = await client.post(
        "/v1/token/auth_refresh", params={"refreshtoken": login.json()["refreshToken"]}
    )
    assert list(refresh.json()) == ["idToken"]


async def test_a_refresh_token_looks_like_a_long_jwe_and_needs_no_escaping(v1: JQuantsV1) -> None:
    token = v1.refresh_token()
    assert token.startswith("eyJjdHkiOiJKV1Qi")
    assert len(token.split(".")) == 5
    assert 1600 < len(token) < 1800
    assert str(httpx.QueryParams({"t": token})) == f"t={token}"


async def test_an_id_token_is_a_jwt_that_expires_after_24_hours(
    v1: JQuantsV1, client: httpx.AsyncClient, clock: Clock
) -> None:
    token = await id_token(client, v1.refresh_token())
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["exp"] == (clock.time + timedelta(hours=24)).timestamp()


@pytest.mark.parametrize(
    "content",
    [
        b'{"mailaddress": "demo@example.com", "password": "wrong"}',
        b'{"mailaddress": "demo@example.com"}',
        b"[1]",
        b"no JSON",
        b"",
    ],
)
async def test_a_wrong_login_is_400_and_not_401(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/v1/token/auth_user", content=content)
    assert answer.status_code == 400
    assert answer.json() == {"message": "'mailaddress' or 'password' is incorrect."}


async def test_a_missing_refresh_token_is_400(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/token/auth_refresh")
    assert answer.status_code == 400
    assert answer.json() == {"message": "'refreshtoken' is required."}


async def test_the_refresh_token_is_read_from_the_query_and_not_from_the_content(
    v1: JQuantsV1, client: httpx.AsyncClient
) -> None:
    token = {"refreshtoken": v1.refresh_token()}
    assert (await client.post("/v1/token/auth_refresh", json=token)).status_code == 400
    assert (await client.post("/v1/token/auth_refresh", data=token)).status_code == 400


async def test_a_refresh_token_dies_after_a_week_with_400_and_not_401(
    v1: JQuantsV1, client: httpx.AsyncClient, clock: Clock
) -> None:
    query = {"refreshtoken": v1.refresh_token()}
    clock.time += timedelta(days=7) - timedelta(seconds=1)
    assert (await client.post("/v1/token/auth_refresh", params=query)).status_code == 200
    clock.time += timedelta(seconds=1)
    assert (await client.post("/v1/token/auth_refresh", params=query)).status_code == 400


async def test_a_new_id_token_leaves_the_older_one_alive(
    v1: JQuantsV1, client: httpx.AsyncClient
) -> None:
    pasted = v1.refresh_token()
    older, newer = await id_token(client, pasted), await id_token(client, pasted)
    assert older != newer
    headers = {"Authorization": f"Bearer {older}"}
    assert (await client.get("/v1/listed/info", headers=headers)).status_code == 200


async def test_an_id_token_dies_after_24_hours_with_401(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await log_in(client)
    clock.time += timedelta(hours=24) - timedelta(seconds=1)
    assert (await client.get("/v1/listed/info")).status_code == 200
    clock.time += timedelta(seconds=1)
    answer = await client.get("/v1/listed/info")
    assert (answer.status_code, answer.json()) == (401, DEAD_ID_TOKEN)


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}])
async def test_data_without_a_live_id_token_is_401(
    client: httpx.AsyncClient, sent: dict[str, str]
) -> None:
    answer = await client.get("/v1/listed/info", headers=sent)
    assert (answer.status_code, answer.json()) == (401, DEAD_ID_TOKEN)


async def test_revoked_id_tokens_can_be_replaced_with_the_same_refresh_token(
    v1: JQuantsV1, client: httpx.AsyncClient
) -> None:
    pasted = v1.refresh_token()
    headers = {"Authorization": f"Bearer {await id_token(client, pasted)}"}
    v1.revoke_id_tokens()
    assert (await client.get("/v1/listed/info", headers=headers)).status_code == 401
    headers = {"Authorization": f"Bearer {await id_token(client, pasted)}"}
    assert (await client.get("/v1/listed/info", headers=headers)).status_code == 200


async def test_revoked_refresh_tokens_leave_id_tokens_alive(
    v1: JQuantsV1, client: httpx.AsyncClient
) -> None:
    await log_in(client)
    pasted = v1.refresh_token()
    v1.revoke_refresh_tokens()
    query = {"refreshtoken": pasted}
    assert (await client.post("/v1/token/auth_refresh", params=query)).status_code == 400
    assert (await client.get("/v1/listed/info")).status_code == 200


# Data


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/no/such/path"),
        ("POST", "/v1/listed/info"),
        ("HEAD", "/v1/listed/info"),
        ("GET", "/v1/token/auth_user"),
    ],
)
async def test_an_unknown_path_and_a_wrong_method_are_403(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    await log_in(client)
    answer = await client.request(method, path)
    assert answer.status_code == 403
    assert method == "HEAD" or answer.json() == WRONG_PATH


@pytest.mark.parametrize("code", ["7203", "72030"])
async def test_a_code_has_four_or_five_digits(client: httpx.AsyncClient, code: str) -> None:
    await log_in(client)
    answer = await client.get("/v1/listed/info", params={"code": code})
    (row,) = answer.json()["info"]
    assert row["Code"] == "72030"
    assert row["Sector33CodeName"] == "輸送用機器"


async def test_quotes_without_code_and_date_are_400(client: httpx.AsyncClient) -> None:
    await log_in(client)
    answer = await client.get("/v1/prices/daily_quotes", params={"code": ""})
    assert answer.status_code == 400
    assert answer.json() == {
        "message": "This API requires at least 1 parameter as follows; date, code"
    }


async def test_limits_are_strings_and_prices_are_floats_or_null(
    client: httpx.AsyncClient,
) -> None:
    await log_in(client)
    path = "/v1/prices/daily_quotes"
    (traded,) = (await client.get(path, params={"code": "2780", "date": "20250602"})).json()[
        "daily_quotes"
    ]
    assert (traded["UpperLimit"], traded["LowerLimit"]) == ("1", "0")
    assert isinstance(traded["Close"], float)
    (idle,) = (await client.get(path, params={"code": "3940", "date": "2025-06-02"})).json()[
        "daily_quotes"
    ]
    assert idle["Close"] is None


async def test_all_quotes_of_a_day_come_in_three_pages_with_a_new_key_each(
    client: httpx.AsyncClient,
) -> None:
    await log_in(client)
    pages = await all_pages(client, "/v1/prices/daily_quotes", {"date": "20250602"})
    assert len(pages) == 3
    codes = [row["Code"] for page in pages for row in page["daily_quotes"]]
    assert codes == sorted(set(codes))
    assert len(codes) == 8
    assert pages[0]["pagination_key"] != pages[1]["pagination_key"]


async def test_a_page_of_another_query_is_400(client: httpx.AsyncClient) -> None:
    await log_in(client)
    path = "/v1/prices/daily_quotes"
    first = (await client.get(path, params={"date": "20250602"})).json()
    key = first["pagination_key"]
    for query in (
        {"date": "20250603", "pagination_key": key},
        {"date": "20250602", "pagination_key": "x"},
    ):
        assert (await client.get(path, params=query)).status_code == 400


async def test_a_period_of_one_code_is_cut_to_its_trading_days(
    client: httpx.AsyncClient,
) -> None:
    await log_in(client)
    query = {"code": "7203", "from": "20250606", "to": "20250609"}
    rows = (await client.get("/v1/prices/daily_quotes", params=query)).json()["daily_quotes"]
    assert [row["Date"] for row in rows] == ["2025-06-06", "2025-06-09"]


async def test_a_malformed_date_is_400(client: httpx.AsyncClient) -> None:
    await log_in(client)
    query = {"date": "yesterday"}
    assert (await client.get("/v1/prices/daily_quotes", params=query)).status_code == 400


async def test_the_calendar_can_be_filtered_by_kind_of_day(client: httpx.AsyncClient) -> None:
    await log_in(client)
    query = {"holidaydivision": "0", "from": "20250602", "to": "20250608"}
    answer = await client.get("/v1/markets/trading_calendar", params=query)
    assert answer.json()["trading_calendar"] == [
        {"Date": "2025-06-07", "HolidayDivision": "0"},
        {"Date": "2025-06-08", "HolidayDivision": "0"},
    ]


async def test_morning_prices_that_are_not_there_are_210_with_a_message(
    client: httpx.AsyncClient,
) -> None:
    await log_in(client)
    answer = await client.get("/v1/prices/prices_am")
    assert (answer.status_code, list(answer.json())) == (210, ["message"])


@pytest.mark.parametrize(("accepted", "sent"), [("gzip, deflate", "gzip"), ("identity", None)])
async def test_answers_are_gzip_only_for_a_client_that_accepts_it(
    client: httpx.AsyncClient, accepted: str, sent: str | None
) -> None:
    await log_in(client)
    answer = await client.get("/v1/listed/info", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == sent
    assert len(answer.json()["info"]) == 8
