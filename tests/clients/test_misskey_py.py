"""Misskey.py, unmodified. It drops path prefixes, so it gets a port of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Home, free_port
from proxying import sidekey

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

pytest.importorskip("misskey", reason="needs the extra `clients`: Misskey.py")

NOTES_AND_DRIVE = """
import io, json, sys
from misskey import Misskey

for given in ({}, {"i": "dummy"}):
    client = Misskey(sys.argv[1], **given)
    note = client.notes_create(text="日本語 and 絵文字 🎉")["createdNote"]
    file = client.drive_files_create(io.BytesIO(b"content of a file"), name="a.txt")
    print(json.dumps([client.i()["username"], note["text"], file["name"], file["size"]]))
"""
MIAUTH = """
import json, sys
from misskey import MiAuth, Misskey

login = MiAuth(sys.argv[1], session_id=sys.argv[2], name="a client", permission=["read:account"])
token = login.check()
print(json.dumps([token, Misskey(sys.argv[1], i=token).i()["username"], login.generate_url()]))
"""
SESSION = "859b06af-c284-4096-a6d9-a20f9564f7fe"


def upstream(origin: str, port: int, token: str) -> str:
    return f"""
m:
  preset: misskey-token
  base_url: {origin}
  port: {port}
  provider: {{token: {token}}}
"""


async def test_notes_account_and_drive_upload_work_without_and_with_a_made_up_token(
    home: Home, tmp_path: Path
) -> None:
    sandbox = MisskeySandbox()
    token = sandbox.issue_token(["read:account", "write:notes", "write:drive"])
    async with (
        serve(sandbox.application()) as origin,
        sidekey(tmp_path, upstream(origin, free_port(), token)) as proxy,
    ):
        ended = await home.python(NOTES_AND_DRIVE, proxy.url("m"))
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert rows == [["bob", "日本語 and 絵文字 🎉", "a.txt", 17]] * 2
    assert "dummy" not in str(sandbox.requests)


async def test_miauth_through_the_proxy_gets_a_placeholder_that_works_there(
    home: Home, tmp_path: Path
) -> None:
    sandbox = MisskeySandbox()
    token = sandbox.issue_token(["read:account"])
    async with (
        serve(sandbox.application()) as origin,
        sidekey(tmp_path, upstream(origin, free_port(), token)) as proxy,
    ):
        through = await home.python(MIAUTH, proxy.url("m"), SESSION)
        assert sandbox.calls[f"/api/miauth/{SESSION}/check"] == 0
        issued = sandbox.approve_miauth(SESSION)
        directly = await home.python(MIAUTH, origin, SESSION)
    assert through.code == directly.code == 0, through.err + directly.err
    assert json.loads(through.out)[:2] == ["sidekey-placeholder", "bob"]
    assert json.loads(directly.out)[:2] == [issued, "bob"]
