"""The vendors' own samples work against a route, with the credential left out or made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Home
from proxying import sidekey
from vendor_samples import (
    AUTH_REFRESH_CURL,
    AUTH_REFRESH_PYTHON,
    AUTH_USER_CURL,
    AUTH_USER_PYTHON,
    MISSKEY_BODY,
    PORTAL_KEY_HEADER,
    PORTAL_TOKEN_HEADER,
)

from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

JQUANTS = """
jquants:
  preset: jquants-v1
  base_url: {origin}/v1
  provider: {{mailaddress: demo@example.com, password: demo-password}}
"""
PORTAL = """
by-key: {{preset: fujitsu-portal-key, base_url: {origin}, provider: {{keys: demo-primary-key}}}}
by-token:
  preset: fujitsu-portal-oauth2
  base_url: {origin}
  provider: {{client_id: demo-client, client_secret: demo-client-secret}}
"""
JSON = "Content-Type: application/json"


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        (AUTH_USER_CURL, "refreshToken"),
        (AUTH_USER_PYTHON, "refreshToken"),
        (AUTH_REFRESH_CURL, "idToken"),
        (AUTH_REFRESH_PYTHON, "idToken"),
    ],
)
async def test_jquants_token_samples_get_a_placeholder_and_data_needs_none(
    home: Home, tmp_path: Path, sample: str, name: str
) -> None:
    """Surprise 9: a client may call the vendor's token endpoint through the proxy."""
    sandbox = JQuantsV1()
    async with (
        serve(sandbox.application()) as origin,
        sidekey(tmp_path, JQUANTS.format(origin=origin)) as proxy,
    ):
        code = sample.replace("https://api.jquants.com/v1", proxy.url("jquants"))
        if "import requests" in code:
            answer = await home.python(f"{code}\nprint(r_post.text)")
        else:
            answer = await home.shell(code.replace("<YOUR REFRESH_TOKEN>", "made-up"))
        assert json.loads(answer.out) == {name: "sidekey-placeholder"}
        assert sandbox.calls.total() == 0
        asked = await home.shell(f"curl -s {proxy.url('jquants', '/listed/info?code=86970')}")
    assert json.loads(asked.out)["info"][0]["Code"] == "86970"


async def test_portal_calls_work_without_their_header_and_with_a_made_up_one(
    home: Home, tmp_path: Path
) -> None:
    portal = Portal()
    async with (
        serve(portal.application()) as origin,
        sidekey(tmp_path, PORTAL.format(origin=origin)) as proxy,
    ):
        for upstream, header in (("by-key", PORTAL_KEY_HEADER), ("by-token", PORTAL_TOKEN_HEADER)):
            url = proxy.url(upstream, "/da/v3/async/jobs")
            for given in ("", f" -H '{header}'"):
                answer = await home.shell(f"curl -s -S -f {url}{given}")
                assert json.loads(answer.out) == {"job_status_list": []}
        url = proxy.url("by-token", "/da/v3/async/qubo/solve")
        solved = await home.shell(f"curl -s -S -f {url} -d '{{}}' -H '{JSON}'")
    assert "job_id" in json.loads(solved.out)
    assert portal.calls["/auth/v2/tokens"] == 1
    assert not any("ー" in str(request.headers) for request in portal.requests)


async def test_a_misskey_body_works_without_i_and_with_the_one_of_the_page(
    home: Home, tmp_path: Path
) -> None:
    sandbox = MisskeySandbox()
    token = sandbox.issue_token(["read:account"])
    without = json.dumps({"detail": False})
    async with serve(sandbox.application()) as origin:
        upstream = (
            f"m: {{preset: misskey-token, base_url: '{origin}', provider: {{token: {token}}}}}"
        )
        async with sidekey(tmp_path, upstream) as proxy:
            for path, body in (
                ("/api/meta", MISSKEY_BODY),
                ("/api/meta", without),
                ("/api/i", "{}"),
                ("/api/i", MISSKEY_BODY),
            ):
                url = proxy.url("m", path)
                answer = await home.shell(f"curl -s -S -f {url} -H '{JSON}' -d '{body}'")
                assert answer.code == 0, answer
            empty = await home.shell(f"curl -s -S -f -X POST {proxy.url('m', '/api/i')}")
    assert json.loads(answer.out)["username"] == json.loads(empty.out)["username"] == "bob"
    assert all(json.loads(request.body)["i"] == token for request in sandbox.requests)
