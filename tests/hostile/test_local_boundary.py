"""Neighbours on the machine and in the network: other users, other hosts, other proxies."""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from canaries import canary
from command_line import Home
from hostile_fixtures import ON_TCP, ON_UNIX, Attack
from hostile_harness import Hostile, attacked
from raw_client import RawAnswer, RawClient, message

from proxy.errors import ListenError

NOBODY = 65534
CALL = f"""
import os, socket, sys
os.setgid({NOBODY}); os.setuid({NOBODY})
sock = socket.socket(socket.AF_UNIX)
try:
    sock.connect(sys.argv[1])
except PermissionError:
    sys.exit("refused by the mode")
sock.sendall(b"GET /r/a HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
print(sock.makefile("rb").read().decode())
"""


@pytest.mark.case("B19")
async def test_a_request_that_came_through_another_proxy_is_403(hostile: Hostile) -> None:
    """Whoever reaches an open proxy of this machine would count as a local client."""
    for field in (
        "X-Forwarded-For: 1.2.3.4",
        "x-forwarded-for: 127.0.0.1",
        "X-Forwarded-For: ",
        "Via: 1.1 squid",
        "Forwarded: for=127.0.0.1",
    ):
        for path in ("/r/a", "/t/a"):
            hostile.check_refused(await hostile.ask(f"GET {path}", field), 403, "peer-refused")


@pytest.mark.case("B19")
async def test_a_front_proxy_is_let_through_and_its_fields_stay_here(attack: Attack) -> None:
    fields = ("X-Forwarded-For: 1.2.3.4", "X-Real-IP: 1.2.3.4", "Via: 1.1 x", "Forwarded: for=1")
    async with attack(listen="front_proxy: true") as hostile:
        assert (await hostile.ask("GET /r/a", *fields)).status == 200
        names = {name for name, _ in hostile.arrived[0].fields}
        assert names == {"Host", "Sidekey-Hop", "Authorization"}


@pytest.mark.case("B20")
async def test_a_missing_doubled_or_wrong_client_header_is_412(attack: Attack) -> None:
    """A page cannot send it without asking first, a tricked server cannot send it at all."""
    shown = f"Sidekey-Client: {canary('client-header')}"
    top = f"clients: {{header: {{value: {shown.partition(' ')[2]}}}}}"
    async with attack(top=top, control=(shown,)) as hostile:
        for fields in (
            (),
            ("Sidekey-Client: True",),
            ("Sidekey-Client: ",),
            (shown, shown),
            (shown, "sidekey-client: x"),
            (shown[:-1],),
            (shown.upper(),),
            (f"{shown}, x",),
            (shown.replace("Client", "Clients"),),
            (f"{shown}\u00e9",),
        ):
            for path in ("/r/a", "/nope/a", "/r/../a", "/", "/_sidekey/api/overview"):
                answer = await hostile.ask(f"GET {path}", *fields)
                hostile.check_refused(answer, 412, "client-header-required")
                assert b"/r/" not in answer.content
                assert "upstream" not in answer.json()
        assert (await hostile.ask("GET /r/a", shown)).status == 200
        assert hostile.arrived[0].field("Sidekey-Client") == []


@pytest.mark.case("B21")
async def test_a_wrong_client_key_is_401_and_learns_nothing(attack: Attack) -> None:
    key = canary("client-key")
    shown = f"Authorization: Bearer {key}"
    async with attack(top=f"clients: {{keys: {key}}}", control=(shown,)) as hostile:
        for field in (
            "Accept: */*",
            "Authorization: Bearer",
            "Authorization: Bearer ",
            shown[:-1],
            f"{shown}x",
            f"{shown}\u00e9",
            f"{shown}鍵",
            shown.upper(),
            f"X-Api-Key: {key}",
            f"Sidekey-Client: {key}",
        ):
            for path in ("/r/a", "/nope/a", "/"):
                answer = await hostile.ask(f"GET {path}", field)
                hostile.check_refused(answer, 401, "client-key-required")
                assert b"/r/" not in answer.content
        for path in ("/q/a", f"/q/a?kex={key}", f"/q/a?key={key[:-1]}"):
            answer = await hostile.ask(f"GET {path}")
            hostile.check_refused(answer, 401, "client-key-required")


@pytest.mark.case("B21")
async def test_every_client_key_is_compared_in_constant_time(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [canary("client-key-1"), canary("client-key-2")]
    compared: set[str] = set()
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.update({one.decode(), other.decode()})
        return compare(one, other)

    shown = f"Authorization: Bearer {keys[0]}"
    async with attack(top=f"clients: {{keys: {keys}}}", control=(shown,)) as hostile:
        monkeypatch.setattr(hmac, "compare_digest", watched)
        assert (await hostile.ask("GET /r/a", "Authorization: Bearer x")).status == 401
        assert compared >= {"x", *keys}


@pytest.mark.case("B22")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost.example"])
async def test_no_start_beyond_loopback_without_clients(home: Home, host: str) -> None:
    text = (
        f"listen:\n  host: '{host}'\nstore: {{type: memory}}\n"
        "upstreams: {r: {base_url: 'http://127.0.0.1:9', provider: {type: api_key, keys: k}}}\n"
    )
    path = home.configure(text)
    for command in (("check",), ("run", "--port", "0")):
        ended = await home.run(*command)
        assert ended.code == 2
        assert f"{path}:2:" in ended.err
        assert "clients" in ended.err
    home.configure(text.replace(host, "127.0.0.1"))
    for environ, arguments in (({"SIDEKEY_HOST": host}, ()), ({}, ("--host", host))):
        ended = await home.run("run", "--port", "0", *arguments, **environ)
        assert (ended.code, "clients" in ended.err) == (2, True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.case("B23")
@ON_UNIX
async def test_only_its_owner_can_open_a_unix_socket(hostile: Hostile) -> None:
    path = hostile.proxy.place
    assert isinstance(path, Path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def call_as_a_stranger(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Call as another user than the proxy's; who is not root makes the proxy another's instead."""
    if os.getuid() == 0:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CALL, str(path)), stdout=asyncio.subprocess.PIPE
        )
        return (await process.communicate())[0].decode()
    monkeypatch.setattr("proxy.gateway.guard.os", SimpleNamespace(getuid=lambda: NOBODY))
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET /r/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.decode()


@pytest.mark.case("B23")
async def test_the_kernel_tells_who_is_at_an_open_unix_socket(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = NOBODY if os.getuid() == 0 else os.getuid()
    for allowed, status in ((stranger + 1, 403), (stranger, 200)):
        async with attacked(open_folder, "unix", listen=f"allowed_uids: [{allowed}]") as hostile:
            path = open_folder / "sidekey.sock"
            answer = await call_as_a_stranger(path, monkeypatch)
            monkeypatch.undo()
            assert answer.startswith(f"HTTP/1.1 {status} ")
            assert len(hostile.arrived) == (status == 200)


@pytest.mark.case("B23")
@ON_UNIX
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
async def test_what_stands_in_the_sockets_place_is_left_alone(
    attack: Attack, tmp_path: Path, kind: str
) -> None:
    path, other = tmp_path / "sidekey.sock", tmp_path / "other"
    other.write_text("precious")
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(other)
    else:
        path.write_text("precious")
    with pytest.raises(ListenError):
        async with attack():
            pass
    assert (path.is_dir(), path.is_symlink()) == (kind == "folder", kind == "link")
    assert other.read_text() == "precious"
    assert path.is_dir() or path.read_text() == "precious"


def own_address() -> str | None:
    """An address of this machine that is no loopback; nothing is sent to learn it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("198.51.100.1", 9))
        except OSError:
            return None
        return str(sock.getsockname()[0])


async def call_from(address: str, hostile: Hostile) -> RawAnswer:
    """Call the loopback listener from another address than loopback."""
    port = hostile.proxy.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    client = RawClient(reader, writer)
    await client.send(message("GET /r/a", host=f"127.0.0.1:{port}"))
    answer = await client.answer()
    hostile.received.extend(answer.head + answer.content)
    writer.close()
    return answer


@pytest.mark.case("B24")
@ON_TCP
@pytest.mark.skipif(own_address() is None, reason="this machine has no address but loopback")
async def test_a_peer_that_is_not_allowed_is_403(attack: Attack) -> None:
    """CI never skips this: a machine that has reached a package index has such an address."""
    address = own_address()
    assert address is not None
    async with attack() as hostile:
        hostile.check_refused(await call_from(address, hostile), 403, "peer-refused")
    async with attack(listen="allowed_peers: [203.0.113.0/24]") as hostile:
        hostile.check_refused(await call_from(address, hostile), 403, "peer-refused")
    async with attack(listen=f"allowed_peers: [{address}/32]") as hostile:
        assert (await call_from(address, hostile)).status == 200
