"""Parts and boundaries that servers read in different ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from injection_samples import PLAIN
from multipart_samples import BOUNDARY, END, FILE, OWN, filtered, parsed, part

from proxy.refusals import ContentNotInjectable


def delimited(lead: str, follow: str, end: str = "\r\n") -> bytes:
    """Return a part of the client's own behind a delimiter in another spelling."""
    lines = 'Content-Disposition: form-data; name="i"', "", "clients-own"
    return f"{lead}--{BOUNDARY}{follow}{end.join(lines)}{end}".encode()


@pytest.mark.parametrize(
    "own",
    [
        delimited("\n", "\n", "\n"),
        delimited("\r", "\r", "\r"),
        delimited("\n", "\r\n"),
        delimited("\r\n", "\n", "\n"),
        delimited("\r\n", "\r", "\r"),
        delimited("\r\n", "\f\r\n"),
        delimited("\r\n", " junk\r\n"),
        delimited("\r\n", "X\r\n"),
        delimited("\r\n", "--X\r\n"),
        delimited("\r\n", "-\r\n"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, None])
def test_what_a_server_may_take_for_a_delimiter_is_refused_anywhere(
    own: bytes, size: int | None
) -> None:
    """RFC 2046 5.1.1: no line of a part begins with the boundary."""
    for content in (own + b"\r\n" + FILE + END, FILE[:-2] + own + b"\r\n" + END):
        with pytest.raises(ContentNotInjectable, match="different ways"):
            filtered(content, size)


@pytest.mark.parametrize("lead", ["", "\r\n", "\r\n\r\n", "preamble", "preamble\r\n"])
@pytest.mark.parametrize("own", ["\n", "\r\n"])
def test_the_clients_part_in_the_preamble_is_read_by_nobody(lead: str, own: str) -> None:
    content = lead.encode() + delimited("x", own, own) + b"\r\n" + FILE + END
    assert filtered(content) == OWN + FILE + END


@pytest.mark.parametrize(
    "fields",
    [
        'X: y\nContent-Disposition: form-data; name="i"\nZ: z',
        'X: y\rContent-Disposition: form-data; name="a"',
        f'X: y\n\nz\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"',
        f'X: y\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"',
        'Content-Disposition: form-data; name*0="i"',
        "Content-Disposition: form-data; name=a; Name*1*=utf-8''i",
    ],
)
@pytest.mark.parametrize("size", [1, None])
def test_header_fields_that_servers_read_in_different_ways_are_refused(
    fields: str, size: int | None
) -> None:
    with pytest.raises(ContentNotInjectable, match="different ways"):
        filtered(part(fields) + END, size)


@pytest.mark.parametrize(
    "line", ["\n--not", "\r--not", "\n-", "\r\r\n", "\n--\n", "x--" + BOUNDARY]
)
def test_bare_line_breaks_without_the_boundary_are_content(line: str) -> None:
    content = part("Content-Disposition: form-data; name=a", f"x{line}y") + END
    for size in (1, None):
        assert filtered(content, size) == OWN + content


_HOSTILE = [
    f"--{BOUNDARY}",
    "--",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    " ",
    "a",
    'Content-Disposition: form-data; name="i"',
    'Content-Disposition: form-data; name="a"',
]


@given(st.lists(st.sampled_from(_HOSTILE), max_size=16).map("".join), st.integers(1, 40))
def test_whatever_is_sent_another_reader_finds_our_part_first_and_once(
    content: str, size: int
) -> None:
    """The reader is Python's, which takes any line break."""
    try:
        result = filtered(content.encode() + b"\r\n" + FILE + END, size)
    except ContentNotInjectable:
        return
    read = parsed(result, f"multipart/form-data; boundary={BOUNDARY}")
    assert read[0] == ("i", PLAIN.reveal().encode())
    assert [name for name, _ in read].count("i") == 1
