"""Whatever a peer sends, reading it takes time in proportion to its size.

Each reader gets hostile input of 1 MiB, in CI, and of a quarter of that: four times as much may
cost a little more than four times as much, and never sixteen times. Processor time is compared.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial

import pytest
from loaded import scaled
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.credentials.redaction import Redaction
from proxy.credentials.secret import Secret
from proxy.errors import SidekeyError
from proxy.gateway.echo import EchoFilter
from proxy.gateway.guard import Listener, check_host, check_site
from proxy.gateway.location import local_reference
from proxy.gateway.target import check_path
from proxy.injection import urlencoded
from proxy.injection.json_object import member, with_member
from proxy.injection.multipart import MultipartFilter

KIB = 1024
LARGE = scaled(256 * KIB, 1024 * KIB)
TOO_MUCH = 8  # quadratic time would be 16 times as much
ROUNDS = 3
SECRET = "abcabcabcabcabcabcabd"
LISTENER = Listener(8080, frozenset(["localhost"]), served=())

Reader = Callable[[str], object]


def masking(text: str) -> object:
    redaction = Redaction()
    redaction.know(Secret(SECRET))
    return redaction.masked(text)


def echoing(text: str) -> object:
    """The same search in content that comes in pieces of 4 KiB."""
    redaction = Redaction()
    redaction.know(Secret(SECRET))
    stage = EchoFilter(redaction)
    raw = text.encode()
    return [stage.feed(raw[start : start + 4096]) for start in range(0, len(raw), 4096)]


def host(text: str) -> object:
    return check_host(CIMultiDictProxy(CIMultiDict(Host=text)), LISTENER)


def site(text: str) -> object:
    return check_site(CIMultiDictProxy(CIMultiDict(Host="localhost", Origin=text)), ())


def form_parts(text: str) -> object:
    stage = MultipartFilter("b", "i", "value")
    raw = text.encode()
    return [stage.feed(raw[start : start + 4096]) for start in range(0, len(raw), 4096)]


READERS: dict[str, tuple[Reader, list[str]]] = {
    "redaction": (masking, [SECRET[:-1], "%", "%25", "\\u0061", "\\", "YWJj", "abc"]),
    "echo": (echoing, [SECRET[:-1], SECRET, "%2", "\\u006", "abc"]),
    "query": (partial(urlencoded.without, name="key"), ["&", "a=b&", "%", "%6", "k%65y&", "+"]),
    "query values": (partial(urlencoded.values, name="key"), ["key=%&", "key&", "key=", "%6b"]),
    "host": (host, ["a", "a.", "1", "[:", ":", "[", "localhost", "-"]),
    "origin": (site, ["a", "http://", "null", " "]),
    "path": (check_path, ["/a", "/", "/%2", "/%2525", "%25", ";", "/.", "/..;"]),
    "redirect": (
        partial(local_reference, base_url="http://a/b", prefix="/r"),
        ["/", "/b/", "http:", "//a", "?", "@", ":", "[", "a"],
    ),
    "JSON": (
        lambda text: with_member(text.encode(), "i", "value"),
        ['{"i":', '{"i":1,', "[", '{"', "\\", " ", "\ufeff"],
    ),
    "JSON member": (lambda text: member(text.encode(), "i"), ['{"i":', '{"i":1,', "[", '"\\']),
    "form": (form_parts, ["\r\n--b", "\r\n--b\r\n\r\n", "\r\n--b--", "\r\n-", "--b \t", "\r\n"]),
}
CASES = [
    pytest.param(read, piece, id=f"{name} {piece!r}")
    for name, (read, pieces) in READERS.items()
    for piece in pieces
]


def cost(read: Reader, piece: str, size: int) -> float:
    """Return the least processor time that reading `size` characters of `piece` took."""
    text = (piece * (size // len(piece) + 1))[:size]
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        with contextlib.suppress(SidekeyError):  # refusing it is as good
            read(text)
        times.append(time.process_time() - begun)
    return min(times)


@pytest.mark.case("D11")
@pytest.mark.parametrize(("read", "piece"), CASES)
def test_four_times_as_much_costs_four_times_as_much(read: Reader, piece: str) -> None:
    assert cost(read, piece, LARGE) < TOO_MUCH * cost(read, piece, LARGE // 4) + 0.01
