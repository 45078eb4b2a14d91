"""Many clients, slow clients, floods: others are served meanwhile, and memory stays bounded.

By default there are fewer of everything. `SIDEKEY_TESTS=ci` takes as many as the cases say, but for
chunks of one byte, of which `full` sends 16 MiB.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from command_line import until
from loaded import MIB, Loaded, as_many_files_as_allowed, clients, loaded, scaled
from raw_client import RawClient, message, raw_client
from raw_upstream import Conversation

SLOWHTTPTEST = shutil.which("slowhttptest")
DEAF = 2 * MIB  # that one client may cost that reads nothing
SHORT = "timeouts: {head: 1s, content: 1s, send: 1s, idle: 1m}"
PATIENT = "timeouts: {head: 8s, content: 8s, send: 8s, idle: 1m}"  # long enough for all to arrive
LONG = "timeouts: {head: 5m, content: 5m, send: 5m, idle: 5m}"


@pytest.fixture(autouse=True)
def many_files() -> Iterator[int]:
    with as_many_files_as_allowed() as allowed:
        yield allowed


async def closed(client: RawClient) -> bytes:
    """Wait until the other end closes, and return what it sent before."""
    with contextlib.suppress(ConnectionError):
        return await client.reader.read()
    return b""


async def drip(client: RawClient, piece: bytes) -> None:
    """Send `piece` again and again until the connection is gone."""
    with contextlib.suppress(ConnectionError):
        while not client.writer.is_closing():
            await client.send(piece)
            await asyncio.sleep(0.1)


@pytest.mark.case("D01")
async def test_clients_that_never_finish_their_head_are_left(tmp_path: Path) -> None:
    count = scaled(200, 1_000)
    async with loaded(tmp_path, listen=PATIENT) as proxy:
        before, files = proxy.memory, proxy.files
        async with clients(proxy.port, count) as slow, proxy.serving_others():
            for client in slow:
                await client.send(b"GET /r/slow HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            await until(lambda: proxy.files >= files + count)
            dripping = [asyncio.create_task(drip(client, b"X-a: b\r\n")) for client in slow]
            assert {await closed(client) for client in slow} == {b""}
            await asyncio.gather(*dripping)
        assert proxy.memory - before < 32 * MIB
        assert proxy.asked("/slow") == []


@pytest.mark.case("D02")
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
async def test_clients_that_send_their_content_slowly_are_left(
    tmp_path: Path, framing: str
) -> None:
    count = scaled(50, 500)
    piece = b"x" if framing.startswith("Content") else b"1\r\nx\r\n"
    async with loaded(tmp_path, listen=SHORT) as proxy:
        before = proxy.memory
        async with clients(proxy.port, count) as slow, proxy.serving_others():
            for client in slow:
                await client.send(proxy.message("POST /r/slow", framing))
            dripping = [asyncio.create_task(drip(client, piece)) for client in slow]
            answers = [await client.answer() for client in slow]
            for client in slow:
                client.leave()
            await asyncio.gather(*dripping)
        assert {answer.status for answer in answers} == {408}
        assert proxy.asked("/slow") == []
        assert proxy.memory - before < 32 * MIB


async def pour(peer: Conversation) -> None:
    """Answer a request with 64 MiB."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
    for _ in range(64):
        await peer.send(b"x" * MIB)


def deaf(proxy: Loaded) -> socket.socket:
    """A client that reads nothing of what it asked for."""
    sock = socket.create_connection(("127.0.0.1", proxy.port))
    sock.sendall(proxy.message("GET /r/a"))
    return sock


@pytest.mark.case("D03")
async def test_clients_that_read_nothing_are_left(tmp_path: Path) -> None:
    count = scaled(20, 100)
    async with loaded(tmp_path, pour, listen=SHORT) as proxy:
        before, files = proxy.memory, proxy.files
        with contextlib.ExitStack() as stack:
            async with proxy.serving_others():
                for _ in range(count):
                    stack.enter_context(contextlib.closing(deaf(proxy)))
                await until(lambda: proxy.upstream.connections == count)
                await until(lambda: proxy.files <= files + 10)
        assert proxy.memory - before < 16 * MIB + count * DEAF


@asynccontextmanager
async def idle_clients(port: int, count: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Hold `count` connections that have been served once, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parent / "idle_clients.py"),
        str(port),
        str(count),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.communicate()


async def standing(process: asyncio.subprocess.Process) -> int:
    """Wait for the next count of connections that are open."""
    assert process.stdout is not None
    return int((await process.stdout.readline()).split()[1])


@pytest.mark.case("D04")
@pytest.mark.parametrize(("limit", "by_default"), [(12_000, 1_000), (None, 2_500)])
async def test_idle_connections_cost_little_and_make_room(
    tmp_path: Path, many_files: int, limit: int | None, by_default: int
) -> None:
    """10,000, or as many as one process may open here; 2,000 stay where nothing else is said."""
    count = min(scaled(by_default, 10_000), many_files - 500)
    more = f", max_connections: {limit}" if limit is not None else ""
    async with loaded(tmp_path, listen=LONG + more) as proxy:
        before = proxy.memory
        async with proxy.serving_others(), idle_clients(proxy.port, count) as idle:
            assert await standing(idle) >= min(count, limit or 1_990)
            assert (await proxy.ask("GET /r/a")).status == 200
            assert idle.stdin is not None
            idle.stdin.write(b"\n")
            assert min(count, limit or 1_990) <= await standing(idle) <= (limit or 2_000)
            assert proxy.memory - before < 120 * MIB * count / 10_000 + 4 * MIB


@pytest.mark.case("D05")
async def test_connections_without_a_byte_leave_nothing_behind(tmp_path: Path) -> None:
    rounds = scaled(5, 50)
    async with loaded(tmp_path, listen=SHORT) as proxy:
        before, files = proxy.memory, proxy.files
        async with proxy.serving_others():
            for _ in range(rounds):
                async with clients(proxy.port, 200) as silent:
                    for client in silent:
                        client.leave()
        await until(lambda: proxy.files <= files + 10)
        assert proxy.memory - before < 16 * MIB


@pytest.mark.case("D06")
async def test_a_proxy_without_file_descriptors_waits_and_serves_again(tmp_path: Path) -> None:
    """asyncio looks again once a second, and says so each time; it does not run hot."""
    complaint = "out of system resource"
    async with loaded(tmp_path, listen=LONG) as proxy:
        descriptors_left(proxy, 5)
        async with clients(proxy.port, 40):
            await proxy.process.err.shows(complaint)
            before = proxy.processor
            await proxy.process.err.shows(f"(?s){complaint}.*{complaint}.*{complaint}")
            assert proxy.processor - before < 1  # in two seconds; running hot takes all of them
        assert proxy.process.err.text.count(complaint) < 10
        assert (await proxy.ask("GET /r/a")).status == 200


def descriptors_left(proxy: Loaded, count: int) -> None:
    """Let the process open `count` files more and no others."""
    pid = proxy.process.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (proxy.files + count, hard))


async def hang(peer: Conversation) -> None:
    """Read requests, and answer none."""
    while True:
        await peer.request()


@pytest.mark.case("D08")
async def test_a_flood_of_pipelined_requests_is_not_read_beyond_a_bound(tmp_path: Path) -> None:
    """64 MiB never fit in between while the first one waits for its answer."""
    async with loaded(tmp_path, hang) as proxy, proxy.serving_others():
        before = proxy.memory
        with contextlib.closing(deaf(proxy)) as sock:
            assert await taken(sock, proxy.message("GET /r/a") * 1_000) < 32 * MIB
            assert proxy.memory - before < 16 * MIB
            assert proxy.upstream.connections == 1


async def taken(sock: socket.socket, flood: bytes) -> int:
    """Return how many bytes go into a connection until it takes no more."""
    sock.setblocking(False)
    sent, before = 0, -1
    while sent != before and sent < 64 * MIB:
        before = sent
        with contextlib.suppress(BlockingIOError):
            while sent < 64 * MIB:
                sent += sock.send(flood)
        await asyncio.sleep(0.3)
    return sent


@pytest.mark.case("D09")
async def test_content_in_chunks_of_one_byte_costs_in_proportion(tmp_path: Path) -> None:
    size = scaled(MIB // 2, 4 * MIB, 16 * MIB)
    async with loaded(tmp_path) as proxy:
        before = proxy.memory
        async with proxy.serving_others():
            await upload_bytewise(proxy, size // 32)
            first = proxy.processor
            await upload_bytewise(proxy, size // 4)
            second = proxy.processor
            await upload_bytewise(proxy, size)
            cost, fourfold = second - first, proxy.processor - second
        assert fourfold < 8 * cost + 0.2
        assert proxy.memory - before < 16 * MIB
        sizes = [len(request.content) for request in proxy.asked("/bytes")]
        assert sizes == [size // 32, size // 4, size]


async def upload_bytewise(proxy: Loaded, size: int) -> None:
    async with raw_client(proxy.port) as client:
        await client.send(proxy.message("POST /r/bytes", "Transfer-Encoding: chunked"))
        for _ in range(size // 2**14):
            await client.send(b"1\r\nx\r\n" * 2**14)
        await client.send(b"0\r\n\r\n")
        assert (await client.answer()).status == 200


@pytest.mark.case("D10")
async def test_a_flood_of_refusals_does_not_fill_the_log(tmp_path: Path) -> None:
    count = scaled(500, 5_000)
    async with loaded(tmp_path) as proxy:
        async with proxy.serving_others(), raw_client(proxy.port) as client:
            for number in range(count):
                host = f"evil-{number}.example"
                await client.send(message("GET /r/a", host=host))
                if number % 50 == 49:
                    assert {(await client.answer()).status for _ in range(50)} == {421}
        log = await proxy.stopped()
    logged = len(re.findall(r'"event": "request\.refused"', log))
    unlogged = re.findall(r'"count": (\d+), "event": "request\.refused\.unlogged"', log)
    assert 20 <= logged < count
    assert logged + sum(map(int, unlogged)) == count
    assert "evil-" not in log


@pytest.mark.case("D12")
async def test_the_rate_is_exact_for_requests_that_come_at_once(tmp_path: Path) -> None:
    async with loaded(tmp_path, more="limits: {rate: 10/h, burst: 10}") as proxy:
        answers = await asyncio.gather(*(proxy.ask("GET /r/b") for _ in range(50)))
    statuses = [answer.status for answer in answers]
    assert (statuses.count(200), statuses.count(429)) == (9, 41)  # one was asked before
    assert len(proxy.asked("/b")) == 9
    limited = [answer for answer in answers if answer.status == 429]
    assert all(0 < int(answer.field("Retry-After")[0]) <= 360 for answer in limited)


@pytest.mark.skipif(SLOWHTTPTEST is None, reason="slowhttptest is not installed")
@pytest.mark.parametrize(
    "attack",
    ["-H -i 1 -x 24", "-B -i 1 -s 8192 -x 10", "-X -w 1 -y 2 -n 1 -z 1 -k 3"],
    ids=["slow heads", "slow content", "slow reading"],
)
async def test_others_are_served_while_slowhttptest_attacks(tmp_path: Path, attack: str) -> None:
    async with loaded(tmp_path, listen=SHORT) as proxy, proxy.serving_others():
        much = f"-c {scaled(200, 1_000)} -r 500 -l {scaled(2, 8)}"
        options = f"{attack} {much} -p 3 -u http://127.0.0.1:{proxy.port}/r/slow"
        process = await asyncio.create_subprocess_exec(
            SLOWHTTPTEST or "",
            *options.split(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
    assert b"service available:" in said
    assert b"NO" not in said.split(b"service available:")[-1].split(b"\n")[0]
