"""What the rules let through, and what never gets through."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_samples import keyed, tokened
from issuing import Issuer
from proxying import BEGINNING, sidekey
from raw_client import ask
from raw_upstream import answering

from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.kabu import Kabu
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

JSON = "Content-Type: application/json"


async def test_the_same_path_of_another_origin_is_no_token_endpoint(tmp_path: Path) -> None:
    async with (
        answering(Issuer()) as issuer,
        answering() as upstream,
        sidekey(tmp_path, tokened(upstream.origin, issuer.origin)) as proxy,
    ):
        assert (await ask(proxy, "GET /r/oauth/token")).status == 200


async def test_a_client_that_fetches_jquants_tokens_itself_gets_placeholders(
    tmp_path: Path,
) -> None:
    """Surprise 9: the old official client logs in by itself; its dummies are replaced."""
    jquants = JQuantsV1()
    async with serve(jquants.application()) as origin:
        text = (
            f"j:\n  preset: jquants-v1\n  base_url: {origin}/v1\n"
            "  provider: {mailaddress: demo@example.com, password: demo-password}"
        )
        async with sidekey(tmp_path, text) as proxy:
            login = await ask(proxy, "POST /j/token/auth_user", JSON, content=b'{"mailaddress":""}')
            assert login.json() == {"refreshToken": "sidekey-placeholder"}
            token = await ask(proxy, "POST /j/token/auth_refresh?refreshtoken=sidekey-placeholder")
            assert token.json() == {"idToken": "sidekey-placeholder"}
            assert not jquants.requests
            bearer = "Authorization: Bearer sidekey-placeholder"
            assert (await ask(proxy, "GET /j/listed/info?code=86970", bearer)).status == 200
            for spelling in (
                "/j/token/auth_refresh/",
                "/j/token/%61uth_user/",
                "/j/Token/auth_user",
            ):
                assert (await ask(proxy, f"POST {spelling}")).status == 403
    assert jquants.calls["/v1/token/auth_user"] == 1


async def test_kabu_station_and_misskey_stubs_answer_here(tmp_path: Path) -> None:
    """Surprise 9."""
    kabu, misskey = Kabu(), MisskeySandbox()
    async with serve(kabu.application()) as kabu_origin, serve(misskey.application()) as origin:
        text = (
            f"k:\n  preset: kabu-station\n  base_url: {kabu_origin}/kabusapi\n"
            "  provider: {api_password: demo-api-password}\n"
            f"m:\n  preset: misskey-token\n  base_url: {origin}\n  provider: {{token: t}}"
        )
        async with sidekey(tmp_path, text) as proxy:
            token = await ask(proxy, "POST /k/token", JSON, content=b'{"APIPassword":"dummy"}')
            assert token.json() == {"ResultCode": 0, "Token": "sidekey-placeholder"}
            check = await ask(proxy, "POST /m/api/miauth/some-session/check")
            assert (check.json()["ok"], check.json()["token"]) == (True, "sidekey-placeholder")
            for path in (
                "i/regenerate-token",
                "auth/session/userkey",
                "signin",
                "miauth/gen-token",
            ):
                assert (await ask(proxy, f"POST /m/api/{path}")).status == 403
    assert not kabu.requests
    assert not misskey.requests


async def test_the_portals_token_calls_are_closed_to_clients(tmp_path: Path) -> None:
    portal = Portal()
    async with serve(portal.application()) as origin:
        text = (
            f"p:\n  preset: fujitsu-portal-legacy\n  base_url: {origin}\n"
            "  provider: {client_id: demo-client, client_secret: demo-client-secret}"
        )
        async with sidekey(tmp_path, text) as proxy:
            for method in ("POST", "PATCH"):
                assert (await ask(proxy, f"{method} /p/auth/v1/tokens")).status == 403
    assert not portal.requests


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /r/v1/a", 200),
        ("GET /r/v1/a/b", 200),
        ("GET /r/v1/%61", 200),
        ("POST /r/v1/a", 403),
        ("GET /r/v2/a", 403),
        ("GET /r/v1/admin", 403),
        ("GET /r/v1/%61dmin", 403),
        ("GET /r/v1//admin", 403),
        ("GET /r//v1/admin", 403),
        ("GET /r/v1/admin/", 403),
        ("GET /r/v1/Admin", 403),
        ("GET /r/v1/admin;x", 403),
        ("GET /r/v1/%2561dmin", 403),
        ("POST /r/v1/write", 200),
    ],
)
async def test_allow_and_deny_rules_hold_for_decoded_paths(
    tmp_path: Path, line: str, status: int
) -> None:
    more = (
        'allow:\n- {methods: [GET], paths: ["/base/v1/**"]}\n'
        "- {methods: [POST], paths: [/base/v1/write]}\n"
        "deny: [{paths: [/base/v1/admin]}]"
    )
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, path="/base", more=more)) as proxy,
    ):
        assert (await ask(proxy, line)).status == status
    assert len(upstream.requests) == (status == 200)


async def test_a_local_answer_is_given_before_allow_and_deny(tmp_path: Path) -> None:
    more = (
        "local_answers: [{methods: [GET], paths: [/ping], status: 203, json: {名: [1, null]}}]\n"
        "deny: [{paths: [/ping]}]"
    )
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        answer = await ask(proxy, "GET /r/ping")
        assert (answer.status, answer.json()) == (203, {"名": [1, None]})
        assert (await ask(proxy, "POST /r/ping")).status == 403
    assert upstream.requests == []


async def test_a_local_answer_is_protected_and_readable_like_an_upstreams(tmp_path: Path) -> None:
    """A page that logs in would otherwise get the placeholder, and not be let see it."""
    origin = "http://localhost:5173"
    beginning = BEGINNING.replace("port: 0", f"port: 0, allowed_origins: ['{origin}']")
    more = "local_answers: [{paths: [/login], json: {}}]"
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more), beginning=beginning) as proxy,
    ):
        own = await ask(proxy, "POST /r/login", "Content-Length: 0")
        page = await ask(proxy, "POST /r/login", f"Origin: {origin}", "Content-Length: 0")
    for answer in (own, page):
        assert answer.field("X-Content-Type-Options") == ["nosniff"]
        assert answer.field("Cache-Control") == ["no-store"]
    assert own.field("Cross-Origin-Resource-Policy") == ["same-origin"]
    assert own.field("Access-Control-Allow-Origin") == []
    assert page.field("Cross-Origin-Resource-Policy") == ["cross-origin"]
    assert page.field("Access-Control-Allow-Origin") == [origin]


async def test_the_check_of_miauth_is_closed_without_the_preset_too(tmp_path: Path) -> None:
    """It hands out a token to whoever knows the session."""
    async with answering() as upstream:
        upstreams = f"m:\n  base_url: {upstream.origin}\n  provider: {{type: miauth}}"
        async with sidekey(tmp_path, upstreams) as proxy:
            answer = await ask(proxy, "POST /m/api/miauth/0123-abc/check")
    assert (answer.status, answer.field("Sidekey-Error")) == (403, ["not-allowed"])
    assert upstream.requests == []


async def test_the_token_endpoint_of_another_upstream_is_closed_too(tmp_path: Path) -> None:
    """Two upstreams may share an origin, and one of them may have no preset."""
    async with answering() as upstream:
        upstreams = (
            keyed(upstream.origin, name="plain") + "\n" + tokened(upstream.origin, upstream.origin)
        )
        async with sidekey(tmp_path, upstreams) as proxy:
            answer = await ask(proxy, "POST /plain/oauth/token")
    assert (answer.status, answer.field("Sidekey-Error")) == (403, ["not-allowed"])
    assert upstream.requests == []
