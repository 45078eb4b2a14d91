"""`sidekey explain`: what a person and a program read, and that nothing is sent."""

from __future__ import annotations

import json

import pytest
from canaries import holds_canary
from command_line import Home
from token_server import token_server

CONFIG = """\
listen: {{port: 8080}}
clients: {{keys: "${{PHANTOM}}"}}
upstreams:
  {upstream}
  misskey: {{preset: misskey, base_url: "https://misskey.example", port: 8081}}
"""
SET = "sets header Authorization: Bearer ***"
AGAIN = "and the request is sent once more, if its content has up to 262144 bytes"
PHANTOM = "canary-phantom-key-1"


async def test_a_person_reads_what_decides_and_what_would_be_sent(home: Home) -> None:
    """Nothing is asked for: not the token endpoint, not the upstream."""
    home.environ["PHANTOM"] = PHANTOM
    async with token_server() as server:
        home.configure(CONFIG.format(upstream=server.upstreams("r")))
        key = f"Authorization: Bearer {PHANTOM}"
        idle = await home.run("explain", "get", "/r/a?b=c", "-H", key, "-H", "Cookie: a=b")
        assert server.upstream is not None
        assert (server.asked, server.upstream.connections) == (0, 0)
        await home.run("token", "r")
        url = f"{server.origin}/api/a"
        ready = await home.run("explain", "GET", url, "-H", key, "--json")
        assert server.asked == 1
    assert (idle.code, ready.code) == (0, 0)
    for line in (
        "GET http://127.0.0.1:8080/r/a?b=c",
        "  ok  route: the upstream is r, by the prefix /r",
        "  ok  client: shows one of clients.keys",
        "  ok  path: /api/a has no dot segments, and no separators in disguise",
        "  ok  credential: the token: there is none yet: a request fetches one",
        f"  upstreams.r.inject[0]: {SET}; the client's own is taken away",
        "  Cookie: a credential that was never meant for this API",
        f"  401: the token is renewed, {AGAIN}",
        f"  GET {server.origin}/api/a?b=c",
        "  Authorization: Bearer ***",
    ):
        assert line in idle.out.splitlines(), line
    told = json.loads(ready.out)
    assert told["local"] == "http://127.0.0.1:8080/r/a"
    assert told["token"]["state"] == "ready"
    assert told["request"]["url"] == url
    assert ["Authorization", "Bearer ***"] in told["request"]["fields"]
    assert not holds_canary(idle.said + ready.said)


async def test_a_refused_credential_is_told_as_what_a_running_proxy_answers(home: Home) -> None:
    async with token_server(locked=True) as server:
        home.configure(f"upstreams:\n  {server.upstreams('r')}\n")
        await home.run("token", "r")
        alone = await home.run("explain", "GET", "/r/a")
        async with home.serving() as proxy:
            home.environ["SIDEKEY_PORT"] = (await proxy.address()).rpartition(":")[2]
            fresh = await home.run("explain", "GET", "/r/a")
            await home.shell(f"curl -s {await proxy.address()}/r/a")
            told = await home.run("explain", "GET", "/r/a")
        assert server.asked == 2
    for sent in (alone, fresh):  # a proxy that was not refused itself asks once
        assert (sent.code, "a request asks once more" in sent.out) == (0, True)
    assert told.code == 1
    assert "NO  credential: the token endpoint" in told.out
    assert "would be refused: 502 grant-rejected" in told.out
    assert "correct upstreams.r.provider" in told.out
    assert "would be sent" not in told.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("POST", "http://127.0.0.1:8081/api/notes/create"), 1, "401 client-key-required"),
        (
            ("POST", "http://127.0.0.1:8081/api/i", "-H", f"Authorization: {PHANTOM}"),
            4,
            "sidekey login misskey",
        ),
        (("POST", "http://127.0.0.1:8081/api/i", "--known"), 4, "sidekey login misskey"),
        (("GET", "http://r.localhost:8080/a", "--known"), 0, "GET http://a/a"),
        (("GET", "/misskye/a", "-H", f"Authorization: {PHANTOM}"), 1, "client-key-required"),
        (("GET", "http://127.0.0.1:9/misskey/a"), 1, "421 host-refused"),
        (("GET", "/_sidekey/status"), 0, "would be answered by sidekey itself"),
        (("GET", "/_sidekey/status"), 0, "provided that"),
        (("GET", "nonsense"), 2, "URL: expected one such as /NAME/rest"),
        (("G-T", "/misskey"), 2, "letters only"),
        (("GET", "/misskey", "-H", "no field"), 2, "expected 'Name: value'"),
        (("GET", "/misskey", "-H", "Content-Length: many"), 2, "is a number"),
    ],
)
async def test_the_exit_code_tells_whether_it_would_be_sent(
    home: Home, arguments: tuple[str, ...], code: int, said: str
) -> None:
    home.environ["PHANTOM"] = PHANTOM
    keyed = "r: {base_url: 'http://a', provider: {type: api_key, keys: 'k${PHANTOM}'}}"
    home.configure(CONFIG.format(upstream=keyed))
    ended = await home.run("explain", *arguments)
    assert ended.code == code, ended.said
    assert said in ended.said
    assert "Traceback" not in ended.err
    assert (ended.out == "") == (code == 2)
