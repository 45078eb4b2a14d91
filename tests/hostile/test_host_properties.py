"""Whatever the Host field: it is refused, or names the listener, at the listener's port.

The other reader of authorities here is the standard library's, and the names are written out.
"""

from __future__ import annotations

from random import Random
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.gateway.guard import LOOPBACK_NAMES, Listener, check_host
from proxy.refusals import BadMessage, HostRefused

FRONT = "front.example:443"
CONFIGURED = frozenset([*LOOPBACK_NAMES, "box.example", FRONT])
LISTENERS = [Listener(port, CONFIGURED, served=("r", "kabu")) for port in (8080, 80, None)]
OWN = ["localhost", "127.0.0.1", "[::1]", "box.example", "r.localhost", "kabu.localhost"]
PIECES = [
    *OWN,
    *(":8080", ":80", ":443", ":", ":08080", ":8O80", ":-80", ":99999", ":８０８０", "80", "１"),
    *("front.example", "evil.example", "r", "kabu", "\N{KELVIN SIGN}abu.", "LOCALHO", "ſt", "ST"),
    *(".", "..", "。", "@", ",", "/", "?", "#", "\\", "%", "%2e", "_", "-", "[", "]", "[::ffff:"),
    *(" ", "\t", "\r\n", "\x00", "\x0b", "\x85", "\xa0", "\u2028", "\ufeff", "é", "\udcff"),
]
JOINED = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
CHANGED = st.builds(  # an own name with something in it
    lambda name, at, piece, port: f"{name[:at]}{piece}{name[at:]}{port}",
    st.sampled_from(OWN),
    st.integers(0, 15),
    st.one_of(st.sampled_from(PIECES), st.characters()),
    st.sampled_from([":8080", ":80", ""]),
)


def named(text: str, listener: Listener) -> str | None:
    """Return the name that the field is taken to mean, `None` if it is refused."""
    try:
        return check_host(CIMultiDictProxy(CIMultiDict(Host=text)), listener)
    except (BadMessage, HostRefused):
        return None


@pytest.mark.case("B02", "B04", "B07")
@example("localhost:８０８０", LISTENERS[0])
@example("\N{KELVIN SIGN}abu.localhost:8080", LISTENERS[0])
@example("\xa0localhost", LISTENERS[1])
@example("localhost:65536", LISTENERS[2])
@given(st.one_of(JOINED, CHANGED, st.text()), st.sampled_from(LISTENERS))
def test_a_host_is_refused_or_is_one_of_the_listeners_names_at_its_port(
    text: str, listener: Listener
) -> None:
    name = named(text, listener)
    if name is None:
        return
    authority = text.strip(" \t")
    read = urlsplit(f"//{authority}")
    assert (authority.isascii(), read.netloc, read.username) == (True, authority, None)
    host = f"[{read.hostname}]" if "[" in authority else read.hostname or ""
    assert name == host.removesuffix(".")
    if f"{name}:{read.port}" != FRONT:
        assert name in OWN
        assert listener.port in (None, read.port or 80)


@pytest.mark.case("B05")
@given(st.sampled_from(OWN), st.randoms(use_true_random=False), st.sampled_from(LISTENERS))
def test_every_name_is_known_in_any_mixture_of_cases(
    name: str, random: Random, listener: Listener
) -> None:
    mixed = "".join(random.choice([letter, letter.upper()]) for letter in name)
    for end in ("", "" if "[" in name else "."):
        assert named(f"{mixed}{end}:{listener.port or 1}", listener) == name
