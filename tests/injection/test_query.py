"""Credentials in the query."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from injection_samples import PLAIN, TOKEN, request, rule

from proxy.injection import inject, strip_credentials

RULES = [rule("query", "appid")]


@pytest.mark.parametrize(
    ("sent", "stripped"),
    [
        ("", ""),
        ("appid=x", ""),
        ("appid", ""),
        ("a=1&appid=x&b=2", "a=1&b=2"),
        ("appid=x&a=1&appid=y", "a=1"),
        ("%61ppid=x&a=1", "a=1"),
        ("%61%70%70%69%64=x&a=1", "a=1"),
        ("appid2=y&xappid=z", "appid2=y&xappid=z"),
        ("APPID=x&a=1", "a=1"),
        ("appid[]=x&appid%5B0%5D=y&a=1", "a=1"),
        ("a=1&&b", "a=1&&b"),
        ("a=1&appid=x&&b", "a=1&&b"),
        ("q=a+b%20c&r=%e3%81%82&s=&t&=u&", "q=a+b%20c&r=%e3%81%82&s=&t&=u&"),
        ("q=appid=x", "q=appid=x"),
        ("q=1;appid=x", "q=1"),
        ("q=1;r=2&s", "q=1;r=2&s"),
        ("bad=%zz&%appid=1", "bad=%zz&%appid=1"),
    ],
)
def test_only_pairs_of_that_name_go_and_all_other_bytes_stay(sent: str, stripped: str) -> None:
    """Surprise 8: `?appid=x` of the client is taken out, in whatever encoding its name comes."""
    assert strip_credentials(request(query=sent), RULES).query == stripped


def test_a_name_with_a_space_is_found_in_both_encodings() -> None:
    rules = [rule("query", "a b")]
    assert strip_credentials(request(query="a+b=1&c=2&a%20b=3"), rules).query == "c=2"


def test_ours_comes_last_and_fully_encoded() -> None:
    sent = inject(request(query="q=a+b%20c&&d"), RULES, TOKEN)
    assert sent.query == "q=a+b%20c&&d&appid=s3cr%2Ft%20%2B%26%3D%C3%A9"


def test_without_a_query_ours_is_the_only_pair() -> None:
    assert inject(request(), RULES, PLAIN).query == f"appid={PLAIN.reveal()}"


_NAMES = st.one_of(st.sampled_from(["appid", "app", ""]), st.text(max_size=4))
_PAIRS = st.tuples(_NAMES, st.text(max_size=6), st.sampled_from(["", "ap"]), st.booleans())


def _raw(name: str, value: str, encoded: str, with_value: bool) -> str:
    raw_name = "".join(f"%{ord(c):02x}" if c in encoded else quote(c, safe="") for c in name)
    return f"{raw_name}={quote(value)}" if with_value else raw_name


@given(st.lists(_PAIRS, max_size=6))
def test_the_upstream_reads_every_other_pair_as_before_and_ours_exactly_once(
    pairs: list[tuple[str, str, str, bool]],
) -> None:
    before = [_raw(*pair) for pair in pairs]
    sent = inject(strip_credentials(request(query="&".join(before)), RULES), RULES, TOKEN)
    parsed = parse_qsl(sent.query, keep_blank_values=True)
    others = [
        pair for pair in parse_qsl("&".join(before), keep_blank_values=True) if pair[0] != "appid"
    ]
    assert parsed == [*others, ("appid", TOKEN.reveal())]
    kept = [raw for raw, (name, *_) in zip(before, pairs, strict=True) if name != "appid"]
    assert [raw for raw in sent.query.split("&")[:-1] if raw] == [raw for raw in kept if raw]
