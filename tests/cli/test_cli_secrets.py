"""A canary sweep: no secret in what commands print or log, in argv, or in a file as plain text."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from command_line import Home, Started
from typer.testing import CliRunner

from proxy.cli.commands import COMMANDS, app
from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

CONFIG = """\
listen: {{port: 0}}
store: {{key: "${{STORE_KEY}}"}}
upstreams:
  jquants:
    preset: jquants-v1
    base_url: {jquants}/v1
    provider: {{mailaddress: "${{MAILADDRESS}}", password: "${{PASSWORD}}"}}
  portal:
    preset: fujitsu-portal-legacy
    base_url: {portal}
    provider: {{client_id: demo-client, client_secret: "${{CLIENT_SECRET}}"}}
  keys:
    preset: fujitsu-portal-key
    base_url: {portal}
    provider: {{keys: ["${{PRIMARY}}", "${{SECONDARY}}"]}}
  misskey: {{preset: misskey, base_url: "{misskey}"}}
  app: {{preset: misskey-app, base_url: "{misskey}", provider: {{app_secret: "${{APP_SECRET}}"}}}}
  wrong:
    preset: fujitsu-portal-oauth2
    base_url: {portal}
    provider: {{client_id: demo-client, client_secret: "${{WRONG}}"}}
  down: {{base_url: "http://127.0.0.1:9", provider: {{type: api_key, keys: "${{WRONG}}"}}}}
"""
REQUESTS = (
    "jquants/listed/info?code=86970",
    "jquants/no/such/path",
    "portal/da/v3/async/jobs",
    "keys/da/v3/async/jobs",
    "wrong/da/v3/async/jobs",
    "down/anything",
    "misskey/api/emojis",
    "nothing/here",
    "_sidekey/status",
    "_sidekey/readyz",
)


def canary() -> str:
    return f"canary-{secrets.token_hex(16)}"


@dataclass
class Swept:
    """Everything that was said, and every secret that must not be in it."""

    home: Home
    misskey: MisskeySandbox
    canaries: dict[str, str]


@pytest.fixture
async def swept(home: Home) -> AsyncIterator[Swept]:
    names = ("MAILADDRESS", "PASSWORD", "CLIENT_SECRET", "PRIMARY", "SECONDARY", "WRONG")
    canaries = {name: canary() for name in (*names, "STORE_KEY")}
    jquants = JQuantsV1(canaries["MAILADDRESS"], canaries["PASSWORD"])
    portal = Portal(
        primary=canary(),  # so that the configured one is rejected
        secondary=canaries["SECONDARY"],
        client_secret=canaries["CLIENT_SECRET"],
    )
    misskey = MisskeySandbox()
    canaries["APP_SECRET"] = misskey.app_secret
    home.environ |= canaries
    async with AsyncExitStack() as stack:
        origins = {
            name: await stack.enter_async_context(serve(sandbox.application()))
            for name, sandbox in (("jquants", jquants), ("portal", portal), ("misskey", misskey))
        }
        home.configure(CONFIG.format(**origins))
        yield Swept(home, misskey, canaries)


async def signed_in(swept: Swept, name: str) -> str:
    """Sign in to `name`; return what the command said."""
    async with swept.home.started("login", name, "--no-browser") as login:
        session = (await login.err.shows(r"/(?:mi)?auth/([0-9a-f-]{36})"))[1]
        argv = login.argv
        if name == "app":
            swept.misskey.approve_session(session)
        else:
            swept.misskey.approve_miauth(session)
        return argv + (await login.ended()).said


async def asked(home: Home, proxy: Started) -> str:
    address = await proxy.address()
    lines = [f"curl -s -i '{address}/{path}'" for path in REQUESTS]
    posts = [f"curl -s -i -X POST '{address}/{name}/api/i?i=x'" for name in ("misskey", "app")]
    return (await home.shell("; ".join(lines + posts))).out


async def test_no_secret_is_said_logged_shown_or_kept_in_plain_text(swept: Swept) -> None:
    home = swept.home
    said = [*await asyncio.gather(*(signed_in(swept, name) for name in ("misskey", "app")))]
    async with home.serving() as proxy:
        answers = await asked(home, proxy)
        said += [answers, proxy.argv, (await proxy.stopped()).said]
    assert "HTTP/1.1 200" in answers
    assert "HTTP/1.1 502" in answers
    commands = (("check", "--online"), ("status",), ("status", "--json"), ("login", "keys"))
    said += [ended.said for ended in await home.run_all(*commands)]
    names = ("jquants", "portal", "misskey", "app")
    tokens = await home.run_all(*(("token", name) for name in names))
    assert [ended.code for ended in tokens] == [0] * len(names)
    found = [file.read_bytes() for file in home.state.rglob("*") if file.is_file()]
    assert len([*home.state.glob("*.token")]) == 4

    for secret in [*swept.canaries.values(), *(ended.out.strip() for ended in tokens)]:
        assert not any(secret in text for text in said)
        assert not any(secret.encode() in content for content in found)


def test_no_option_takes_a_secret() -> None:
    helps = [CliRunner().invoke(app, [command, "--help"]).output for command in COMMANDS]
    options = {name for text in helps for name in re.findall(r"--[a-z-]+", text)}
    assert {"--config", "--port", "--no-browser"} <= options
    assert not [name for name in options if re.search("password|secret|token|key", name)]


MISTAKEN = """
import sys
from proxy import cli
from proxy.cli import commands

def app(**names):
    raise RuntimeError("a text with canary-in-a-mistake in it")

commands.app = app
cli.main()
"""


async def test_a_mistake_of_ours_is_told_without_its_text(home: Home) -> None:
    """An error's text may hold anything; where it happened helps, and local variables never do."""
    ended = await home.python(MISTAKEN)
    assert ended.code == 1
    assert "internal error: RuntimeError" in ended.err
    assert "in app" in ended.err
    assert "canary" not in ended.said
