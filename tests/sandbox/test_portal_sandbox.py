"""What the portal sandbox answers is what the vendor's guide and its clients lead one to expect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from clocks import Clock

from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

BASIC = ("demo-client", "demo-client-secret")
CLIENT = {"clientId": "demo-client", "clientSecret": "demo-client-secret"}
GRANT = {"grant_type": "client_credentials"}
PRIMARY = {"X-Api-Key": "demo-primary-key"}
SECONDARY = {"X-Api-Key": "demo-secondary-key"}
HEALTH = "/da/v1/healthcheck"
SOLVE = "/da/v3/async/qubo/solve"
JOBS = "/da/v3/async/jobs"


@pytest.fixture
def portal(clock: Clock) -> Portal:
    return Portal(now=clock)


@pytest.fixture
async def client(portal: Portal) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(portal.application()) as origin, httpx.AsyncClient(base_url=origin) as client:
        yield client


async def health(client: httpx.AsyncClient, access_token: str) -> int:
    answer = await client.get(HEALTH, headers={"X-Access-Token": access_token})
    return answer.status_code


async def log_in(client: httpx.AsyncClient) -> dict[str, str]:
    answer = await client.post("/auth/v1/tokens", json=CLIENT)
    assert answer.status_code == 200
    return dict(answer.json())


# Client credentials, /auth/v2/tokens


async def test_client_credentials_give_a_token_for_x_access_token(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/auth/v2/tokens", auth=BASIC, data=GRANT)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["expires_in"] == 3600
    assert "refresh_token" not in answer.json()
    assert await health(client, answer.json()["access_token"]) == 200


async def test_a_token_dies_after_an_hour(client: httpx.AsyncClient, clock: Clock) -> None:
    answer = await client.post("/auth/v2/tokens", auth=BASIC, data=GRANT)
    token = answer.json()["access_token"]
    clock.time += timedelta(hours=1) - timedelta(seconds=1)
    assert await health(client, token) == 200
    clock.time += timedelta(seconds=1)
    assert await health(client, token) == 401


async def test_a_wrong_client_is_401_with_a_challenge(client: httpx.AsyncClient) -> None:
    for auth in (("demo-client", "wrong"), ("wrong", "demo-client-secret"), ("", "")):
        answer = await client.post("/auth/v2/tokens", auth=auth, data=GRANT)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    without = await client.post("/auth/v2/tokens", data=GRANT)
    assert (without.status_code, without.json()["error"]) == (401, "invalid_client")


async def test_the_grant_must_be_a_form_with_the_right_grant_type(
    client: httpx.AsyncClient,
) -> None:
    async def error(content: bytes, content_type: str) -> tuple[int, str]:
        answer = await client.post(
            "/auth/v2/tokens", auth=BASIC, content=content, headers={"Content-Type": content_type}
        )
        return answer.status_code, answer.json()["error"]

    form = "application/x-www-form-urlencoded"
    assert await error(b"grant_type=client_credentials", "text/plain") == (400, "invalid_request")
    assert await error(b"scope=x", form) == (400, "invalid_request")
    assert await error(b"grant_type=password", form) == (400, "unsupported_grant_type")


async def test_some_token_endpoints_say_201_and_no_lifetime(clock: Clock) -> None:
    portal = Portal(token_status=201, tells_lifetime=False, now=clock)
    async with serve(portal.application()) as origin, httpx.AsyncClient(base_url=origin) as client:
        answer = await client.post("/auth/v2/tokens", auth=BASIC, data=GRANT)
    assert answer.status_code == 201
    assert set(answer.json()) == {"access_token", "token_type"}


# The older calls, /auth/v1/tokens


async def test_a_login_gives_two_tokens_and_no_lifetime(client: httpx.AsyncClient) -> None:
    tokens = await log_in(client)
    assert set(tokens) == {"accessToken", "refreshToken"}
    assert await health(client, tokens["accessToken"]) == 200


async def test_a_login_with_a_wrong_or_missing_secret_is_refused(
    client: httpx.AsyncClient,
) -> None:
    wrong = await client.post("/auth/v1/tokens", json={**CLIENT, "clientSecret": "wrong"})
    assert wrong.status_code == 401
    for content in (b'{"clientId": "demo-client"}', b"[]", b""):
        assert (await client.post("/auth/v1/tokens", content=content)).status_code == 400


async def test_a_refresh_gives_an_access_token_and_no_new_refresh_token(
    client: httpx.AsyncClient,
) -> None:
    tokens = await log_in(client)
    content = {"refreshToken": tokens["refreshToken"]}
    answer = await client.patch("/auth/v1/tokens", json=content)
    assert answer.status_code == 200
    assert set(answer.json()) == {"accessToken"}
    assert answer.json()["accessToken"] != tokens["accessToken"]
    assert await health(client, answer.json()["accessToken"]) == 200


async def test_a_refresh_works_only_before_the_access_token_expires(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    content = {"refreshToken": (await log_in(client))["refreshToken"]}
    clock.time += timedelta(minutes=59)
    assert (await client.patch("/auth/v1/tokens", json=content)).status_code == 200
    clock.time += timedelta(minutes=59)
    assert (await client.patch("/auth/v1/tokens", json=content)).status_code == 200
    clock.time += timedelta(minutes=60)
    assert (await client.patch("/auth/v1/tokens", json=content)).status_code == 401


async def test_a_refresh_token_dies_after_a_day_however_often_it_is_used(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    content = {"refreshToken": (await log_in(client))["refreshToken"]}
    statuses = []
    for _ in range(48):
        clock.time += timedelta(minutes=30)
        answer = await client.patch("/auth/v1/tokens", json=content)
        statuses.append(answer.status_code)
    assert statuses == [200] * 47 + [401]


async def test_an_unknown_refresh_token_is_401_and_a_missing_one_400(
    client: httpx.AsyncClient,
) -> None:
    unknown = await client.patch("/auth/v1/tokens", json={"refreshToken": "x"})
    assert unknown.status_code == 401
    assert (await client.patch("/auth/v1/tokens", json=CLIENT)).status_code == 400


async def test_a_rotating_portal_takes_each_refresh_token_once(clock: Clock) -> None:
    portal = Portal(rotates_refresh_token=True, now=clock)
    async with serve(portal.application()) as origin, httpx.AsyncClient(base_url=origin) as client:
        first = {"refreshToken": (await log_in(client))["refreshToken"]}
        answer = await client.patch("/auth/v1/tokens", json=first)
        second = {"refreshToken": answer.json()["refreshToken"]}
        assert (await client.patch("/auth/v1/tokens", json=first)).status_code == 401
        assert (await client.patch("/auth/v1/tokens", json=second)).status_code == 200


# Services, /da


async def test_both_api_keys_work_until_one_is_reissued(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    assert (await client.get(HEALTH, headers=PRIMARY)).status_code == 200
    assert (await client.get(HEALTH, headers=SECONDARY)).status_code == 200
    portal.revoke_key("primary")
    assert (await client.get(HEALTH, headers=PRIMARY)).status_code == 401
    assert (await client.get(HEALTH, headers=SECONDARY)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ([], "X-Api-Key"),
        ([("Authorization", "Bearer x")], "X-Access-Token"),
        ([("X-Access-Token", "")], "X-Access-Token"),
        ([("X-Access-Token", "Bearer x")], "X-Access-Token"),
        ([("X-Api-Key", "one"), ("x-api-key", "two")], "X-Api-Key"),
    ],
)
async def test_a_missing_or_malformed_header_is_400_and_named(
    client: httpx.AsyncClient, headers: list[tuple[str, str]], named: str
) -> None:
    answer = await client.get(HEALTH, headers=headers)
    assert answer.status_code == 400
    assert named in answer.json()["message"]


async def test_revoked_tokens_are_rejected(portal: Portal, client: httpx.AsyncClient) -> None:
    token = (await log_in(client))["accessToken"]
    portal.revoke_tokens()
    assert await health(client, token) == 401


async def test_the_portal_may_reject_with_403() -> None:
    portal = Portal(rejection_status=403)
    async with serve(portal.application()) as origin, httpx.AsyncClient(base_url=origin) as client:
        assert await health(client, "unknown") == 403


async def test_each_submission_is_one_more_job(portal: Portal, client: httpx.AsyncClient) -> None:
    problem = {"binary_polynomial": {"terms": [{"c": -3, "p": [1]}]}}
    answers = [await client.post(SOLVE, json=problem, headers=PRIMARY) for _ in range(2)]
    ids = [answer.json()["job_id"] for answer in answers]
    assert len(set(ids)) == portal.jobs_created == 2
    listed = (await client.get(JOBS, headers=PRIMARY)).json()["job_status_list"]
    assert [job["job_id"] for job in listed] == ids


async def test_a_rejected_or_failed_submission_creates_no_job(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    assert (await client.post(SOLVE, json={}, headers={"X-Api-Key": "x"})).status_code == 401
    assert (await client.post(SOLVE, content=b"[", headers=PRIMARY)).status_code == 400
    portal.faults.fail_next(1, 429, path_prefix=SOLVE)
    assert (await client.post(SOLVE, json={}, headers=PRIMARY)).status_code == 429
    assert portal.jobs_created == 0


async def test_a_result_echoes_the_headers_that_must_survive(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    job_id = (await client.post(SOLVE, json={}, headers=PRIMARY)).json()["job_id"]
    extra = {"Job_ID": job_id, "X-Blob-Sas-Token": "sv=2024&sig=a%2Bb%3D"}
    answer = await client.get(f"{JOBS}/result/{job_id}", headers={**PRIMARY, **extra})
    assert answer.json()["status"] == "Done"
    assert {name: answer.headers[name] for name in extra} == extra
    assert portal.requests[-1].header("Job_ID") == [job_id]


async def test_a_deleted_job_is_gone(client: httpx.AsyncClient) -> None:
    job_id = (await client.post(SOLVE, json={}, headers=PRIMARY)).json()["job_id"]
    path = f"{JOBS}/result/{job_id}"
    assert (await client.delete(path, headers=PRIMARY)).json()["status"] == "Deleted"
    assert (await client.get(path, headers=PRIMARY)).status_code == 404
    assert (await client.delete(path, headers=PRIMARY)).status_code == 404


async def test_an_unknown_path_is_404(client: httpx.AsyncClient) -> None:
    answer = await client.get("/da/v9/nothing", headers=PRIMARY)
    assert (answer.status_code, answer.json()) == (404, {"message": "Not found."})
