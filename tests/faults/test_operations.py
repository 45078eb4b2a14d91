"""Starting, stopping and standing still: what an operator sees of a real `sidekey run`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from itertools import cycle, product
from pathlib import Path

import pytest
from command_line import Home, until
from gateway_samples import keyed, tokened
from loaded import Loaded, clients, loaded
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import RawAnswer, RawClient, ask, raw_client
from raw_upstream import Conversation, RawRequest, answering, json_response

STREAMS = 50
BLOCK = b"x" * 1000
KINDS = {  # heads of answers that are never sent as a whole, by what tells where they end
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
}
NOWHERE = keyed("http://127.0.0.1:9").replace("\n", "\n  ")


class Streams:
    """An upstream that sends half of each answer, and the rest of some when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = 0

    async def converse(self, peer: Conversation) -> None:
        """Answer one request for `/KIND/finished` or `/KIND/endless`."""
        _, kind, fate = (await peer.request()).target.split("/")
        await peer.send(KINDS[kind] + self.framed(kind))
        self.begun += 1
        await self.go.wait()
        if fate == "endless":
            await asyncio.Event().wait()
        await peer.send(self.framed(kind) + (b"0\r\n\r\n" if kind == "chunks" else b""))

    def framed(self, kind: str) -> bytes:
        return b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if kind == "chunks" else BLOCK


async def begin(proxy: Loaded, client: RawClient, target: str, version: str) -> None:
    head = f"GET /r/{target} HTTP/{version}\r\nHost: {proxy.host}\r\n\r\n"
    await client.send(head.encode())


async def outcome(client: RawClient) -> tuple[int, bool]:
    """Return how much came, and whether the client takes it for the whole answer."""
    try:
        answer: RawAnswer = await client.answer()
    except ConnectionError:  # content without a length ends with the connection, if that is sound
        return 0, False
    return len(answer.content), answer.ended


@pytest.mark.case("O01")
async def test_streams_have_time_to_end_and_the_others_are_cut_visibly(tmp_path: Path) -> None:
    streams = Streams()
    mix = product(
        ("finished", "endless"), (("length", "1.1"), ("chunks", "1.1"), ("chunks", "1.0"))
    )
    async with (
        loaded(tmp_path, streams.converse) as proxy,
        clients(proxy.port, STREAMS) as standing,
    ):
        fates = []
        for client, (fate, (kind, version)) in zip(standing, cycle(mix), strict=False):
            await begin(proxy, client, f"{kind}/{fate}", version)
            fates.append(fate)
        await until(lambda: streams.begun == STREAMS)
        proxy.process.process.send_signal(signal.SIGTERM)
        streams.go.set()
        outcomes = await asyncio.gather(*(outcome(client) for client in standing))
        ended = await proxy.process.ended()
    for fate, (size, whole) in zip(fates, outcomes, strict=True):
        assert whole is (fate == "finished")
        assert size == 2 * len(BLOCK) or not whole
    assert ended.code == 0
    assert "Traceback" not in ended.err


@pytest.mark.case("O02")
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_the_second_signal_ends_it_at_once(tmp_path: Path, by: signal.Signals) -> None:
    """What is still under way is cut, and nothing says that it stopped in order."""
    streams = Streams()
    async with loaded(tmp_path, streams.converse) as proxy, raw_client(proxy.port) as client:
        await begin(proxy, client, "chunks/endless", "1.1")
        await until(lambda: streams.begun == 1)
        proxy.process.process.send_signal(by)
        await until(lambda: not accepts(proxy.port))  # it has begun to stop
        ended = await proxy.process.stopped(by)
        assert (await outcome(client))[1] is False
    assert ended.code == 128 + by
    assert '"stopped"' not in ended.err
    assert "Traceback" not in ended.err


def accepts(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.case("O06")
async def test_a_taken_port_is_an_error_in_words(home: Home) -> None:
    home.configure(f"upstreams:\n  {NOWHERE}\n")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        ended = await home.run("run", "--port", str(port))
    assert ended.code == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.err
    assert "--port 0" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.case("O06")
async def test_an_address_that_this_machine_lacks_is_an_error_in_words(home: Home) -> None:
    """So is any IPv6 address where IPv6 is switched off."""
    clients_section = "clients: {keys: made-up-client-key}"
    home.configure(f"{clients_section}\nupstreams:\n  {NOWHERE}\n")
    ended = await home.run("run", "--host", "2001:db8::1", "--port", "0")
    assert ended.code == 1
    assert "cannot listen on [2001:db8::1]:0: " in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.case("O06")
async def test_a_port_below_1024_is_an_error_in_words(home: Home) -> None:
    home.configure(f"upstreams:\n  {NOWHERE}\n")
    port = free_port_below_1024()
    line = f"{sys.executable} -m proxy run --port {port}"
    if os.geteuid() == 0:  # as root, without the right that root has
        line = f"{shutil.which('setpriv')} --bounding-set=-net_bind_service {line}"
    ended = await home.shell(line)
    assert ended.code == 1
    assert f"cannot listen on 127.0.0.1:{port}: Permission denied" in ended.err
    assert "Traceback" not in ended.err


def free_port_below_1024() -> int:
    return next(port for port in range(1023, 512, -1) if not accepts(port))


async def pages(proxy: Sidekey, *fields: str) -> list[tuple[int, bool]]:
    """Status of each own page, and whether it names the upstream."""
    names = ("healthz", "readyz", "status")
    answers = [await ask(proxy, f"GET /_sidekey/{name}", *fields) for name in names]
    return [(answer.status, b'"r"' in answer.content) for answer in answers]


@pytest.mark.case("O07")
async def test_strangers_learn_only_that_the_proxy_lives(tmp_path: Path) -> None:
    key = "made-up-client-key"
    async with (
        answering() as upstream,
        sidekey(
            tmp_path, keyed(upstream.origin), beginning=f"{BEGINNING}clients: {{keys: {key}}}\n"
        ) as proxy,
    ):
        assert await pages(proxy) == [(200, False), (200, False), (401, False)]
        shown = f"Authorization: Bearer {key}"
        assert await pages(proxy, shown) == [(200, False), (200, True), (200, True)]


@pytest.mark.case("O07")
async def test_a_proxy_that_lives_is_not_ready_while_nobody_has_signed_in(tmp_path: Path) -> None:
    app = "m: {preset: misskey, base_url: 'http://127.0.0.1:9'}"
    async with sidekey(tmp_path, app) as proxy:
        lives = await ask(proxy, "GET /_sidekey/healthz")
        ready = await ask(proxy, "GET /_sidekey/readyz")
    assert (lives.status, ready.status) == (200, 503)
    [status] = ready.json()["upstreams"]
    assert (status["upstream"], status["state"]) == ("m", "login-required")
    assert status["fix"] == "sidekey login m"


@pytest.mark.case("O08")
async def test_a_token_that_expired_while_the_proxy_stood_still_is_renewed(home: Home) -> None:
    """As after a laptop's sleep: what counts is the time of day, not how long the process ran."""
    lifetime = 3  # seconds

    def token(request: RawRequest) -> bytes:
        number = len(issuer.requests)
        members = {"access_token": f"canary-{number}", "expires_in": lifetime}
        return json_response("200 OK", json.dumps(members).encode())

    async with answering(token) as issuer, answering() as upstream:
        text = tokened(upstream.origin, issuer.origin).replace("\n", "\n  ")
        home.configure(f"store: {{type: memory}}\nupstreams:\n  {text}\n")
        async with home.serving() as process:
            url = f"{await process.address()}/r/a"
            await home.shell(f"curl -sf {url}")
            process.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(lifetime)
            process.process.send_signal(signal.SIGCONT)
            assert (await home.shell(f"curl -sf {url}")).out == "ok"
    assert [request.field("Authorization") for request in upstream.requests] == [
        ["Bearer canary-1"],
        ["Bearer canary-2"],
    ]
    assert len(issuer.requests) == 2
