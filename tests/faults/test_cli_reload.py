"""`sidekey run` and a configuration that changes, by signal and by itself."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import termios
import time

import pytest
from command_line import PATIENCE, Ended, Home
from issuing import Issuer
from raw_upstream import answering

TOKENS = """\
store: {{type: file}}
upstreams:
  a: {{base_url: "{origin}/a", provider: &tokens {{type: oauth2_client_credentials,
      token_url: "{origin}/oauth/token", client_id: a, client_secret: "${{SECRET}}"}}}}
  b: {{base_url: "{origin}/b", provider: {{type: oauth2_client_credentials,
      token_url: "{origin}/oauth/token", client_id: b, client_secret: "{secret}"}}}}
"""
SECRET = "canary-in-the-environment"
NOWHERE = """\
upstreams:
  api: {base_url: "http://127.0.0.1:9", provider: {type: api_key, keys: made-up}}
"""


async def get(home: Home, url: str) -> Ended:
    return await home.shell(f"curl -sf '{url}'")


@pytest.mark.case("O03", "O04", "O05")
async def test_sighup_takes_over_what_is_good_and_keeps_the_old_where_it_is_not(
    home: Home,
) -> None:
    """Tokens stay, one changed secret costs one token; variables are still at hand."""
    issuer = Issuer()
    async with answering(issuer) as upstream:
        text = TOKENS.format(origin=upstream.origin, secret="made-up-1")
        home.configure(text)
        async with home.serving(SECRET=SECRET) as proxy:
            address = await proxy.address()
            for name in "ab":
                assert (await get(home, f"{address}/{name}/x")).out == "ok"
            assert issuer.issued == 2

            for wrong in (text[:150], text.replace("client_id: b", "client: b")):
                home.configure(wrong)
                refusals = proxy.err.text.count("config.refused")
                proxy.process.send_signal(signal.SIGHUP)
                await proxy.err.shows(rf"(?s)(config\.refused.*){{{refusals + 1}}}")
                assert (await get(home, f"{address}/b/x")).out == "ok"
            assert issuer.issued == 2

            home.configure(TOKENS.format(origin=upstream.origin, secret="made-up-2"))
            proxy.process.send_signal(signal.SIGHUP)
            told = await proxy.event("config.reloaded")
            assert told["changed"] == ["b"]
            for name in "ab":
                assert (await get(home, f"{address}/{name}/x")).out == "ok"
            assert issuer.issued == 3
            ended = await proxy.stopped()
    assert ended.code == 0
    assert SECRET not in ended.said
    refused = [line for line in ended.err.splitlines() if '"config.refused"' in line]
    assert all("sidekey.yaml:" in json.loads(line)["issues"][0] for line in refused)


@pytest.mark.case("O03")
async def test_a_change_of_the_file_is_noticed_without_a_signal(home: Home) -> None:
    home.configure(NOWHERE)
    async with home.serving() as proxy:
        home.configure(NOWHERE.replace("api:", "other:"))
        told = await proxy.event("config.reloaded")
        assert (told["added"], told["removed"]) == (["other"], ["api"])
        status = await get(home, f"{await proxy.address()}/_sidekey/status")
    assert [entry["upstream"] for entry in json.loads(status.out)["upstreams"]] == ["other"]


async def test_a_program_that_hangs_at_a_reload_holds_up_neither_requests_nor_the_end(
    home: Home,
) -> None:
    async with answering() as upstream:
        text = NOWHERE.replace("http://127.0.0.1:9", upstream.origin)
        home.configure(text.replace("made-up", "\"${exec:sh -c '. ./script'}\""))
        script = home.work / "script"
        script.write_text("echo made-up")
        async with home.serving("--config", "sidekey.yaml") as proxy:
            script.write_text("echo $$ > started; sleep 60")
            proxy.process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(PATIENCE):
                while not (home.work / "started").exists():  # noqa: ASYNC110  another process
                    await asyncio.sleep(0.01)
            assert (await get(home, f"{await proxy.address()}/api/x")).out == "ok"
            ended = await proxy.stopped()
        group = int((home.work / "started").read_text())
        with pytest.raises(ProcessLookupError):
            await asyncio.to_thread(_wait_while_there, group)
    assert ended.code == 0
    assert "Traceback" not in ended.err


def _wait_while_there(group: int) -> None:
    """Raise `ProcessLookupError` as soon as the group has no process any more."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        os.killpg(group, 0)
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="TIOCSCTTY is called otherwise elsewhere")
async def test_a_proxy_whose_terminal_is_closed_stops(home: Home) -> None:
    home.configure(NOWHERE)
    master, slave = os.openpty()

    def take_the_terminal() -> None:
        os.setsid()
        fcntl.ioctl(2, termios.TIOCSCTTY, 0)

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "run", "--port", "0"),
        cwd=home.work,
        env=home.environ,
        stdin=slave,
        stdout=asyncio.subprocess.PIPE,
        stderr=slave,
        preexec_fn=take_the_terminal,
    )
    os.close(slave)
    try:
        async with asyncio.timeout(PATIENCE):
            said = b""
            while b"stop with Ctrl-C" not in said:
                said += await asyncio.to_thread(os.read, master, 4096)
            os.close(master)
            code = await process.wait()
        assert code in (0, 120), "120: Python could not write its last words there"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
