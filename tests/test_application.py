"""What the application does when it starts, besides serving."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest
from proxying import BEGINNING, sidekey

from proxy.credentials.stores.file import FileStore
from proxy.errors import ListenError
from proxy.events import TokenFailed
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

NOWHERE = """
api:
  base_url: http://127.0.0.1:9
  provider: {type: api_key, keys: "${KEY}"}
"""
BEYOND_LOOPBACK = """
listen: {host: '::', port: 0}
clients: {keys: a-made-up-client-key}
store: {type: memory}
"""
ENVIRON = {"KEY": "made-up", "SECRET": "demo-client-secret"}


async def test_an_entry_of_another_version_stops_its_own_upstream_only(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    entry = tmp_path / "state" / "broken.token"
    later = b"SIDEKEY\x02" + bytes(100)
    entry.write_bytes(later)
    entry.chmod(0o600)
    portal = Portal()
    async with serve(portal.application()) as origin:
        upstreams = "".join(
            f"""
{name}:
  preset: fujitsu-portal-legacy
  base_url: {origin}
  provider: {{client_id: demo-client, client_secret: "${{SECRET}}"}}
"""
            for name in ("broken", "sound")
        )
        async with (
            sidekey(
                tmp_path, upstreams, environ=ENVIRON, store=FileStore(tmp_path / "state")
            ) as proxy,
            httpx.AsyncClient() as client,
        ):
            assert [event.slug for event in proxy.told(TokenFailed)] == ["store-failed"]
            answer = await client.get(proxy.url("broken", "/da/v1/healthcheck"))
            assert answer.headers["Sidekey-Error"] == "store-failed"
            assert "sidekey logout broken" in answer.json()["fix"]
            answer = await client.get(proxy.url("sound", "/da/v1/healthcheck"))
            assert answer.status_code == 200
    assert entry.read_bytes() == later


async def test_a_socket_that_is_served_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    beginning = f"listen: {{unix_socket: {path}}}\nstore: {{type: memory}}\n"
    async with sidekey(tmp_path, NOWHERE, environ=ENVIRON, beginning=beginning):
        with pytest.raises(ListenError, match="in use"):
            async with sidekey(tmp_path, NOWHERE, environ=ENVIRON, beginning=beginning):
                pass
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get("http://localhost/_sidekey/healthz")).status_code == 200
    assert not path.exists()


async def test_a_socket_left_behind_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    beginning = f"listen: {{unix_socket: {path}}}\nstore: {{type: memory}}\n"
    async with sidekey(tmp_path, NOWHERE, environ=ENVIRON, beginning=beginning) as proxy:
        assert proxy.address == f"unix:{path}"
    path.write_text("precious")
    with pytest.raises(ListenError, match="in use"):
        async with sidekey(tmp_path, NOWHERE, environ=ENVIRON, beginning=beginning):
            pass
    assert path.read_text() == "precious"


async def test_a_socket_path_that_is_too_long_is_named_as_the_reason(tmp_path: Path) -> None:
    beginning = f"listen: {{unix_socket: {tmp_path}/{'x' * 200}}}\nstore: {{type: memory}}\n"
    with pytest.raises(ListenError, match="too long"):
        async with sidekey(tmp_path, NOWHERE, environ=ENVIRON, beginning=beginning):
            pass


async def test_a_taken_port_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    async with sidekey(tmp_path, NOWHERE, environ=ENVIRON) as proxy:
        taken = BEGINNING.replace("port: 0", f"port: {proxy.port}")
        with pytest.raises(ListenError) as caught:
            async with sidekey(tmp_path, NOWHERE, environ=ENVIRON, beginning=taken):
                pass
    assert "--port 0" in str(caught.value.fix)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_both_families_reach_a_proxy_on_all_addresses(tmp_path: Path) -> None:
    beginning = BEYOND_LOOPBACK
    async with (
        sidekey(tmp_path, NOWHERE, environ=ENVIRON, beginning=beginning) as proxy,
        httpx.AsyncClient() as client,
    ):
        for host in ("127.0.0.1", "[::1]"):
            answer = await client.get(f"http://{host}:{proxy.port}/_sidekey/healthz")
            assert answer.status_code == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_address_is_a_name_of_its_listener(tmp_path: Path) -> None:
    beginning = "listen: {host: '::1', port: 0}\nstore: {type: memory}\n"
    async with (
        sidekey(tmp_path, NOWHERE, environ=ENVIRON, beginning=beginning) as proxy,
        httpx.AsyncClient() as client,
    ):
        assert proxy.address.startswith("http://[::1]:")
        assert (await client.get(f"{proxy.address}/_sidekey/healthz")).status_code == 200


async def test_a_host_that_is_no_name_is_an_error_in_words(tmp_path: Path) -> None:
    beginning = BEYOND_LOOPBACK.replace("'::'", "a..b")
    with pytest.raises(ListenError, match="no host name"):
        async with sidekey(tmp_path, NOWHERE, environ=ENVIRON, beginning=beginning):
            pass
