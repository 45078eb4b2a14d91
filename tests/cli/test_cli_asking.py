"""What commands that ask the running proxy say of whoever answers there."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from command_line import Home, free_port
from gateway_samples import keyed
from proxying import BEGINNING, sidekey
from raw_upstream import answering, json_response, response

from proxy.cli.local import NoAnswer, ask
from proxy.config.models import ClientHeader, Clients, Listen
from proxy.credentials.secret import Secret

UPSTREAMS = """\
upstreams: {a: {base_url: "http://127.0.0.1:9", provider: {type: api_key, keys: "${KEY}"}}}
"""
THEIRS, OURS = "canary-of-the-proxy", "canary-of-the-command"
ASKS_FOR_HEADER = f"clients: {{header: {{name: X-Us, value: {THEIRS}}}}}\n"
ASKS_FOR_KEY = f"clients: {{keys: {THEIRS}}}\n"
HEADER = Clients(header=ClientHeader(name="X-Us", value=Secret(OURS)))
KEYS = Clients(keys=(Secret(OURS),))
STRANGER = response("200 OK", b"<h1>welcome</h1>")


async def why_not(port: int, clients: Clients | None = None) -> str:
    """Return why nothing is told at that port."""
    asking = asyncio.to_thread(
        ask, Listen(port=port), "/_sidekey/status", "upstreams", clients=clients
    )
    with pytest.raises(NoAnswer) as caught:
        await asking
    return str(caught.value)


@pytest.mark.parametrize(
    ("asks_for", "clients", "said"),
    [
        (ASKS_FOR_HEADER, HEADER, "refuses this configuration's clients.header (412)"),
        (ASKS_FOR_KEY, KEYS, "refuses this configuration's clients.keys (401)"),
        (ASKS_FOR_HEADER, KEYS, "refuses this configuration's clients.keys (412)"),
        (ASKS_FOR_HEADER, None, "asks for clients.header, which this configuration lacks (412)"),
        (ASKS_FOR_KEY, None, "asks for clients.keys, which this configuration lacks (401)"),
    ],
)
async def test_a_proxy_that_does_not_know_us_is_told_from_one_that_is_not_there(
    tmp_path: Path, asks_for: str, clients: Clients | None, said: str
) -> None:
    upstream = keyed("http://127.0.0.1:9")
    async with sidekey(tmp_path, upstream, beginning=BEGINNING + asks_for) as proxy:
        assert await why_not(proxy.port, clients) == f"the proxy at {proxy.host} {said}"


@pytest.mark.parametrize(
    "answer",
    [
        STRANGER,
        response("404 Not Found", b"{}"),
        response("401 Unauthorized", b"", "WWW-Authenticate: Basic"),
        json_response("200 OK", b'{"status": "UP"}'),
        json_response("200 OK", b"[" * 100_000),
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
    ],
)
async def test_another_program_at_the_port_is_told_from_a_proxy_that_is_not_there(
    answer: bytes,
) -> None:
    async with answering(answer) as program:
        port = int(program.origin.rpartition(":")[2])
        assert await why_not(port) == f"something other than sidekey answers at 127.0.0.1:{port}"


async def test_a_proxy_that_refuses_for_another_reason_is_told_with_its_status() -> None:
    refusal = json_response("421 Misdirected Request", b"{}", "Sidekey-Error: host-refused")
    async with answering(refusal) as proxy:
        port = int(proxy.origin.rpartition(":")[2])
        assert await why_not(port) == f"the proxy at 127.0.0.1:{port} refuses to tell (421)"


@pytest.mark.parametrize("upstreams", [None, 5, "text", [1], [{}], {"a": 1}])
async def test_another_program_that_tells_of_upstreams_is_none_of_ours(
    home: Home, upstreams: object
) -> None:
    content = json.dumps({"upstreams": upstreams}).encode()
    async with answering(json_response("200 OK", content)) as stranger:
        port = stranger.origin.rpartition(":")[2]
        home.configure(f"listen: {{port: {port}}}\n{UPSTREAMS}")
        ended = await home.run("status", KEY="k")
    assert ended.code == 0
    assert "something other than sidekey answers at" in ended.err


@pytest.mark.parametrize("host", ["my..host", "a" * 64 + ".example", "my host"])
async def test_where_the_host_is_no_name_no_proxy_answers(host: str) -> None:
    with pytest.raises(NoAnswer, match="no proxy answers"):
        ask(Listen(host=host, port=9), "/_sidekey/status", "upstreams")


async def test_where_nobody_listens_no_proxy_answers() -> None:
    port = free_port()
    assert await why_not(port) == f"no proxy answers at 127.0.0.1:{port}"


async def test_status_says_who_answers_and_health_fails_only_where_no_proxy_does(
    home: Home,
) -> None:
    home.environ["KEY"] = "made-up"
    home.configure(UPSTREAMS + ASKS_FOR_HEADER)
    ours = home.work / "ours.yaml"
    ours.write_text(UPSTREAMS)
    commands = [(name, "--config", str(ours)) for name in ("status", "health")]
    async with home.serving() as proxy, answering(STRANGER) as program:
        places = await proxy.address(), program.origin
        ports = [address.rpartition(":")[2] for address in places]
        known, strange = [await home.run_all(*commands, SIDEKEY_PORT=port) for port in ports]
    stranger = f"something other than sidekey answers at 127.0.0.1:{ports[1]}"
    assert known[0].err.endswith(" lacks (412); this is what the store tells\n")
    assert strange[0].err == f"{stranger}; this is what the store tells\n"
    assert [status.out for status in (known[0], strange[0])] == [known[0].out] * 2
    assert re.search(r"^a +ready", known[0].out, re.MULTILINE)
    assert (known[1].code, known[1].out) == (0, "ok\n")
    assert (strange[1].code, strange[1].err) == (1, f"sidekey: {stranger}\n")


async def test_a_health_check_wants_the_very_answer_of_a_proxy(home: Home) -> None:
    home.configure(UPSTREAMS)
    async with answering(json_response("200 OK", json.dumps({"status": "UP"}).encode())) as program:
        port = program.origin.rpartition(":")[2]
        ended = await home.run("health", SIDEKEY_PORT=port)
    assert (ended.code, ended.out) == (1, "")
    assert "something other than sidekey answers" in ended.err
