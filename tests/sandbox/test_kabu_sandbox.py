"""What the kabu Station sandbox answers is what the vendor's documents and users report."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from proxy.sandbox.kabu import Kabu
from proxy.sandbox.serving import serve

PASSWORD = {"APIPassword": "demo-api-password"}
KEY_MISMATCH = {"Code": 4001009, "Message": "APIキー不一致"}
BOARD = "/kabusapi/board/7203@1"


@pytest.fixture
def kabu() -> Kabu:
    return Kabu()


@pytest.fixture
async def client(kabu: Kabu) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(kabu.application()) as origin, httpx.AsyncClient(base_url=origin) as client:
        yield client


async def token(client: httpx.AsyncClient) -> str:
    answer = await client.post("/kabusapi/token", json=PASSWORD)
    assert answer.status_code == 200
    return str(answer.json()["Token"])


async def board(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await client.get(BOARD, headers={"X-API-KEY": key})


async def test_a_token_comes_with_result_code_0_and_no_lifetime(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/kabusapi/token", json=PASSWORD)
    assert set(answer.json()) == {"ResultCode", "Token"}
    assert answer.json()["ResultCode"] == 0
    prices = await board(client, answer.json()["Token"])
    assert prices.status_code == 200
    assert (prices.json()["Symbol"], prices.json()["Exchange"]) == ("7203", 1)


async def test_a_new_token_kills_the_older_one(client: httpx.AsyncClient) -> None:
    older = await token(client)
    newer = await token(client)
    rejected = await board(client, older)
    assert (rejected.status_code, rejected.json()) == (401, KEY_MISMATCH)
    assert (await board(client, newer)).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"X-API-KEY": ""}, {"Authorization": "Bearer x"}])
async def test_a_missing_key_is_401_before_any_token_was_issued(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.get(BOARD, headers=headers)
    assert (answer.status_code, answer.json()) == (401, KEY_MISMATCH)


async def test_a_wrong_password_leaves_the_present_token_alive(
    client: httpx.AsyncClient,
) -> None:
    present = await token(client)
    answer = await client.post("/kabusapi/token", json={"APIPassword": "wrong"})
    assert answer.status_code == 401
    assert answer.json() == {"Code": 4001013, "Message": "トークン取得失敗"}
    assert (await board(client, present)).status_code == 200


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"APIPassword": 1}'])
async def test_a_login_without_a_password_is_400(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/kabusapi/token", content=content)
    assert (answer.status_code, answer.json()["Code"]) == (400, 4001005)


async def test_a_failed_login_can_hide_behind_status_200(
    kabu: Kabu, client: httpx.AsyncClient
) -> None:
    kabu.result_code = 4001001
    answer = await client.post("/kabusapi/token", json=PASSWORD)
    assert answer.status_code == 200
    assert answer.json()["ResultCode"] == 4001001
    assert (await board(client, answer.json()["Token"])).status_code == 401


async def test_the_morning_logout_kills_the_token_and_refuses_new_ones(
    kabu: Kabu, client: httpx.AsyncClient
) -> None:
    before = await token(client)
    kabu.log_out()
    assert (await board(client, before)).json() == KEY_MISMATCH
    refused = await client.post("/kabusapi/token", json=PASSWORD)
    assert refused.status_code == 401
    assert refused.json() == {"Code": 4001007, "Message": "ログイン認証エラー"}
    kabu.log_in()
    assert (await board(client, before)).status_code == 401
    assert (await board(client, await token(client))).status_code == 200


@pytest.mark.parametrize("symbol", ["9999@1", "72030@1", "7203@tokyo"])
async def test_an_unknown_symbol_is_400(client: httpx.AsyncClient, symbol: str) -> None:
    headers = {"X-API-KEY": await token(client)}
    answer = await client.get(f"/kabusapi/board/{symbol}", headers=headers)
    assert answer.status_code == 400
    assert answer.json() == {"Code": 4002001, "Message": "銘柄が見つからない"}


async def test_errors_of_the_server_itself_keep_the_shape(
    kabu: Kabu, client: httpx.AsyncClient
) -> None:
    kabu.faults.fail_next(1, 429)
    assert (await client.get(BOARD)).json()["Code"] == 4001006
    unknown = await client.get("/kabusapi/nothing")
    assert (unknown.status_code, unknown.json()["Code"]) == (404, 4001012)
    wrong_method = await client.get("/kabusapi/token")
    assert (wrong_method.status_code, wrong_method.json()["Code"]) == (405, 4001014)
    assert kabu.calls == {BOARD: 1, "/kabusapi/nothing": 1, "/kabusapi/token": 1}
