"""What other processes of the same user can learn of a running proxy: its secrets they cannot."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from command_line import Home, Output, Started

CONFIG = """\
listen: {port: 0}
store: {type: memory}
upstreams:
  api: {base_url: "http://127.0.0.1:9", provider: {type: api_key, keys: "${CANARY_KEY}"}}
  helped: {base_url: "http://127.0.0.1:9", provider: {type: api_key, keys: "${exec:HELPER}"}}
"""
NAMED = ("--config", "sidekey.yaml")  # so that it may run a program
# Root may read everything, so both sides are started without root's capabilities.
PLAIN = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
READ = """
import sys
for name in ("environ", "mem"):
    try:
        open(f"/proc/{sys.argv[1]}/{name}", "rb").close()
        print(name, "opened")
    except PermissionError:
        print(name, "refused")
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="this is about /proc")


@asynccontextmanager
async def plain(home: Home, *argv: str, **environ: str) -> AsyncIterator[Started]:
    """Start a program as the user of the tests, without capabilities."""
    process = await asyncio.create_subprocess_exec(
        *PLAIN,
        *argv,
        cwd=home.work,
        env=home.environ | environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    started = Started(process, Output(process.stdout), Output(process.stderr))
    try:
        yield started
    finally:
        if process.returncode is None:
            process.kill()
        await started.ended()


async def readable(home: Home, pid: int) -> list[str]:
    async with plain(home, sys.executable, "-c", READ, str(pid)) as reader:
        ended = await reader.ended()
    assert ended.code == 0, ended.err
    return ended.out.splitlines()


@linux
@pytest.mark.case("K04", "K10")
async def test_no_process_of_the_same_user_reads_memory_or_environment(home: Home) -> None:
    home.configure(CONFIG.replace("HELPER", "echo made-up"))
    run = (sys.executable, "-m", "proxy", "run", *NAMED)
    async with (
        plain(home, *run, CANARY_KEY="canary-key") as proxy,
        plain(home, "sleep", "60") as other,
    ):
        await proxy.address()
        assert (await readable(home, other.process.pid))[0] == "environ opened", (
            "a test that can fail"
        )
        assert await readable(home, proxy.process.pid) == ["environ refused", "mem refused"]


@linux
@pytest.mark.case("K10")
async def test_a_proxy_that_aborts_leaves_no_core(home: Home) -> None:
    home.configure(CONFIG.replace("HELPER", "echo made-up"))
    async with home.serving(*NAMED, CANARY_KEY="canary-key") as proxy:
        limits = proxy.limits
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


@pytest.mark.case("K04", "K07")
async def test_no_program_inherits_the_variables_of_the_configuration(home: Home) -> None:
    """Neither one that gives a secret, nor one that anything else in the process starts."""
    home.configure(CONFIG.replace("HELPER", "sh -c 'env > environ; echo made-up'"))
    async with home.serving(*NAMED, CANARY_KEY="canary-key"):
        given = (home.work / "environ").read_text()
    assert f"HOME={home.folder}" in given
    assert "CANARY_KEY" not in given
    ended = await home.python(
        """
import os, subprocess, sys
from typer.testing import CliRunner
from proxy.cli.commands import app
from proxy.cli.serving import Serving
def serve(*_, **__):
    print(subprocess.run(["env"], capture_output=True, text=True).stdout)
    async def nothing(): pass
    return nothing()
Serving.run = serve
os.environ["CANARY_KEY"] = "canary-key"
app(["run", "--config", "sidekey.yaml", "--port", "0"])
"""
    )
    assert f"HOME={home.folder}" in ended.out, ended.err
    assert "CANARY_KEY" not in ended.out


@pytest.mark.case("K04")
async def test_no_secret_stands_on_the_command_line(home: Home) -> None:
    home.configure(CONFIG.replace("HELPER", "echo made-up"))
    async with home.serving(*NAMED, CANARY_KEY="canary-key") as proxy:
        assert "canary-key" not in proxy.argv


@linux
@pytest.mark.case("K10")
async def test_a_configuration_from_a_pipe_can_still_be_read(home: Home) -> None:
    text = CONFIG.replace("${exec:HELPER}", "made-up").replace("${CANARY_KEY}", "made-up")
    home.configure(text)
    command = f"{sys.executable} -m proxy check --config <(cat sidekey.yaml)"
    async with plain(home, "bash", "-c", command) as check:
        ended = await check.ended()
    assert ended.code == 0, ended.err
