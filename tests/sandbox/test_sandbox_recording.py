"""What a sandbox writes down about its requests, and how it fails on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.serving import serve


@pytest.fixture
def v1() -> JQuantsV1:
    return JQuantsV1()


@pytest.fixture
async def client(v1: JQuantsV1) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(v1.application()) as origin, httpx.AsyncClient(base_url=origin) as client:
        yield client


async def test_a_fault_hits_the_next_requests_to_its_paths_only(
    v1: JQuantsV1, client: httpx.AsyncClient
) -> None:
    v1.faults.fail_next(2, 500, path_prefix="/v1/prices")
    assert (await client.get("/v1/listed/info")).status_code == 401
    answers = [await client.get("/v1/prices/daily_quotes") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [500, 500, 401]
    assert answers[0].json() == {"message": "Unexpected error. Please try again later."}


async def test_too_much_data_is_413_in_the_vendors_words(
    v1: JQuantsV1, client: httpx.AsyncClient
) -> None:
    v1.faults.fail_next(1, 413)
    answer = await client.get("/v1/listed/info")
    assert answer.status_code == 413
    assert answer.json()["message"].startswith("Response data is too large.")


async def test_a_delayed_answer_comes_after_the_client_gave_up(
    v1: JQuantsV1, client: httpx.AsyncClient
) -> None:
    v1.faults.delay = timedelta(minutes=5)
    with pytest.raises(httpx.ReadTimeout):
        await client.get("/v1/listed/info", timeout=0.1)
    assert v1.calls["/v1/listed/info"] == 1


async def test_requests_are_recorded_as_they_came_off_the_wire(
    v1: JQuantsV1, client: httpx.AsyncClient
) -> None:
    target = "/v1/listed/info?code=%37203&x=a%2Bb~"
    url = httpx.URL(client.base_url).copy_with(raw_path=target.encode())
    await client.post(
        url, content=b"\x00" * 70_000, headers=[("X-Twice", "one"), ("x-twice", "two")]
    )
    recorded = v1.requests[-1]
    assert (recorded.method, recorded.target) == ("POST", target)
    assert recorded.header("X-Twice") == ["one", "two"]
    assert recorded.content == b"\x00" * 65_536
    assert v1.calls["/v1/listed/info"] == 1
