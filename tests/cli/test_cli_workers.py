"""`sidekey run --workers N`: several processes, one port, one token life, one set of limits."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from command_line import Home, Started, until, workers_of
from raw_upstream import Conversation, answering, conversing
from token_server import TokenServer, token_server

CONFIG = "listen: {{port: 0}}\nupstreams:\n  {upstreams}\n"


async def until_there_are(proxy: Started, count: int, *, besides: int = 0) -> list[int]:
    """Wait until so many workers run, none of them the one that was there `besides`."""
    found: list[int] = []

    def are_there() -> bool:
        found[:] = workers_of(proxy)
        return len(found) == count and besides not in found

    await until(are_there)
    return found


@asynccontextmanager
async def working(
    home: Home, server: TokenServer, count: int, *options: str
) -> AsyncIterator[tuple[Started, str]]:
    home.configure(CONFIG.format(upstreams=server.upstreams("r")))
    async with home.serving("--workers", str(count), *options) as proxy:
        await until_there_are(proxy, count)
        yield proxy, await proxy.address()


async def get(url: str) -> int:
    """Ask over a connection of its own, which any worker may take."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.read()
        return answer.status


async def test_workers_share_one_port_and_one_token_life(home: Home) -> None:
    async with token_server(life=4.0) as server, working(home, server, 3) as (proxy, url):
        end = asyncio.get_running_loop().time() + 8.0
        while asyncio.get_running_loop().time() < end:
            assert await asyncio.gather(*(get(f"{url}/r/a") for _ in range(6))) == [200] * 6
            await asyncio.sleep(0.05)
        ended = await proxy.stopped()
    assert server.calls["sign-in"] == 1
    assert server.calls["renewal"] <= 4
    assert server.calls["reuse"] == server.calls["refused"] == 0
    assert ended.code == 0
    assert ended.err.count('"event": "listening"') == ended.err.count('"event": "stopped"') == 1
    assert "Traceback" not in ended.err


async def test_a_worker_that_is_killed_is_replaced_and_others_serve_meanwhile(home: Home) -> None:
    async with token_server() as server, working(home, server, 2) as (proxy, url):
        assert await get(f"{url}/r/a") == 200
        [first, _] = workers_of(proxy)
        os.kill(first, signal.SIGKILL)
        assert [await get(f"{url}/r/a") for _ in range(20)] == [200] * 20
        event = await proxy.event("worker.ended")
        await until_there_are(proxy, 2, besides=first)
        assert [await get(f"{url}/r/a") for _ in range(20)] == [200] * 20
        assert (await proxy.stopped()).code == 0
    assert event["code"] == -signal.SIGKILL
    assert server.calls["sign-in"] == 1


async def test_who_stands_in_for_a_worker_has_the_configuration_of_the_others(home: Home) -> None:
    """With that of the start it would try a password that is no longer right."""
    async with token_server() as server:
        old = server.upstreams("r", password="canary-old-password")
        home.configure(CONFIG.format(upstreams=old))
        async with home.serving("--workers", "2") as proxy:
            [first, _] = await until_there_are(proxy, 2)
            url = await proxy.address()
            home.configure(CONFIG.format(upstreams=server.upstreams("r")))
            proxy.process.send_signal(signal.SIGHUP)
            await until(lambda: proxy.err.text.count('"event": "config.reloaded"') == 2)
            assert await get(f"{url}/r/a") == 200
            os.kill(first, signal.SIGKILL)
            await until_there_are(proxy, 2, besides=first)
            assert {await get(f"{url}/r/a") for _ in range(40)} == {200}
    assert server.calls == {"sign-in": 1}


async def test_who_stands_in_takes_nothing_that_the_others_have_refused(home: Home) -> None:
    """Such as another store, with a token life of its own."""
    async with token_server() as server, working(home, server, 2) as (proxy, url):
        [first, _] = workers_of(proxy)
        assert await get(f"{url}/r/a") == 200
        other = home.folder / "other"
        text = CONFIG.format(upstreams=server.upstreams("r"))
        home.configure(f"store: {{path: {other}}}\n{text}")
        proxy.process.send_signal(signal.SIGHUP)
        await until(lambda: proxy.err.text.count('"event": "config.refused"') == 2)
        os.kill(first, signal.SIGKILL)
        await until_there_are(proxy, 2, besides=first)
        await until(lambda: proxy.err.text.count('"event": "config.refused"') == 3)
        assert {await get(f"{url}/r/a") for _ in range(40)} == {200}
    assert server.calls == {"sign-in": 1}
    assert not other.exists()


async def test_who_stands_in_can_be_stopped_while_it_still_loads(home: Home) -> None:
    program = home.work / "secret"
    program.write_text("#!/bin/sh\n[ -e slow ] && touch asked && sleep 60\necho canary-key\n")
    program.chmod(0o700)
    path = home.configure(
        KEYED.format(origin="http://127.0.0.1:9", more="").replace("${KEY}", f"${{exec:{program}}}")
    )
    async with home.serving("--config", str(path), "--workers", "2") as proxy:
        [first, _] = await until_there_are(proxy, 2)
        (home.work / "slow").touch()
        os.kill(first, signal.SIGKILL)
        await until((home.work / "asked").exists)
        ended = await proxy.stopped()
    assert ended.code == 0
    assert "config.refused" not in ended.err, "it has waited until the program's time was over"


async def test_a_parent_that_ignores_the_end_of_children_hears_of_workers_all_the_same(
    home: Home,
) -> None:
    """Whoever has started it may have said so, and that is inherited."""
    program = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-m", "proxy", *sys.argv[1:]])
"""
    home.program = ["-c", program]
    async with token_server() as server, working(home, server, 2) as (proxy, _):
        [first, _] = workers_of(proxy)
        os.kill(first, signal.SIGKILL)
        await until_there_are(proxy, 2, besides=first)
        assert (await proxy.stopped()).code == 0


async def test_signals_at_the_very_start_are_not_lost_on_workers(home: Home) -> None:
    """Whoever has no handler yet would be ended by a SIGHUP."""
    async with token_server() as server:
        home.configure(CONFIG.format(upstreams=server.upstreams("r")))
        async with home.serving("--workers", "4") as proxy:
            for _ in range(20):
                proxy.process.send_signal(signal.SIGHUP)
                await asyncio.sleep(0.005)
            await until(lambda: proxy.err.text.count('"event": "config.reloaded"') >= 4)
            ended = await proxy.stopped()
    assert ended.code == 0
    assert "worker.ended" not in ended.err


async def test_children_that_are_none_of_its_workers_do_not_matter(home: Home) -> None:
    """The first process of a container inherits those of others."""
    program = """
import os, subprocess, sys
subprocess.Popen(["sleep", "3"])
os.execv(sys.executable, [sys.executable, "-m", "proxy", *sys.argv[1:]])
"""
    home.program = ["-c", program]
    async with token_server() as server, working(home, server, 2) as (proxy, url):
        assert await get(f"{url}/r/a") == 200
        assert (await proxy.stopped()).code == 0


async def test_a_store_that_breaks_later_ends_no_worker(home: Home) -> None:
    """Who stands in for a worker then serves what needs no store."""
    async with token_server() as server, working(home, server, 2) as (proxy, url):
        assert await get(f"{url}/r/a") == 200
        (home.state / "key").write_text("no key\n")
        [first, _] = workers_of(proxy)
        os.kill(first, signal.SIGKILL)
        await until_there_are(proxy, 2, besides=first)
        await asyncio.sleep(0.5)
        assert {await get(f"{url}/_sidekey/healthz") for _ in range(20)} == {200}
        assert proxy.err.text.count('"event": "worker.ended"') == 1


async def test_what_needs_no_store_runs_without_one(home: Home) -> None:
    async with answering() as upstream:
        home.configure(KEYED.format(origin=upstream.origin, more=""))
        home.state.parent.mkdir()
        home.state.write_text("no folder")
        for options in ((), ("--workers", "2")):
            async with home.serving(*options, KEY="canary-key") as proxy:
                assert await get(f"{await proxy.address()}/r/a") == 200


async def test_what_is_wrong_with_the_store_is_said_once(home: Home) -> None:
    async with token_server() as server:
        home.configure(CONFIG.format(upstreams=server.upstreams("r")))
        home.state.parent.mkdir()
        home.state.write_text("no folder")
        ended = await home.run("run", "--port", "0", "--workers", "3")
    assert ended.code == 1
    assert ended.err.count("sidekey: cannot ") == 1
    assert "internal error" not in ended.err


async def test_workers_that_do_not_live_end_it_all(home: Home) -> None:
    async with token_server() as server, working(home, server, 2) as (proxy, _):
        killed: set[int] = set()
        while proxy.process.returncode is None and len(killed) < 10:
            for pid in set(workers_of(proxy)) - killed:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            await asyncio.sleep(0.02)
        ended = await proxy.ended()
    assert ended.code == 1
    assert ended.err.count('"event": "worker.ended"') == 3


async def slowly(peer: Conversation) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsl")
    await asyncio.sleep(1.0)
    await peer.send(b"ow")


KEYED = """\
listen: {{port: 0}}
upstreams:
  r: {{base_url: "{origin}", provider: {{type: api_key, keys: "${{KEY}}"}}{more}}}
"""


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_lets_requests_of_every_worker_end(home: Home, by: signal.Signals) -> None:
    async with conversing(slowly) as upstream:
        home.configure(KEYED.format(origin=upstream.origin, more=""))
        async with home.serving("--workers", "2", KEY="canary-key") as proxy:
            url = f"{await proxy.address()}/r/a"
            asking = [asyncio.create_task(get(url)) for _ in range(8)]
            await until(lambda: upstream.connections == 8)
            ended = await proxy.stopped(by)
            assert await asyncio.gather(*asking) == [200] * 8
    assert ended.code == 0
    assert "Traceback" not in ended.err


async def test_programs_that_workers_have_started_end_with_them(home: Home) -> None:
    """Such as a password manager that waits for somebody, at a reload."""
    program = home.work / "secret"
    program.write_text(
        "#!/bin/sh\n[ -e slow ] && echo $$ >> pids && exec sleep 60\necho canary-key\n"
    )
    program.chmod(0o700)
    path = home.configure(
        KEYED.format(origin="http://127.0.0.1:9", more="").replace("${KEY}", f"${{exec:{program}}}")
    )
    pids = home.work / "pids"
    async with home.serving("--config", str(path), "--workers", "2") as proxy:
        await until_there_are(proxy, 2)
        (home.work / "slow").touch()
        proxy.process.send_signal(signal.SIGHUP)
        await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        assert all(lives(int(pid)) for pid in pids.read_text().split())
        assert (await proxy.stopped()).code == 0
    await until(lambda: not any(lives(int(pid)) for pid in pids.read_text().split()))


async def test_a_second_signal_ends_every_worker_at_once(home: Home) -> None:
    async def never(peer: Conversation) -> None:
        await peer.request()
        await peer.reader.read()

    async with conversing(never) as upstream:
        home.configure(KEYED.format(origin=upstream.origin, more=""))
        async with home.serving("--workers", "2", KEY="canary-key") as proxy:
            asking = asyncio.create_task(get(f"{await proxy.address()}/r/a"))
            await until(lambda: upstream.connections == 1)
            workers = workers_of(proxy)
            proxy.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            await proxy.stopped()
            await asyncio.gather(asking, return_exceptions=True)
            for pid in workers:
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)


async def test_workers_whose_parent_was_killed_stop_by_themselves(home: Home) -> None:
    async with token_server() as server, working(home, server, 2) as (proxy, _):
        workers = workers_of(proxy)
        proxy.process.kill()
        await proxy.process.wait()
        await until(lambda: not any(map(lives, workers)))


def lives(pid: int) -> bool:
    """Tell whether a process runs that is not ours to wait for; one that ended may stay listed."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(shown.stdout.strip()) and not shown.stdout.startswith("Z")


async def test_sighup_loads_again_in_every_worker(home: Home) -> None:
    async with answering() as upstream:
        home.configure(KEYED.format(origin=upstream.origin, more=""))
        async with home.serving("--workers", "2", KEY="canary-key") as proxy:
            url = await proxy.address()
            await until_there_are(proxy, 2)
            denying = ", deny: [{paths: [/secret]}]"
            home.configure(KEYED.format(origin=upstream.origin, more=denying))
            proxy.process.send_signal(signal.SIGHUP)
            await until(lambda: proxy.err.text.count('"event": "config.reloaded"') == 2)
            statuses = {await get(f"{url}/r/secret") for _ in range(20)}
    assert statuses == {403}


async def test_workers_share_the_rate(home: Home) -> None:
    limits = ", limits: {rate: 10/h, burst: 10}"
    async with answering() as upstream:
        home.configure(KEYED.format(origin=upstream.origin, more=limits))
        async with home.serving("--workers", "2", KEY="canary-key") as proxy:
            url = f"{await proxy.address()}/r/a"
            await until_there_are(proxy, 2)
            statuses = [await get(url) for _ in range(60)]
    assert 5 <= statuses.count(200) <= 10
    assert len(upstream.requests) == statuses.count(200)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store: {{type: memory}}\n" + CONFIG, "store.type: memory is not shared by --workers"),
        (
            CONFIG.replace(
                "{upstreams}",
                "r: {{base_url: 'http://a', limits: {{concurrency: 1}},"
                " provider: {{type: api_key, keys: '${{KEY}}'}}}}",
            ),
            "upstreams.r.limits.concurrency: 1 cannot be shared by 2 workers",
        ),
        (
            CONFIG.replace("port: 0", "port: 0, max_connections: 1"),
            "listen.max_connections: 1 cannot be shared by 2 workers",
        ),
    ],
)
async def test_what_cannot_be_shared_is_refused(home: Home, text: str, said: str) -> None:
    upstreams = "r: {base_url: 'http://a', provider: {type: api_key, keys: '${KEY}'}}"
    home.configure(text.format(upstreams=upstreams))
    ended = await home.run("run", "--port", "0", "--workers", "2", KEY="canary-key")
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err


async def test_workers_answer_on_a_unix_socket_too(home: Home) -> None:
    path = home.folder / "sidekey.sock"
    async with answering() as upstream:
        home.configure(KEYED.format(origin=upstream.origin, more=""))
        options = ("--unix-socket", str(path), "--workers", "2")
        async with home.serving(*options, KEY="canary-key") as proxy:
            said = await home.shell(f"curl -si --unix-socket {path} http://localhost/r/a")
            assert "200 OK" in said.out
            assert (await proxy.stopped()).code == 0
    assert not path.exists()


async def test_a_terminal_shows_one_banner(home: Home) -> None:
    async with token_server() as server:
        home.configure(CONFIG.format(upstreams=server.upstreams("r")))
        options = ("run", "--port", "0", "--workers", "3")
        async with home.started(*options, terminal=True) as proxy:
            await proxy.err.shows("stop with Ctrl-C")
            url = re.search(r"http://127\.0\.0\.1:\d+", proxy.err.text)
            assert url is not None
            assert await get(f"{url[0]}/r/a") == 200
            ended = await proxy.stopped(signal.SIGINT)
    assert ended.err.count("stop with Ctrl-C") == 1
    assert ended.code == 0
