"""`sidekey run`: where it listens, what it says, how it stops."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import stat
from datetime import timedelta

import pytest
from command_line import PATIENCE, Home, free_port
from raw_upstream import answering

from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.serving import serve

KEY = """\
listen: {{port: 8080}}
upstreams:
  jquants:
    preset: jquants-v2
    base_url: {origin}/v2
    provider: {{keys: demo-api-key}}
  other: {{preset: misskey, base_url: "{origin}"}}
"""
NOWHERE = """\
{beginning}
upstreams:
  api: {{base_url: "http://127.0.0.1:9", provider: {{type: api_key, keys: made-up}}}}
"""


async def test_the_banner_names_each_upstream_and_its_curl_line_works(home: Home) -> None:
    sandbox = JQuantsV2()
    async with serve(sandbox.application()) as origin:
        home.configure(KEY.format(origin=origin))
        async with home.started("run", "--port", "0", terminal=True, NO_COLOR="1") as proxy:
            await proxy.err.shows("stop with Ctrl-C")
            banner = proxy.err.text
            served = rf"http://127\.0\.0\.1:\d+/{{}}/ +-> +{origin}"
            await proxy.err.shows(served.format("jquants") + r"/v2\s+has a key\r?$")
            await proxy.err.shows(served.format("other") + r"\s+first: sidekey login other\r?$")
            await proxy.err.shows(r"dashboard: +http://127\.0\.0\.1:\d+/_sidekey/\r?$")
            line = (await proxy.err.shows(r"try: +(curl .+/jquants/.+?)\r?$"))[1]
            answer = await home.shell(line)
            ended = await proxy.stopped(signal.SIGINT)
    assert answer.out.startswith("HTTP/1.1 200")
    assert '"86970"' in answer.out
    assert sandbox.requests[0].header("x-api-key") == ["demo-api-key"]
    assert "\x1b" not in banner
    assert "listening" not in banner
    assert "Traceback" not in ended.err
    assert (ended.code, ended.out) == (0, "")


@pytest.mark.parametrize(
    ("clients", "shown"),
    [
        ('{keys: "${WHO}"}', '"Authorization: Bearer $WHO"'),
        ('{keys: ["${WHO:?is missing}", another-client-key]}', '"Authorization: Bearer $WHO"'),
        ('{header: {value: "${WHO}"}}', '"Sidekey-Client: $WHO"'),
        ("{keys: a-made-up-client-key}", "'Authorization: Bearer <clients.keys>'"),
        ("{header: {value: a-made-up-client-key}}", "'Sidekey-Client: <clients.header.value>'"),
        ('{header: {value: "a-${MADE}-client-key"}}', "'Sidekey-Client: <clients.header.value>'"),
        ('{header: {value: "${NO:-a-made-up-client-key}"}}', "<clients.header.value>"),
    ],
)
async def test_the_curl_line_has_a_place_for_what_clients_show(
    home: Home, clients: str, shown: str
) -> None:
    """A variable of the configuration, which the shell has, or else what nobody takes for one."""
    home.environ |= {"WHO": "a-made-up-client-key", "MADE": "made-up"}
    sandbox = JQuantsV2()
    async with serve(sandbox.application()) as origin:
        home.configure(f"clients: {clients}\n{KEY.format(origin=origin)}")
        async with home.started("run", "--port", "0", terminal=True, NO_COLOR="1") as proxy:
            line = (await proxy.err.shows(r"try: +(curl .+?)\r?$"))[1]
            answer = await home.shell(re.sub("<.+?>", "a-made-up-client-key", line))
    assert shown in line
    assert "a-made-up" not in line
    assert sandbox.requests[0].header("x-api-key") == ["demo-api-key"], answer.out


async def test_on_a_terminal_the_log_is_coloured_unless_no_color_is_set(home: Home) -> None:
    home.configure(NOWHERE.format(beginning=""))
    async with home.started("run", "--port", "0", terminal=True) as proxy:
        await proxy.err.shows("stop with Ctrl-C")
        assert "\x1b[" in (await proxy.stopped()).err


async def test_without_a_terminal_one_json_event_tells_addresses_and_upstreams(home: Home) -> None:
    home.configure(NOWHERE.format(beginning=""))
    async with home.serving() as proxy:
        told = await proxy.event("listening")
        ended = await proxy.stopped()
    assert told["upstreams"] == ["api"]
    assert urlport(told["addresses"][0]) > 0
    events = [json.loads(line)["event"] for line in ended.err.splitlines() if line[0] == "{"]
    assert events.count("listening") == 1
    assert events[-1] == "stopped"
    assert (ended.code, ended.out) == (0, "")


def urlport(address: str) -> int:
    return int(address.rpartition(":")[2])


async def test_options_win_over_the_environment_and_that_over_the_file(home: Home) -> None:
    in_file, in_environment, given = free_port(), free_port(), free_port()
    home.configure(NOWHERE.format(beginning=f"listen: {{port: {in_file}}}"))
    for arguments, environ, expected in (
        ((), {}, in_file),
        ((), {"SIDEKEY_PORT": str(in_environment)}, in_environment),
        (("--port", str(given)), {"SIDEKEY_PORT": str(in_environment)}, given),
    ):
        async with home.started("run", *arguments, **environ) as proxy:
            assert urlport(await proxy.address()) == expected


async def test_a_port_that_is_given_wins_over_a_socket_in_the_file(home: Home) -> None:
    home.configure(NOWHERE.format(beginning="listen: {unix_socket: proxy.sock}"))
    async with home.started("run", "--port", "0") as proxy:
        assert (await proxy.address()).startswith("http://127.0.0.1:")


async def test_a_port_and_a_socket_at_once_are_refused(home: Home) -> None:
    home.configure(NOWHERE.format(beginning=""))
    ended = await home.run("run", "--port", "0", "--unix-socket", "proxy.sock")
    assert ended.code == 2
    assert "--unix-socket" in ended.err
    assert "Traceback" not in ended.err


async def test_a_unix_socket_is_private_and_curl_reaches_upstreams_through_it(home: Home) -> None:
    path = home.work / "a socket.sock"
    async with serve(JQuantsV2().application()) as origin:
        home.configure(KEY.format(origin=origin))
        async with home.serving("--unix-socket", str(path)) as proxy:
            assert await proxy.address() == f"unix:{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            url = "http://localhost/jquants/equities/master?code=86970"
            answer = await home.shell(f"curl -s --unix-socket '{path}' '{url}'")
            health, status = await home.run_all(
                ("health",), ("status", "--json"), SIDEKEY_UNIX_SOCKET=str(path)
            )
            await proxy.stopped()
    assert json.loads(answer.out)["data"][0]["Code"] == "86970"
    assert (health.code, health.out) == (0, "ok\n")
    assert json.loads(status.out)["upstreams"][0]["state"] == "ready"
    assert not path.exists()


async def test_the_curl_line_for_a_unix_socket_works_too(home: Home) -> None:
    path = home.work / "a socket.sock"
    async with serve(JQuantsV2().application()) as origin:
        home.configure(KEY.format(origin=origin))
        async with home.started("run", "--unix-socket", str(path), terminal=True) as proxy:
            line = (await proxy.err.shows(r"try: +(curl .+?)\r?$"))[1]
            answer = await home.shell(line)
    assert answer.out.startswith("HTTP/1.1 200"), answer


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_request_under_way_is_finished_and_logged_before_the_proxy_stops(
    home: Home, by: signal.Signals, workers: str
) -> None:
    sandbox = JQuantsV2()
    sandbox.faults.delay = timedelta(seconds=0.5)
    async with serve(sandbox.application()) as origin:
        home.configure(KEY.format(origin=origin))
        async with (
            home.serving("--workers", workers) as proxy,
            asyncio.timeout(PATIENCE),
            asyncio.TaskGroup() as group,
        ):
            url = f"{await proxy.address()}/jquants/equities/master?code=86970"
            asking = group.create_task(home.shell(f"curl -s '{url}'"))
            while not sandbox.requests:  # noqa: ASYNC110  the sandbox has no Event
                await asyncio.sleep(0.01)
            ended = await proxy.stopped(by)
    assert ended.code == 0
    assert json.loads(asking.result().out)["data"][0]["Code"] == "86970"
    assert ended.err.count('"event": "request.forwarded"') == 1


@pytest.mark.parametrize("options", [(), ("--no-fast-lane",)])
async def test_requests_over_one_connection_are_answered_and_logged_in_either_lane(
    home: Home, options: tuple[str, ...]
) -> None:
    async with answering() as upstream:
        provider = "{type: api_key, keys: made-up}"
        home.configure(
            f"upstreams: {{r: {{base_url: '{upstream.origin}', provider: {provider}}}}}\n"
        )
        async with home.serving(*options) as proxy:
            address = await proxy.address()
            urls = " ".join(f"{address}/r/{number}" for number in range(5))
            assert (await home.shell(f"curl -s {urls}")).out == "ok" * 5
            ended = await proxy.stopped()
    lines = [json.loads(line) for line in ended.err.splitlines() if line[0] == "{"]
    paths = [line["path"] for line in lines if line["event"] == "request.forwarded"]
    assert paths == [f"/r/{number}" for number in range(5)]


async def test_a_configuration_error_stops_the_start(home: Home) -> None:
    path = home.configure("upstreams: {api: {base_url: 'http://127.0.0.1:9'}}")
    ended = await home.run("run")
    assert ended.code == 2
    assert str(path) in ended.err
    assert "Traceback" not in ended.err
