"""The vendor's own Python client, jquants-api-client, unmodified but for its base URL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Home
from proxying import sidekey

from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.serving import serve

pytest.importorskip("jquantsapi", reason="needs the extra `clients`: jquants-api-client")

V1 = """
import json, sys
from jquantsapi import Client

class Local(Client):
    JQUANTS_API_BASE = sys.argv[1]

for given in ({"refresh_token": "dummy"}, {"mail_address": "a@example.com", "password": "dummy"}):
    client = Local(**given)
    info = client.get_listed_info(code="86970")
    quotes = client.get_prices_daily_quotes(date_yyyymmdd="20250602")
    print(json.dumps([client.get_id_token(), info["Code"][0], len(quotes)]))
"""
V2 = """
import json, sys
from jquantsapi import ClientV2

class Local(ClientV2):
    JQUANTS_API_BASE = sys.argv[1]

client = Local(api_key="dummy")
master = client.get_eq_master(code="86970")
bars = client.get_eq_bars_daily(date_yyyymmdd="20250602")
client.download_bulk(sys.argv[2], "bars.csv.gz")
print(json.dumps([master["Code"][0], len(bars)]))
"""


async def test_the_v1_client_logs_in_at_the_stub_and_gets_data_through_the_real_token(
    home: Home, tmp_path: Path
) -> None:
    """Surprise 9; and surprise 8: its placeholder is replaced."""
    sandbox = JQuantsV1()
    async with serve(sandbox.application()) as origin:
        upstream = f"""
            preset: jquants-v1
            base_url: {origin}/v1
            provider: {{mailaddress: demo@example.com, password: demo-password}}"""
        async with sidekey(tmp_path, f"jquants:{upstream}") as proxy:
            ended = await home.python(V1, proxy.url("jquants"))
    assert ended.code == 0, ended.err
    for line in ended.out.splitlines():
        token, code, rows = json.loads(line)
        assert (token, code) == ("sidekey-placeholder", "86970")
        assert rows > 0
    assert len(ended.out.splitlines()) == 2
    assert sandbox.calls["/v1/token/auth_user"] == sandbox.calls["/v1/token/auth_refresh"] == 1
    arrived = str(sandbox.requests)
    assert "placeholder" not in arrived
    assert "dummy" not in arrived


async def test_the_v2_client_gets_data_and_a_download_with_a_made_up_key(
    home: Home, tmp_path: Path
) -> None:
    """Surprise 19: the download's URL leads to another host, which gets no credential."""
    sandbox = JQuantsV2()
    async with serve(sandbox.application()) as origin:
        upstream = f"""
            preset: jquants-v2
            base_url: {origin}/v2
            provider: {{keys: demo-api-key}}"""
        async with sidekey(tmp_path, f"jquants:{upstream}") as proxy:
            ended = await home.python(V2, proxy.url("jquants"), "equities_bars_daily_202506.csv.gz")
    assert ended.code == 0, ended.err
    code, rows = json.loads(ended.out)
    assert code == "86970"
    assert rows > 0
    assert (home.work / "bars.csv.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert not sandbox.key_reached_storage
    assert "dummy" not in str(sandbox.requests)
