"""The filter for content: the same bytes, wherever they are cut, and none held back in vain."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from proxy.credentials.redaction import Redaction
from proxy.credentials.secret import Secret
from proxy.gateway.echo import EchoFilter

KEYS = ("abcdefgh", "efghabcd-and-more", "bcdefghijk/ü", "aaaaaaaab", "abcdefghabcdefgi")
PIECES = [*KEYS, "abcd", "efgh", "a", "abcdefg", "%C3%BC", "ü", "x", "ABCDEFGH", "YWJj"]
CONTENT = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map(
    lambda pieces: "".join(pieces).encode(errors="replace")
)
CUTS = st.just(range(500)) | st.lists(st.integers(min_value=0, max_value=100), max_size=8)


def redaction() -> Redaction:
    known = Redaction()
    for key in KEYS:
        known.know(Secret(key))
    return known


KNOWN = redaction()


def blanked(content: bytes) -> bytes:
    """The whole content with stars in place of secrets, by the search that is tested elsewhere."""
    expected = bytearray(content)
    for start, end in KNOWN.spans(content):
        expected[start:end] = b"*" * (end - start)
    return bytes(expected)


def fed(chunks: list[bytes]) -> bytes:
    sieve = EchoFilter(KNOWN)
    return b"".join([*map(sieve.feed, chunks), sieve.finish()])


@given(content=CONTENT, cuts=CUTS)
def test_content_is_masked_alike_wherever_it_is_cut(content: bytes, cuts: Iterable[int]) -> None:
    """Between any two bytes, too."""
    places = sorted({0, len(content), *(min(cut, len(content)) for cut in cuts)})
    masked = fed([content[start:end] for start, end in itertools.pairwise(places)])
    assert masked == blanked(content)
    assert len(masked) == len(content)


@given(content=st.binary())
def test_content_without_a_secret_is_not_changed(content: bytes) -> None:
    sieve = EchoFilter(Redaction())
    assert sieve.feed(content) == content
    assert sieve.finish() == b""


def test_an_event_is_passed_on_as_a_whole() -> None:
    sieve = EchoFilter(KNOWN)
    event = b'data: {"key": "abcdefgh", "other": "abcd"}\n\n'
    assert sieve.feed(event) == event.replace(b"abcdefgh", b"********")


def test_no_more_is_held_back_than_may_be_the_beginning_of_a_secret() -> None:
    sieve = EchoFilter(KNOWN)
    assert sieve.feed(b"a stream: abc") == b"a stream: "
    assert sieve.feed(b"d") == b""
    assert sieve.feed(b"!") == b"abcd!"


def test_a_secret_stays_masked_while_its_end_may_be_the_beginning_of_another() -> None:
    sieve = EchoFilter(KNOWN)
    assert sieve.feed(b"<abcdefgh") == b"<"
    assert sieve.feed(b"abcdefg") == b""
    assert sieve.feed(b"!") == b"********abcdefg!"


def test_what_is_held_back_at_the_end_is_passed_on() -> None:
    sieve = EchoFilter(KNOWN)
    assert sieve.feed(b"abcdefg") == b""
    assert sieve.finish() == b"abcdefg"
