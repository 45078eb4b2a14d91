"""`status`, `token` and `health`, and what is kept between two runs."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from command_line import Home, Started, free_port
from issuing import REJECTION
from raw_upstream import answering
from token_server import token_server

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

PORTAL = """\
listen: {{port: {port}}}
upstreams:
  portal:
    preset: {preset}
    base_url: {origin}
    provider: {{client_id: demo-client, client_secret: "${{CLIENT_SECRET}}"}}
"""
JOBS = "/portal/da/v3/async/jobs"


@asynccontextmanager
async def portal_of(home: Home, preset: str = "fujitsu-portal-legacy") -> AsyncIterator[Portal]:
    portal = Portal()
    home.environ["CLIENT_SECRET"] = "demo-client-secret"
    async with serve(portal.application()) as origin:
        home.configure(PORTAL.format(port=free_port(), preset=preset, origin=origin))
        yield portal


async def curl(home: Home, proxy: Started, path: str) -> str:
    return (await home.shell(f"curl -sS -i '{await proxy.address()}{path}'")).out


async def test_a_restart_uses_the_stored_token_and_signs_in_no_second_time(home: Home) -> None:
    """Surprise 18: a token is on the disk before it is used for the first time."""
    async with portal_of(home) as portal:
        async with home.serving() as proxy:
            assert (await curl(home, proxy, JOBS)).startswith("HTTP/1.1 200")
            proxy.process.kill()
        token = await home.run("token", "portal")
        async with home.serving() as proxy:
            assert (await curl(home, proxy, JOBS)).startswith("HTTP/1.1 200")
    assert portal.calls["/auth/v1/tokens"] == 1
    assert token.code == 0
    assert portal.requests[-1].header("X-Access-Token") == [token.out.removesuffix("\n")]


async def test_moving_to_oauth2_is_one_word_and_the_old_token_is_replaced(home: Home) -> None:
    async with portal_of(home) as portal:
        old = await home.run("token", "portal")
        [entry] = home.state.glob("*.token")
        before = entry.read_bytes()
        path = home.work / "sidekey.yaml"
        changed = path.read_text().replace("fujitsu-portal-legacy", "fujitsu-portal-oauth2")
        path.write_text(changed)
        async with home.serving() as proxy:
            assert (await curl(home, proxy, JOBS)).startswith("HTTP/1.1 200")
        new = await home.run("token", "portal")
    assert portal.calls["/auth/v1/tokens"] == portal.calls["/auth/v2/tokens"] == 1
    assert old.out != new.out
    assert [*home.state.glob("*.token")] == [entry]
    assert entry.read_bytes() != before


async def test_status_tells_what_the_store_holds_and_what_a_running_proxy_knows(
    home: Home,
) -> None:
    async with portal_of(home) as portal:
        idle = await home.run("status", "--json")
        [row] = json.loads(idle.out)["upstreams"]
        assert row == {"upstream": "portal", "state": "idle", "attempts_left": 3}
        assert idle.code == 0
        assert portal.calls.total() == 0
        async with home.serving("--port", "0") as proxy:
            port = (await proxy.address()).rpartition(":")[2]
            await curl(home, proxy, JOBS)
            commands = ("status", "--json"), ("health",), ("status",)
            running, health, table = await home.run_all(*commands, SIDEKEY_PORT=port)
        stored, stopped, _ = await home.run_all(*commands, SIDEKEY_PORT=port)
    [knows], [holds] = (json.loads(ended.out)["upstreams"] for ended in (running, stored))
    assert knows["next_renewal"] < knows["expires_at"]
    del knows["next_renewal"], holds["next_renewal"]  # each process draws its own
    assert knows == holds
    assert (knows["state"], knows["generation"]) == ("ready", 1)
    assert table.out.splitlines()[1].split()[:3] == ["portal", "ready", "1"]
    assert (health.code, health.out) == (0, "ok\n")
    assert (stopped.code, stopped.out) == (1, "")
    assert "no proxy answers" in stopped.err


async def test_an_upstream_that_waits_for_a_human_makes_status_and_token_exit_4(
    home: Home,
) -> None:
    async with serve(MisskeySandbox().application()) as origin:
        home.configure(f"upstreams: {{m: {{preset: misskey, base_url: '{origin}'}}}}")
        status, token = await home.run_all(("status",), ("token", "m"))
        async with home.serving() as proxy:
            port = (await proxy.address()).rpartition(":")[2]
            running = await home.run("status", "--json", SIDEKEY_PORT=port)
    assert (status.code, running.code, token.code) == (4, 4, 4)
    assert "sidekey login m" in status.out
    assert token.out == ""
    assert "sidekey login m" in token.err
    [row] = json.loads(running.out)["upstreams"]
    assert (row["state"], row["fix"]) == ("login-required", "sidekey login m")


async def test_what_is_no_sidekey_is_not_taken_for_one(home: Home) -> None:
    """Another program at the port may answer 200 to everything."""

    async def anything(_: web.Request) -> web.Response:
        return web.Response(text="<h1>welcome</h1>")

    application = web.Application()
    application.router.add_get("/{path:.*}", anything)
    async with portal_of(home), serve(application) as origin:
        port = origin.rpartition(":")[2]
        status, health = await home.run_all(("status", "--json"), ("health",), SIDEKEY_PORT=port)
    assert (status.code, health.code) == (0, 1)
    assert json.loads(status.out)["upstreams"][0]["state"] == "idle"
    assert "Traceback" not in status.err + health.err


async def test_health_asks_for_the_proxy_that_runs_and_not_for_the_file_on_the_disk(
    home: Home,
) -> None:
    """A mistake in a mounted configuration must not end a container that serves."""
    async with portal_of(home):
        port = free_port()
        listen = f"listen: {{port: {port}}}\n"
        async with home.serving("--port", str(port)):
            for upstreams in ("{new: {provider: {keys: '${UNSET}'}}}", "{r: '${exec:touch ran}'}"):
                home.configure(f"{listen}upstreams: {upstreams}\n")
                assert (await home.run("health")).code == 0
                assert (await home.run("check")).code == 2
            for mistake in ("max_conections: 10", "allowed_hosts: 7"):
                home.configure(f"listen: {{port: {port}, {mistake}}}\nupstreams: {{}}\n")
                assert (await home.run("health")).code == 0
            home.configure("[no yaml")
            assert (await home.run("health", SIDEKEY_PORT=str(port))).code == 0
        assert (await home.run("health", SIDEKEY_PORT=str(port))).code == 1
    assert not (home.work / "ran").exists()


async def test_status_says_whether_a_proxy_or_the_store_has_answered(home: Home) -> None:
    async with portal_of(home):
        alone = await home.run("status")
        async with home.serving() as proxy:
            port = (await proxy.address()).rpartition(":")[2]
            running = await home.run("status", SIDEKEY_PORT=port)
    assert "no proxy answers at 127.0.0.1:" in alone.err
    assert (alone.code, running.code, running.err) == (0, 0, "")


async def test_a_key_is_ready_with_and_without_a_proxy_before_any_request(home: Home) -> None:
    home.configure(
        "upstreams: {a: {base_url: 'http://127.0.0.1:9',"
        ' provider: {type: api_key, keys: "${KEY}"}}}'
    )
    home.environ["KEY"] = "k"
    alone = await home.run("status", "--json")
    async with home.serving("--port", "0") as proxy:
        port = (await proxy.address()).rpartition(":")[2]
        running = await home.run("status", "--json", SIDEKEY_PORT=port)
    assert running.err == "", "it was no proxy that answered"
    assert json.loads(alone.out) == json.loads(running.out)
    assert json.loads(alone.out)["upstreams"] == [{"upstream": "a", "state": "ready"}]


async def test_status_tells_of_a_rejected_key_and_of_the_next_attempt_after_a_refusal(
    home: Home,
) -> None:
    home.environ["KEY"] = "canary-key-of-status"
    async with answering(REJECTION) as api, token_server() as server:
        refused = server.upstreams("refused", password="canary-wrong-password")
        key = f"key: {{base_url: '{api.origin}', provider: {{type: api_key, keys: '${{KEY}}'}}}}"
        home.configure(f"listen: {{port: 0}}\nupstreams:\n  {key}\n  {refused}\n")
        async with home.serving() as proxy:
            port = (await proxy.address()).rpartition(":")[2]
            await asyncio.gather(curl(home, proxy, "/key/a"), curl(home, proxy, "/refused/a"))
            table, told = await home.run_all(("status",), ("status", "--json"), SIDEKEY_PORT=port)
    rejected, blocked = json.loads(told.out)["upstreams"]
    assert (rejected["state"], rejected["problem"]) == ("ready", "credential-rejected")
    assert table.out.splitlines()[1:3] == [
        "key       ready    -           -           -             -",
        "refused   blocked  -           -           -             -",
    ]
    assert f"\nkey: {rejected['error']} (correct upstreams.key.provider)\n" in table.out
    assert re.search(r"^refused: next attempt: \d{4}-\d\d-\d\dT", table.out, re.MULTILINE)
    assert blocked["next_renewal"]
    assert table.code == told.code == 1, "the refused one cannot be used"


async def test_commands_say_that_the_store_cannot_be_used(home: Home) -> None:
    """What they bought would be lost, and nobody would count what was refused."""
    home.state.mkdir(parents=True, mode=0o700)
    (home.state / "key").write_text("no key\n")
    (home.state / "key").chmod(0o600)
    async with portal_of(home) as portal:
        for command in (("check", "--online"), ("token", "portal"), ("refresh", "portal")):
            ended = await home.run(*command)
            assert ended.code == 1
            assert "is no key" in ended.said
        assert not portal.requests


async def test_a_damaged_token_is_told_kept_aside_and_bought_again(home: Home) -> None:
    async with portal_of(home) as portal:
        first = await home.run("token", "portal")
        [entry] = home.state.glob("*.token")
        entry.write_bytes(b"damaged")
        token = await home.run("token", "portal")
        [aside] = home.state.glob("*.corrupt-*")
        assert aside.read_bytes() == b"damaged"
        assert str(aside) in token.err
        assert (token.code, token.out != first.out) == (0, True)
        assert (await home.run("token", "portal")).out == token.out
    assert portal.calls["/auth/v1/tokens"] == 2


async def test_a_stored_token_of_another_key_is_reported_and_left_as_it_is(home: Home) -> None:
    async with portal_of(home) as portal:
        await home.run("token", "portal")
        [entry] = home.state.glob("*.token")
        (home.state / "key").unlink()
        sealed = entry.read_bytes()
        token, status = await home.run_all(("token", "portal"), ("status", "--json"))
        assert entry.read_bytes() == sealed
        forgotten = await home.run("logout", "portal")
        again = await home.run("token", "portal")
    assert (token.code, token.out) == (1, "")
    assert str(entry) in token.err
    assert "sidekey logout portal" in token.err
    assert json.loads(status.out)["upstreams"][0]["state"] == "failed"
    assert status.code == 1
    assert "Traceback" not in token.err + status.err
    assert (forgotten.code, again.code) == (0, 0)
    assert portal.calls["/auth/v1/tokens"] == 2


async def test_refresh_says_which_upstream_was_refused_and_what_to_do(home: Home) -> None:
    async with token_server() as server:
        upstream = server.upstreams("r", password="canary-wrong-password")
        home.configure(f"listen: {{port: 0}}\nupstreams:\n  {upstream}\n")
        ended = await home.run("refresh", "r")
    assert ended.code == 1
    assert "sidekey: r: " in ended.err
    assert "correct upstreams.r.provider" in ended.err


async def test_refresh_renews_at_once_and_a_running_proxy_uses_the_new_token(home: Home) -> None:
    async with portal_of(home) as portal, home.serving("--port", "0") as proxy:
        await curl(home, proxy, JOBS)
        refreshed = await home.run("refresh", "portal")
        token = await home.run("token", "portal")
        async with asyncio.timeout(20):
            while portal.requests[-1].header("X-Access-Token") != [token.out.strip()]:
                assert (await curl(home, proxy, JOBS)).startswith("HTTP/1.1 200")
                await asyncio.sleep(0.2)
    assert (refreshed.code, refreshed.out) == (0, "")
    assert "portal: has a new token until" in refreshed.err
    assert [request.method for request in portal.requests if "tokens" in request.target] == [
        "POST",
        "PATCH",
    ]


REFRESHED = """\
upstreams:
  human: {preset: misskey, base_url: "http://127.0.0.1:9"}
  key: {base_url: "http://127.0.0.1:9", provider: {type: api_key, keys: "${CLIENT_SECRET}"}}
"""


@pytest.mark.parametrize(
    ("beginning", "name", "code", "said"),
    [
        ("", "human", 4, "sidekey login human"),
        ("", "key", 2, "its keys stand in the configuration"),
        ("store: {type: memory}\n", "human", 2, "a running proxy would not notice"),
        ("", "nobody", 2, "nobody"),
    ],
)
async def test_refresh_says_what_it_cannot_renew(
    home: Home, beginning: str, name: str, code: int, said: str
) -> None:
    home.configure(beginning + REFRESHED)
    ended = await home.run("refresh", name, CLIENT_SECRET="made-up")
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", [("run", "--port", "0"), ("status",)])
async def test_a_key_that_others_can_read_is_refused(home: Home, command: tuple[str, ...]) -> None:
    async with portal_of(home) as portal:
        home.state.mkdir(parents=True, mode=0o700)
        key = home.state / "key"
        key.write_text("ab" * 32 + "\n")
        key.chmod(0o644)
        ended = await home.run(*command)
    assert ended.code == 1
    assert str(key) in ended.said
    assert "Traceback" not in ended.err
    assert stat.S_IMODE(key.stat().st_mode) == 0o644
    assert portal.calls.total() == 0


async def test_the_status_of_a_proxy_with_another_configuration_is_not_ours(home: Home) -> None:
    async with portal_of(home), home.serving() as proxy:
        port = (await proxy.address()).rpartition(":")[2]
        other = home.work / "other.yaml"
        other.write_text("upstreams: {m: {preset: misskey, base_url: https://misskey.example}}")
        ended = await home.run("status", "--config", str(other), SIDEKEY_PORT=port)
    assert ended.code == 4
    assert "serves another configuration" in ended.err
    assert "sidekey login m" in ended.out
    assert "portal" not in ended.out
