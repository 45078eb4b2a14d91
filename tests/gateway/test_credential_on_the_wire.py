"""The credential goes in last, in place of whatever the client sent there."""

from __future__ import annotations

from pathlib import Path

from gateway_samples import BEARER, HOP, KEY, keyed
from proxying import sidekey
from raw_client import ask
from raw_upstream import answering

API_KEY = 'inject: {in: header, name: X-Api-Key, format: "{token}"}'


async def test_an_authorization_is_dropped_where_the_credential_goes_elsewhere(
    tmp_path: Path,
) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=API_KEY)) as proxy,
    ):
        await ask(proxy, "GET /r/a", "Authorization: Bearer dummy")
    assert upstream.last.fields[1:] == [HOP, ("X-Api-Key", KEY)]


async def test_two_fields_can_be_set_at_once(tmp_path: Path) -> None:
    """Surprise 5: Twitch wants Client-Id and Authorization, Anthropic a version."""
    more = (
        'inject:\n- {in: header, name: X-Api-Key, format: "{token}"}\n'
        "- {in: header, name: Client-Id, format: my-client}"
    )
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        await ask(proxy, "GET /r/a", "Client-Id: dummy", "X-API-KEY: dummy")
    assert upstream.last.fields[1:] == [HOP, ("X-Api-Key", KEY), ("Client-Id", "my-client")]


async def test_a_raw_value_without_a_scheme_can_be_set(tmp_path: Path) -> None:
    """Surprise 5: SwitchBot wants the bare token in Authorization."""
    more = 'inject: {in: header, name: Authorization, format: "{token}"}'
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
    assert upstream.last.field("Authorization") == [KEY]


async def test_a_cookie_rule_sends_one_cookie_field(tmp_path: Path) -> None:
    more = "inject: {in: cookie, name: session}"
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        await ask(proxy, "GET /r/a", "Cookie: session=dummy; other=1", "Cookie: session=dummy")
    assert upstream.last.field("Cookie") == [f"session={KEY}"]


async def test_a_path_rule_puts_the_key_before_the_clients_path(tmp_path: Path) -> None:
    """Telegram: `/bot123:abc/getMe`."""
    more = 'inject: {in: path, format: "bot{token}"}'
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, path="/v1", more=more)) as proxy,
    ):
        await ask(proxy, "GET /r/getMe?a=1")
    assert upstream.last.target == f"/v1/bot{KEY}/getMe?a=1"


async def test_a_rule_of_other_paths_leaves_the_request_without_a_credential(
    tmp_path: Path,
) -> None:
    more = 'inject: {in: header, name: Authorization, format: "Bearer {token}", paths: [/api/**]}'
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        await ask(proxy, "GET /r/public", "Authorization: Bearer dummy")
        await ask(proxy, "GET /r/api/x")
    assert [r.field("Authorization") for r in upstream.requests] == [[], [BEARER]]


async def test_pass_lets_the_clients_own_credential_through_and_adds_ours_otherwise(
    tmp_path: Path,
) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more="client_credential: pass")) as proxy,
    ):
        await ask(proxy, "GET /r/a", "Authorization: Bearer of-the-client", "Cookie: a=1")
        await ask(proxy, "GET /r/a")
    assert [r.field("Authorization") for r in upstream.requests] == [
        ["Bearer of-the-client"],
        [BEARER],
    ]
    assert not any(r.field("Cookie") for r in upstream.requests)  # that is another key's to say


async def test_a_rejected_credential_of_the_client_says_nothing_about_ours(tmp_path: Path) -> None:
    refusal = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
    async with (
        answering(refusal) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more="client_credential: pass")) as proxy,
    ):
        answer = await ask(proxy, "GET /r/a", "Authorization: Bearer of-the-client")
    assert (answer.status, answer.field("Sidekey-Error")) == (401, [])
    assert len(upstream.requests) == 1


async def test_an_empty_credential_of_the_client_is_none(tmp_path: Path) -> None:
    """A request never leaves without a credential: an empty one is none, whatever the policy."""
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more="client_credential: pass")) as proxy,
    ):
        await ask(proxy, "GET /r/a", "Authorization:")
    assert upstream.requests[0].field("Authorization") == [BEARER]


async def test_pass_keeps_fixed_values_and_the_clients_cookie(tmp_path: Path) -> None:
    more = (
        "client_credential: pass\n"
        "inject:\n"
        "- {in: cookie, name: session}\n"
        "- {in: header, name: X-App, format: fixed}"
    )
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        await ask(proxy, "GET /r/a", "Cookie: a=1; session=mine", "X-App: theirs")
        await ask(proxy, "GET /r/a", "Cookie: a=1")
    assert [(r.field("Cookie"), r.field("X-App")) for r in upstream.requests] == [
        (["a=1; session=mine"], ["fixed"]),
        ([f"session={KEY}"], ["fixed"]),
    ]
