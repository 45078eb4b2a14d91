"""Unmodified SDKs with a made-up key get through; without it, nothing of them does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Home, free_port
from proxying import BEGINNING, sidekey

from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

PHANTOM = "phantom-key-of-the-agent"
CLIENTS = f"{BEGINNING}clients: {{keys: {PHANTOM}}}\n"
JQUANTS = """
import json, sys
from jquantsapi import ClientV2

class Local(ClientV2):
    JQUANTS_API_BASE = sys.argv[1]

print(json.dumps(Local(api_key=sys.argv[2]).get_eq_master(code="86970")["Code"][0]))
"""
MISSKEY = """
import io, json, sys
from misskey import Misskey

client = Misskey(sys.argv[1], i=sys.argv[2])
note = client.notes_create(text="日本語")["createdNote"]
file = client.drive_files_create(io.BytesIO(b"content of a file"), name="a.txt")
print(json.dumps([client.i()["username"], note["text"], file["size"]]))
"""


async def test_the_jquants_client_puts_it_into_its_header(home: Home, tmp_path: Path) -> None:
    pytest.importorskip("jquantsapi", reason="needs the extra `clients`: jquants-api-client")
    sandbox = JQuantsV2()
    async with serve(sandbox.application()) as origin:
        provider = "{keys: demo-api-key}"
        upstream = f"j: {{preset: jquants-v2, base_url: {origin}/v2, provider: {provider}}}"
        async with sidekey(tmp_path, upstream, beginning=CLIENTS) as proxy:
            known = await home.python(JQUANTS, proxy.url("j"), PHANTOM)
            arrived = len(sandbox.requests)
            stranger = await home.python(JQUANTS, proxy.url("j"), "another-made-up-key-1")
    assert json.loads(known.out) == "86970", known.err
    assert "401" in stranger.err
    assert len(sandbox.requests) == arrived
    assert PHANTOM not in str(sandbox.requests)


async def test_misskey_py_puts_it_into_json_and_multipart(home: Home, tmp_path: Path) -> None:
    pytest.importorskip("misskey", reason="needs the extra `clients`: Misskey.py")
    sandbox = MisskeySandbox()
    token = sandbox.issue_token(["read:account", "write:notes", "write:drive"])
    async with serve(sandbox.application()) as origin:
        more = f"port: {free_port()}, provider: {{token: {token}}}"
        upstream = f"m: {{preset: misskey-token, base_url: '{origin}', {more}}}"
        async with sidekey(tmp_path, upstream, beginning=CLIENTS) as proxy:
            known = await home.python(MISSKEY, proxy.url("m"), PHANTOM)
            arrived = len(sandbox.requests)
            stranger = await home.python(MISSKEY, proxy.url("m"), "another-made-up-key-1")
    assert json.loads(known.out) == ["bob", "日本語", 17], known.err
    assert stranger.code != 0
    assert len(sandbox.requests) == arrived
    assert PHANTOM not in str(sandbox.requests)
