"""Names that do not resolve, and addresses that hand out the credentials of machines."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty import QUICK
from gateway_samples import tokened
from hostile_fixtures import Attack
from proxying import sidekey
from raw_client import RawAnswer, ask, check_problem
from raw_upstream import OK, answering, response

PORT = 49999  # nobody is ever asked whether somebody listens there
REFUSED = "the upstream: it resolves to an address that sidekey does not call"
NEVER_CALLED = [
    "169.254.169.254",
    "169.254.170.2",
    "fe80::a9fe:a9fe",
    "fd00:ec2::254",
    "100.100.100.200",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "fd20:ce::254",
    "192.0.0.192",
    "168.63.129.16",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::100.100.100.200",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:a9:fe:a9fe::",
    "64:ff9b:1:0:a9:fea9:fe00:0",
    "2002:a9fe:a9fe::1",
    "2002:a83f:8110::",
]
OTHER_SPELLINGS = ["2852039166", "0xa9fea9fe", "169.16689662", "0251.0376.0251.0376"]
# The same networks with an ordinary address of IPv4 inside.
CALLED = ["::1", "::ffff:127.0.0.1", "64:ff9b::808:808", "64:ff9b:1::808:808", "2002:808:808::1"]
Resolution = str | list[str] | OSError | threading.Event


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Resolution]]:
    """What names under `.test` resolve to: addresses, an error, or nothing until an event."""
    known: dict[str, Resolution] = {}
    ask_the_system = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        if not host.endswith(".test"):
            return ask_the_system(host, port, *args, **options)
        found = known[host]
        if isinstance(found, threading.Event):
            found.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "too late")
        if isinstance(found, OSError):
            raise found
        addresses = found if isinstance(found, list) else [found]
        return [info for a in addresses for info in ask_the_system(a, port, type=1)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield known
    for resolution in known.values():
        if isinstance(resolution, threading.Event):
            resolution.set()


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


async def answer_from(attack: Attack, host: str, port: int = PORT, more: str = "") -> RawAnswer:
    async with attack(origin=f"http://{host}:{port}", more={"r": more}) as hostile:
        return await hostile.ask("GET /r/a")


@pytest.mark.case("R25")
@pytest.mark.parametrize("address", NEVER_CALLED)
async def test_an_address_that_is_never_called_is_502(attack: Attack, address: str) -> None:
    answer = await answer_from(attack, bracketed(address))
    check_problem(answer, 502, "upstream-unreachable")
    assert answer.json()["detail"] == REFUSED


@pytest.mark.case("R25")
@pytest.mark.parametrize("address", CALLED)
async def test_an_ordinary_address_in_such_a_network_is_called(
    attack: Attack, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Seen by the forward proxy, since nobody is there."""
    async with answering(OK) as network:
        monkeypatch.setenv("http_proxy", network.origin)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await answer_from(attack, bracketed(address))).status == 200
        assert network.connections == 1


@pytest.mark.case("R25")
@pytest.mark.parametrize("spelling", [*OTHER_SPELLINGS, "169.254.169.254."])
async def test_another_spelling_of_an_address_leads_nowhere(attack: Attack, spelling: str) -> None:
    answer = await answer_from(attack, spelling)
    check_problem(answer, 502, "upstream-unreachable")
    assert "Error" not in answer.json()["detail"]


@pytest.mark.case("R25")
@pytest.mark.parametrize("address", NEVER_CALLED)
async def test_a_name_that_leads_to_such_an_address_is_502(
    attack: Attack, names: dict[str, Resolution], address: str
) -> None:
    names["api.test"] = address
    answer = await answer_from(attack, "api.test")
    check_problem(answer, 502, "upstream-unreachable")
    assert answer.json()["detail"] == REFUSED


@pytest.mark.case("R25")
async def test_the_unspecified_address_is_no_way_to_this_machine(
    attack: Attack, names: dict[str, Resolution]
) -> None:
    names["api.test"] = "0.0.0.0"
    async with answering() as upstream:
        port = int(upstream.origin.rpartition(":")[2])
        assert (await answer_from(attack, "api.test", port)).status == 502
        assert (await answer_from(attack, "0.0.0.0", port)).status == 502
    assert upstream.connections == 0


@pytest.mark.case("R25")
async def test_only_the_harmless_one_of_several_addresses_is_called(
    attack: Attack, names: dict[str, Resolution]
) -> None:
    names["api.test"] = ["169.254.169.254", "127.0.0.1"]
    async with answering() as upstream:
        answer = await answer_from(attack, "api.test", int(upstream.origin.rpartition(":")[2]))
    assert answer.content == b"ok"


@pytest.mark.case("R25")
async def test_a_name_that_changes_to_such_an_address_is_502_from_then_on(
    attack: Attack, names: dict[str, Resolution], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.connections.DNS_LIFETIME", 0)
    names["api.test"] = "127.0.0.1"
    async with answering(response("200 OK", b"ok", "Connection: close")) as upstream:
        origin = upstream.origin.replace("127.0.0.1", "api.test")
        async with attack(origin=origin) as hostile:
            assert (await hostile.ask("GET /r/a")).content == b"ok"
            names["api.test"] = "169.254.169.254"
            answer = await hostile.ask("GET /r/a")
            assert (answer.status, answer.json()["detail"]) == (502, REFUSED)
            names["api.test"] = "127.0.0.1"
            assert (await hostile.ask("GET /r/a")).content == b"ok"
    assert upstream.connections == 2


@pytest.mark.case("R25")
@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
async def test_a_name_that_does_not_resolve_is_502(
    attack: Attack, names: dict[str, Resolution], code: int
) -> None:
    names["api.test"] = socket.gaierror(code, "canary-resolver")
    answer = await answer_from(attack, "api.test")
    check_problem(answer, 502, "upstream-unreachable")
    assert answer.json()["detail"] == "the upstream: its name cannot be resolved"


@pytest.mark.case("R25")
async def test_a_resolver_that_does_not_answer_is_502_within_the_time_to_connect(
    attack: Attack, names: dict[str, Resolution]
) -> None:
    names["api.test"] = threading.Event()
    answer = await answer_from(attack, "api.test", more=QUICK)
    check_problem(answer, 502, "upstream-unreachable")
    assert answer.json()["detail"] == "the upstream: no connection in time"
    names["api.test"].set()


@pytest.mark.case("R25")
@pytest.mark.parametrize("host", ["169.254.169.254", "api.test", "[::ffff:169.254.169.254]"])
async def test_a_token_endpoint_is_held_to_the_same(
    tmp_path: Path, names: dict[str, Resolution], host: str
) -> None:
    names["api.test"] = "169.254.169.254"
    async with (
        answering() as upstream,
        sidekey(tmp_path, tokened(upstream.origin, f"http://{host}:{PORT}")) as proxy,
    ):
        answer = await ask(proxy, "GET /r/a")
        check_problem(answer, 502, "token-endpoint-unreachable")
        assert "an address that sidekey does not call" in answer.json()["detail"]
        assert upstream.connections == 0


@pytest.mark.case("R25")
@pytest.mark.parametrize("host", [*map(bracketed, NEVER_CALLED), *OTHER_SPELLINGS])
async def test_no_forward_proxy_is_asked_for_such_an_address(
    attack: Attack, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """It would resolve names for us, but an address can be seen here."""
    async with answering(OK) as network:
        monkeypatch.setenv("http_proxy", network.origin)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await answer_from(attack, host)).status == 502
        assert network.connections == 0
        assert (await answer_from(attack, "api.test")).status == 200
        assert network.last.target == f"http://api.test:{PORT}/base/v1/a"
