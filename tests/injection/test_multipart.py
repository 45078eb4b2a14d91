"""Credentials in multipart/form-data."""

from __future__ import annotations

import tracemalloc

import httpx
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from injection_samples import PLAIN, post, rule
from multidict import CIMultiDict
from multipart_samples import BOUNDARY, END, FILE, OWN, filtered, parsed, part

from proxy.injection import ContentFilter, OutgoingRequest, inject
from proxy.injection.multipart import HEAD_LIMIT, MultipartFilter
from proxy.refusals import ContentNotInjectable

RULES = [rule("body", "i")]


def injected(content: bytes, content_type: str) -> bytes:
    sent = inject(post(content, content_type), RULES, PLAIN)
    assert sent.content is not None
    return sent.content


def streamed(content_type: str) -> OutgoingRequest:
    fields = CIMultiDict([("Content-Type", content_type), ("Content-Length", "999")])
    request = OutgoingRequest("POST", "", "/drive", "", fields, has_content=True)
    return inject(request, RULES, PLAIN)


def test_our_part_comes_before_the_file_and_all_other_bytes_stay() -> None:
    """Surprise 14: field first; Misskey does not wait for one that comes after the file."""
    assert filtered(FILE + END) == OWN + FILE + END


@pytest.mark.parametrize("size", range(1, 40))
def test_chunks_may_be_cut_anywhere(size: int) -> None:
    """Surprise 14: streaming."""
    content = b"preamble\r\n" + FILE + part('Content-Disposition: form-data; name="i"') + FILE + END
    assert filtered(content + b"epilogue", size) == OWN + FILE + FILE + END


@pytest.mark.parametrize(
    "disposition",
    [
        'Content-Disposition: form-data; name="i"',
        "Content-Disposition: form-data; name=i",
        "content-disposition:form-data;name=i",
        'CONTENT-DISPOSITION: FORM-DATA; NAME="i"',
        'Content-Disposition: form-data; filename="a; name=b"; name="i"',
        'Content-Disposition: form-data; name="\\i"',
        "Content-Disposition: form-data; name*=utf-8''%69",
        'Content-Disposition: form-data;\r\n\tname="i"',
        'Content-Type: text/plain\r\nContent-Disposition: form-data; name="i"',
        "Content-Disposition: form-data; name='i'",
        'Content-Disposition: form-data; name="i',
        'Content-Disposition : form-data ; name = "i" ; filename="x"',
    ],
)
@pytest.mark.parametrize("size", [1, None])
def test_the_clients_own_field_is_dropped_before_and_after_the_file(
    disposition: str, size: int | None
) -> None:
    """Surprise 14: client's own `i` removed; two of them are none at all to Misskey."""
    own = part(disposition)
    assert filtered(own + FILE + own + own + END, size) == OWN + FILE + END


@pytest.mark.parametrize(
    "disposition",
    [
        'Content-Disposition: form-data; name="I"',
        'Content-Disposition: form-data; name="ii"',
        'Content-Disposition: form-data; name="a"; filename="; name=i"',
        'Content-Disposition: form-data; filename=i; xname="i"',
        'X-Content-Disposition: form-data; name="i"',
        "Content-Type: text/plain; name=i",
        'Content-Disposition: form-data; name="日本"',
    ],
)
def test_a_field_of_another_name_stays(disposition: str) -> None:
    assert filtered(part(disposition) + END) == OWN + part(disposition) + END


def test_padding_stays_and_preamble_and_epilogue_do_not() -> None:
    first = FILE.replace(BOUNDARY.encode() + b"\r\n", BOUNDARY.encode() + b" \t\r\n", 1)
    content = b"preamble\r\n\r\n" + first + END + b"epilogue\r\n" + FILE
    for size in (1, 7, None):
        assert filtered(content, size) == OWN + first + END


def test_content_whose_only_part_is_the_clients_own_keeps_a_valid_frame() -> None:
    own = part('Content-Disposition: form-data; name="i"')
    assert filtered(own + END) == OWN + END
    assert filtered(b"preamble\r\n" + own + END) == OWN + END


def test_content_without_any_part_gets_ours() -> None:
    assert filtered(END) == OWN + END


@pytest.mark.parametrize("ending", ["", "\r\n", "\n", " \t", " \r\n\r\n"])
@pytest.mark.parametrize("size", [1, None])
def test_the_final_boundary_may_end_in_any_way_and_leaves_in_one(
    ending: str, size: int | None
) -> None:
    assert filtered(FILE + END.rstrip() + ending.encode(), size) == OWN + FILE + END


def test_parts_without_content_or_header_fields_pass() -> None:
    """RFC 2046 lets the delimiter follow the header fields at once, and asks for no fields."""
    bare = f"--{BOUNDARY}\r\n\r\nbare\r\n".encode()
    empty = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=a\r\n\r\n".encode()
    own = empty.replace(b"=a", b"=i")
    for size in (1, None):
        assert filtered(bare + empty + own + END, size) == OWN + bare + empty + END


@pytest.mark.parametrize(
    "content_type",
    [
        f"multipart/form-data; boundary={BOUNDARY}",
        f'multipart/form-data; boundary="{BOUNDARY}"',
        f"Multipart/Form-Data;charset=utf-8;BOUNDARY={BOUNDARY} ; x=y",
    ],
)
def test_the_boundary_may_be_quoted_or_not(content_type: str) -> None:
    """Surprise 14: boundary with quotes."""
    assert injected(FILE + END, content_type) == OWN + FILE + END


def test_a_quoted_boundary_may_hold_spaces_colons_and_signs() -> None:
    odd = "a b:c=(d)+'e'/?.,_"
    content = f"--{odd}\r\nX: y\r\n\r\nz\r\n--{odd}--\r\n".encode()
    own = OWN.replace(BOUNDARY.encode(), odd.encode())
    assert injected(content, f'multipart/form-data; boundary="{odd}"') == own + content


@pytest.mark.parametrize(
    "parameter",
    [
        "",
        "; boundary=",
        '; boundary=""',
        "; boundary=a*b",
        "; boundary=a b",
        "; boundary=a=b",
        '; boundary="a" b',
        '; boundary="a',
        "; boundary=a; boundary=b",
        "; boundary=a; boundary=a",
        "; boundary=a; boundary*=utf-8''b",
        "; boundary*0=b; boundary=a",
        "; boundary=a; BOUNDARY*0*=utf-8''b",
        "; boundary*=utf-8''b",
        "; boundaryx=b; boundary=a",
        '; x="\\"; boundary*=utf-8b; y="; boundary=a',
    ],
)
def test_a_missing_or_invalid_boundary_is_refused(parameter: str) -> None:
    with pytest.raises(ContentNotInjectable, match="boundary") as refusal:
        streamed(f"multipart/form-data{parameter}")
    assert refusal.value.status == 400


def test_a_boundary_of_more_than_70_characters_is_refused() -> None:
    assert streamed(f"multipart/form-data; boundary={'b' * 70}").filters
    with pytest.raises(ContentNotInjectable):
        streamed(f"multipart/form-data; boundary={'b' * 71}")


@pytest.mark.parametrize(
    "content",
    [
        FILE,
        FILE + END[:-4],
        b"no boundary at all",
        END.replace(b"b0undary", b"other"),
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; na".encode(),
    ],
)
def test_content_that_never_ends_is_refused(content: bytes) -> None:
    for size in (1, None):
        with pytest.raises(ContentNotInjectable, match="final boundary"):
            filtered(content, size)


def test_header_fields_of_a_part_are_limited_in_whatever_chunks_they_come() -> None:
    fits = part("X: " + "y" * (HEAD_LIMIT - len(BOUNDARY) - 9)) + END
    assert filtered(fits, 1000) == OWN + fits
    over = part("X: " + "y" * (HEAD_LIMIT - len(BOUNDARY) - 8)) + END
    padded = FILE + f"--{BOUNDARY}".encode() + b" " * HEAD_LIMIT + b"\r\n"
    for content in (over, padded):
        for size in (1, 1000, None):
            with pytest.raises(ContentNotInjectable, match="header fields"):
                filtered(content, size)


def test_streaming_content_gets_a_filter_and_loses_its_length() -> None:
    """Surprise 14: Content-Length recomputed or chunked."""
    sent = streamed(f"multipart/form-data; boundary={BOUNDARY}")
    assert sent.content is None
    assert "Content-Length" not in sent.headers
    for make in sent.filters * 2:  # a second one, for a replay
        content_filter: ContentFilter = make()
        assert content_filter.feed(FILE + END) + content_filter.finish() == OWN + FILE + END
    assert PLAIN.reveal() not in repr(sent)


def test_content_at_hand_is_filtered_at_once_and_loses_its_length() -> None:
    sent = inject(post(FILE + END, f"multipart/form-data; boundary={BOUNDARY}"), RULES, PLAIN)
    assert sent.content == OWN + FILE + END
    assert not sent.filters
    assert "Content-Length" not in sent.headers


def test_content_of_any_size_passes_in_little_memory() -> None:
    """Surprise 14: streaming, with no more than a few chunks in memory."""
    content_filter = MultipartFilter(BOUNDARY, "i", PLAIN.reveal())
    content_filter.feed(FILE)
    chunk = bytes(range(256)) * 256
    passed = 0
    tracemalloc.start()
    try:
        for _ in range(64 * 2**20 // len(chunk)):
            passed += len(content_filter.feed(chunk))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert passed > 64 * 2**20 - 100
    assert peak < 2**20


@pytest.mark.parametrize("library", ["httpx", "requests"])
def test_what_real_clients_send_is_understood(library: str) -> None:
    """Surprise 14: both of Misskey's libraries send `i` first, and the file after it."""
    fields, files = {"i": "dummy", "name": "é"}, {"file": ("a.bin", bytes(range(256)) * 9)}
    url = "http://upstream.invalid/api/drive/files/create"
    content, content_type = (
        _by_httpx(url, fields, files) if library == "httpx" else _by_requests(url, fields, files)
    )
    parts = parsed(injected(content, content_type), content_type)
    assert parts == [
        ("i", PLAIN.reveal().encode()),
        ("name", "é".encode()),
        ("file", bytes(range(256)) * 9),
    ]


Files = dict[str, tuple[str, bytes]]


def _by_httpx(url: str, fields: dict[str, str], files: Files) -> tuple[bytes, str]:
    sent = httpx.Request("POST", url, data=fields, files=files)
    return sent.read(), sent.headers["Content-Type"]


def _by_requests(url: str, fields: dict[str, str], files: Files) -> tuple[bytes, str]:
    sent = requests.Request("POST", url, data=fields, files=files).prepare()
    assert isinstance(sent.body, bytes)
    return sent.body, str(sent.headers["Content-Type"])


_FRAGMENTS = [
    "a",
    "\r",
    "\n",
    "\r\n",
    "--",
    "-",
    "----",
    "b0undary",
    "\r\n--",
    "\r\n----b0undar",
    "\0ÿ",
]
_CONTENTS = (
    st.lists(st.sampled_from(_FRAGMENTS), max_size=8)
    .map("".join)
    .filter(lambda text: "--" + BOUNDARY not in text)
)


def _quoted(name: str) -> str:
    return f'"{name}"'


_NAMES = st.sampled_from(["i", "a", "file", "I", "ii"])


@given(
    st.lists(st.tuples(_NAMES, _CONTENTS, st.booleans()), max_size=5),
    st.sampled_from(["", "preamble\r\n", "\r\n"]),
    st.sampled_from(["", "epilogue", "\r\n" + FILE.decode()]),
    st.lists(st.integers(1, 30), min_size=1, max_size=10),
)
def test_any_parts_in_any_chunks_come_out_as_they_were_with_ours_first_and_once(
    parts: list[tuple[str, str, bool]], preamble: str, epilogue: str, sizes: list[int]
) -> None:
    raw = [
        part(f"Content-Disposition: form-data; name={_quoted(name) if quoted else name}", content)
        for name, content, quoted in parts
    ]
    content_filter = MultipartFilter(BOUNDARY, "i", PLAIN.reveal())
    rest = preamble.encode() + b"".join(raw) + END + epilogue.encode()
    result = b""
    while rest:
        sizes.append(sizes.pop(0))
        result += content_filter.feed(rest[: sizes[-1]])
        rest = rest[sizes[-1] :]
    result += content_filter.finish()

    kept = [one for one, (name, *_) in zip(raw, parts, strict=True) if name != "i"]
    assert result == OWN + b"".join(kept) + END
    read = parsed(result, f'multipart/form-data; boundary="{BOUNDARY}"')
    assert [name for name, _ in read] == ["i", *(name for name, *_ in parts if name != "i")]
    assert read[0][1] == PLAIN.reveal().encode()
