"""Whatever the file holds, loading it ends in settings or in `ConfigError`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import load
from proxy.errors import ConfigError

WORD_TEXT = """
upstreams listen store a b type api_key keys provider preset misskey misskey-token token client_id
fujitsu-portal-legacy base_url https://a.example inject in header name reject_on 2026-01-01 401
status json port paths allow deny timeouts connect 5m ${A} ${file:b} $$ ${A:?b} ${ request url auth
basic null true 1e400 .inf 0b_ 1_0 ~ << *a &a !x ? |
"""
UPSTREAM_KEYS = "preset base_url port provider inject reject_on allow deny local_answers timeouts"
WORDS = st.sampled_from(WORD_TEXT.split())
PUNCTUATION = st.sampled_from(
    [": ", "\n", "\n  ", "\n    ", "- ", "{", "}", "[", "]", ", ", "'", '"']
)
YAML_LIKE = st.lists(st.one_of(WORDS, PUNCTUATION), max_size=60).map("".join)
KEYS = st.one_of(WORDS, st.text(max_size=5))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)
ONE_UPSTREAM = st.dictionaries(st.sampled_from(UPSTREAM_KEYS.split()), VALUES)


def loads_or_refuses(folder: Path, content: bytes, environ: Mapping[str, str]) -> None:
    file = folder / "sidekey.yaml"
    file.write_bytes(content)
    issues = [f"{file}:"]
    try:
        load(file, environ=environ)
    except ConfigError as error:
        issues = error.issues
    assert issues
    assert all(line.startswith(f"{file}:") and "\n" not in line for line in issues)


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.binary(), st.text().map(str.encode), YAML_LIKE.map(str.encode)))
def test_any_bytes_are_settings_or_issues(tmp_path_factory, content):
    loads_or_refuses(tmp_path_factory.getbasetemp(), content, {"A": "x"})


@settings(max_examples=200, deadline=None)
@given(upstream=st.one_of(VALUES, ONE_UPSTREAM), listen=VALUES, variable=st.text())
def test_any_values_are_settings_or_issues(tmp_path_factory, upstream, listen, variable):
    written = {"listen": listen, "upstreams": {"a": upstream}}
    content = json.dumps(written, ensure_ascii=False).encode()
    loads_or_refuses(tmp_path_factory.getbasetemp(), content, {"A": variable})
