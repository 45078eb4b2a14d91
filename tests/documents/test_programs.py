"""The programs and the curl lines of guides and recipes, run against the sandboxes."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from command_line import PATIENCE, Home, free_port
from document_blocks import FILES, Block, blocks_of
from proxying import Sidekey, sidekey

from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

UPSTREAMS = """
jquants: {{preset: jquants-v2, base_url: "{jquants}/v2", provider: {{keys: demo-api-key}}}}
misskey:
  preset: misskey-token
  base_url: "{misskey}"
  port: {port}
  provider: {{token: {token}}}
annealer:
  preset: fujitsu-portal-oauth2
  base_url: "{portal}"
  provider: {{client_id: demo-client, client_secret: demo-client-secret}}
"""
PERMISSIONS = ("read:account", "write:notes", "write:drive")
PYTHON = blocks_of(*FILES, language="python")
BOT = next(block for block in PYTHON if block.file.name == "misskey-bot.md")
CURL = [
    block
    for block in blocks_of(*FILES, language="sh")
    if block.file.parent.name in ("guides", "recipes") and "curl" in block.text
]
COMES_LATER = "--unix-socket"  # tests/cli/test_cli_run.py has one
PROGRAMS = ("curl ", "echo ")


@dataclass(frozen=True)
class World:
    """A proxy with the upstreams of the documents."""

    proxy: Sidekey
    misskey: MisskeySandbox

    def text(self, text: str) -> str:
        """A text of the documents with this proxy's addresses."""
        own = self.proxy.url("misskey").rpartition(":")[2]
        return text.replace("127.0.0.1:8081", f"127.0.0.1:{own}").replace(
            ":8080", f":{self.proxy.port}"
        )


@pytest.fixture
async def world(home: Home) -> AsyncIterator[World]:
    misskey = MisskeySandbox()
    async with (
        serve(JQuantsV2().application()) as jquants,
        serve(misskey.application()) as misskey_origin,
        serve(Portal().application()) as portal,
        sidekey(
            home.folder,
            UPSTREAMS.format(
                jquants=jquants,
                misskey=misskey_origin,
                portal=portal,
                port=free_port(),
                token=misskey.issue_token(PERMISSIONS),
            ),
        ) as proxy,
    ):
        yield World(proxy, misskey)


def missing_packages(code: str) -> list[str]:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(code))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    return [name for name in imported if importlib.util.find_spec(name) is None]


@pytest.mark.parametrize(
    "block", [block for block in PYTHON if block != BOT], ids=lambda block: str(block.place)
)
async def test_a_program_of_the_documents_runs(block: Block, home: Home, world: World) -> None:
    if missing := missing_packages(block.text):
        pytest.skip(f"needs {', '.join(missing)}")
    ended = await home.python(world.text(block.text))
    assert ended.code == 0, ended.err
    assert ended.out or "print(" not in block.text


async def test_the_bot_answers_a_note_that_it_reads_in_the_stream(home: Home, world: World) -> None:
    path = home.work / "bot.py"
    path.write_text(world.text(BOT.text))
    home.program = [str(path)]
    ask = f'curl -sS --json \'{{"text": "!dice"}}\' {world.proxy.url("misskey")}/api/notes/create'
    async with home.started() as bot, asyncio.timeout(PATIENCE):
        await bot.out.shows("listening")
        while not any("You have thrown a " in str(seen) for seen in world.misskey.requests):
            await home.shell(ask)
    assert "Bearer" not in BOT.text


@pytest.mark.parametrize("block", CURL, ids=lambda block: str(block.place))
async def test_the_curl_lines_of_a_document_work(block: Block, home: Home, world: World) -> None:
    lines = [
        line for line in block.commands if line.startswith(PROGRAMS) and COMES_LATER not in line
    ]
    assert lines
    for line in lines:
        is_meant_to_fail = "/nowhere/" in line
        fails = "" if is_meant_to_fail or not line.startswith("curl") else " -sS --fail-with-body"
        ended = await home.shell(world.text(line) + fails)
        assert ended.code == 0, f"{line}: {ended.said}"
        assert ("unknown-upstream" in ended.out) == is_meant_to_fail


def test_lines_that_are_run_call_the_addresses_that_are_replaced() -> None:
    """Others would reach whatever listens there."""
    for block in [*CURL, *PYTHON]:
        assert set(re.findall(r"(?:127\.0\.0\.1|localhost):(\d+)", block.text)) <= {"8080", "8081"}
