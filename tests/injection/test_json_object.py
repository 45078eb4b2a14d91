"""Credentials in JSON objects."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from injection_samples import PLAIN, TOKEN, post, rule

from proxy.injection import inject
from proxy.refusals import ContentNotInjectable, ContentTypeNotInjectable

RULES = [rule("body", "i")]
OWN = f'"i":"{PLAIN.reveal()}"'.encode()


def injected(content: bytes, content_type: str = "application/json") -> bytes:
    sent = inject(post(content, content_type), RULES, PLAIN)
    assert sent.content is not None
    return sent.content


@pytest.mark.parametrize(
    ("sent", "rest"),
    [
        (b"{}", b"}"),
        (b"{ \n}", b" \n}"),
        (b'{"a":1}', b',"a":1}'),
        (b'{ "a" : 1.10 , "b":\t[ ] }\r\n', b', "a" : 1.10 , "b":\t[ ] }\r\n'),
        (
            b'{"n":123456789012345678901234567890,"e":1E+2}',
            b',"n":123456789012345678901234567890,"e":1E+2}',
        ),
        (b'{"a":1,"a":2}', b',"a":1,"a":2}'),
        (b'{"a":{"i":1},"I":2,"ii":3}', b',"a":{"i":1},"I":2,"ii":3}'),
        (b'{"\\u00e9":"\xc3\xa9\\/"}', b',"\\u00e9":"\xc3\xa9\\/"}'),
    ],
)
def test_ours_comes_first_and_every_other_byte_stays(sent: bytes, rest: bytes) -> None:
    """Surprise 13: numbers, key order, duplicates and spacing survive."""
    assert injected(sent) == b"{" + OWN + rest


@pytest.mark.parametrize(
    ("sent", "rest"),
    [
        (b'{"i":"dummy"}', b"}"),
        (b'{"i":null,"a":1}', b',"a":1}'),
        (b'{"a":1,"i":0}', b',"a":1}'),
        (b'{"a":1, "i":"" , "b":2 }', b',"a":1, "b":2 }'),
        (b'{"\\u0069":"dummy","a":1.10}', b',"a":1.10}'),
        (b'{"i":1,"a":1,"i":{"i":[2,"}"]},"b":"i","i":true}', b',"a":1,"b":"i"}'),
        (b'{"a":"\\"i\\":1,","i":"\\\\"}', b',"a":"\\"i\\":1,"}'),
        (b' { "i" : [ ] }\n', b"}\n"),
    ],
)
def test_the_clients_own_member_is_cut_out_wherever_and_however_it_stands(
    sent: bytes, rest: bytes
) -> None:
    """Surprise 8: `"i":"dummy"`, `"i":null`; a number there makes Misskey never answer.

    Surprise 13: duplicate `i`.
    """
    lead = sent[: sent.index(b"{")]
    assert injected(sent) == lead + b"{" + OWN + rest


def test_a_byte_order_mark_stays_in_front() -> None:
    """Surprise 13: real Misskey takes it."""
    assert injected(b'\xef\xbb\xbf {"a":1}') == b"\xef\xbb\xbf {" + OWN + b',"a":1}'
    assert injected(b'\xef\xbb\xbf{"i":1}') == b"\xef\xbb\xbf{" + OWN + b"}"


@pytest.mark.parametrize("content", [b"[]", b'[{"i":1}]', b"null", b"3", b'"abc"', b"true"])
def test_json_that_is_no_object_is_refused(content: bytes) -> None:
    """Surprise 13: array."""
    with pytest.raises(ContentNotInjectable, match="no object") as refusal:
        injected(content)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    "content",
    [
        b'{"i":',
        b"{",
        b" ",
        b"\xef\xbb\xbf",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":01}',
        b'{"a":1}{"b":2}',
        b'{"a":1} x',
        b'{"a":"\n"}',
        b'{"a":"\\x"}',
        b"{a:1}",
        b'{"a" 1}',
        b'{"a":1 /* i */}',
    ],
)
def test_invalid_json_is_refused(content: bytes) -> None:
    """Surprise 13: invalid JSON."""
    with pytest.raises(ContentNotInjectable, match="not valid JSON") as refusal:
        injected(content)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    "content", [b'{"a":"\xff"}', b'{"\xed\xa0\x80":1}', '{"a":1}'.encode("utf-16")]
)
def test_json_in_another_encoding_is_refused(content: bytes) -> None:
    with pytest.raises(ContentNotInjectable, match="UTF-8"):
        injected(content)


def test_a_refusal_does_not_repeat_the_content() -> None:
    for content in (b'{"secret-word":oops}', b'["secret-word"]', b'{"secret-word":"\xff"}'):
        with pytest.raises(ContentNotInjectable) as refusal:
            injected(content)
        assert "secret-word" not in f"{refusal.value} {refusal.value.fix}"
        assert refusal.value.__suppress_context__


@pytest.mark.parametrize("key", [b"a", b"i"])
def test_deep_nesting_is_refused_and_does_no_harm(key: bytes) -> None:
    deep = b'{"' + key + b'":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    with pytest.raises(ContentNotInjectable, match="nested too deeply"):
        injected(deep)


@pytest.mark.parametrize("key", [b"", b'"i":0,'])
def test_an_integer_of_any_length_passes(key: bytes) -> None:
    """Surprise 13: big ints, beside a member of ours to cut out and without."""
    digits = b"9" * 100_000
    assert injected(b"{" + key + b'"n":' + digits + b"}") == b"{" + OWN + b',"n":' + digits + b"}"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json;charset=utf-8",
        'Application/JSON; Charset="UTF-8"',
        "application/activity+json",
        "application/vnd.api+json; ext=x",
    ],
)
def test_every_json_type_in_utf8_takes_the_credential(content_type: str) -> None:
    """Surprise 13: charset param."""
    sent = inject(post(b"{}", content_type), RULES, PLAIN)
    assert sent.content == b"{" + OWN + b"}"
    assert sent.headers["Content-Type"] == content_type


@pytest.mark.parametrize("charset", ["utf-16", "shift_jis", '"iso-8859-1"'])
def test_json_in_another_charset_is_refused(charset: str) -> None:
    with pytest.raises(ContentTypeNotInjectable, match="charset"):
        injected(b"{}", f"application/json; charset={charset}")


def test_name_and_value_are_escaped() -> None:
    sent = inject(post(b"{}"), [rule("body", "k\\é", format='\\"{token}')], TOKEN)
    assert sent.content is not None
    assert json.loads(sent.content) == {"k\\é": f'\\"{TOKEN.reveal()}'}


_SPACES = ["", "", " ", "\t\r\n"]
_CHARACTERS = 'i"\\{}[],:\x7f\u2028é東😀'
_SCALARS = ["true", "false", "null", "-0", "1.10", "-1E+400", "1e-999", "12345678901234567890.5"]
_KEYS = ['"i"', '"\\u0069"', '"I"', '"a"', '""']


class _Writer(Random):
    """Writes members of an object: from one number, since hypothesis is slow at drawing many."""

    def space(self) -> str:
        return self.choice(_SPACES)

    def text(self) -> str:
        characters = self.choices(_CHARACTERS, k=self.randrange(6))
        return json.dumps("".join(characters), ensure_ascii=self.random() < 0.5)

    def value(self, depth: int) -> str:
        kind = self.randrange(4 if depth else 2)
        if kind == 0:
            return self.text()
        if kind == 1:
            return self.choice([*_SCALARS, str(self.getrandbits(80))])
        items = range(self.randrange(4))
        if kind == 2:
            inner = [self.space() + self.value(depth - 1) + self.space() for _ in items]
            return "[" + ",".join(inner) + "]"
        return _object([self.member(depth - 1) for _ in items], self.space())

    def member(self, depth: int = 3) -> str:
        key = self.choice([*_KEYS, self.text()])
        value = self.space() + self.value(depth) + self.space()
        return f"{self.space()}{key}{self.space()}:{value}"


def _object(members: list[str], empty: str) -> str:
    return "{" + (",".join(members) or empty) + "}"


def _member(seed: int) -> str:
    return _Writer(seed).member()


_MEMBERS = st.lists(st.integers(0, 2**32).map(_member), max_size=5)
_SPACE = st.sampled_from(_SPACES)


def _parsed(text: str) -> Any:
    return json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)


def _is_ours(member: str) -> bool:
    return bool(_parsed("{" + member + "}")[0][0] == "i")


@example([' "i" : 1 ', '"a":1.10'], "", "\ufeff", "\n")
@given(_MEMBERS, _SPACE, st.sampled_from(["", " \n", "\ufeff"]), _SPACE)
def test_any_object_keeps_its_other_members_to_the_byte_and_ours_stands_first_and_once(
    members: list[str], empty: str, lead: str, trail: str
) -> None:
    content = injected((lead + _object(members, empty) + trail).encode()).decode()
    others = [member for member in members if not _is_ours(member)]
    assert _parsed(content.removeprefix("\ufeff")) == [
        ("i", PLAIN.reveal()),
        *(_parsed("{" + member + "}")[0] for member in others),
    ]
    rest = "" if members else empty
    assert content == f"{lead}{{{','.join([OWN.decode(), *others])}{rest}}}{trail}"


@given(st.one_of(st.binary(max_size=40), st.text('{}[]",:i\\u0069 1.eE-nul\ufeff', max_size=30)))
def test_arbitrary_content_is_either_refused_or_ends_as_an_object_that_holds_ours(
    content: bytes | str,
) -> None:
    raw = content.encode() if isinstance(content, str) else content
    try:
        result = injected(raw)
    except ContentNotInjectable:
        return
    assert json.loads(result.removeprefix(b"\xef\xbb\xbf"))["i"] == PLAIN.reveal()
