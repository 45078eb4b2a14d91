"""Whatever the file holds, loading it ends in settings or in `ConfigError`."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import load
from proxy.errors import ConfigError

pytestmark = pytest.mark.case("K08")
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


RUN = "os.system ['touch made']"
LAUGHTER = "\n".join(
    f"{name}: &{name} [{f'*{below}, ' * 9}]" for below, name in ("ab", "bc", "cd", "de", "ef")
)
HOSTILE = {
    "python/object/apply": (f"a: !!python/object/apply:{RUN}", "a tag (!) is not allowed"),
    "python/object/new": (f"a: !!python/object/new:{RUN}", "a tag (!) is not allowed"),
    "python/name": ("a: !!python/name:os.system ''", "a tag (!) is not allowed"),
    "python/module": ("a: !!python/module:made ''", "a tag (!) is not allowed"),
    "own tag": (
        "%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!object/apply:os.system [x]",
        "a tag",
    ),
    "a tag as a key": (f"? !!python/object/apply:{RUN}\n: x", "a key must be text"),
    "duplicate keys": ("upstreams: {}\nupstreams: {}", "duplicate key, first written in line 1"),
    "duplicate keys, spelled apart": ('upstreams: {}\n"\\u0075pstreams": {}', "duplicate key"),
    "alias bomb": (f"a: &a [x, x]\n{LAUGHTER}", "more than 10000 values, aliases included"),
    "merge bomb": ("a: &a {b: c}\nd: {<<: [*a, *a]}", "merge keys (<<) are not read"),
    "anchor of itself": ("a: &a {b: *a}", "nested deeper than 32 levels"),
    "deep lists": ("[" * 500_000, "nested deeper than 32 levels"),
    "deep mappings": ("{a: " * 100_000, "nested deeper than 32 levels"),
    "deep blocks": ("- " * 100_000, "nested deeper than 32 levels"),
    "many values": ("a: [" + "x, " * 100_000 + "]", "more than 10000 values"),
    "a number of many digits": ("a: " + "9" * 100_000, "expected a number or text"),
    "a tab": ("listen:\n\tport: 1", "a tab stands here"),
    "a byte order mark": ("\ufefflisten: {}", "the file begins with a byte order mark"),
    "UTF-16": ("listen: {}".encode("utf-16"), "the file is not UTF-8 here"),
    "UTF-16 without a mark": ("listen: {}".encode("utf-16-le"), "a control character stands here"),
    "two documents": ("a: b\n---\nc: d", "a second document begins here"),
    "over 1 MiB": ("#" + "x" * 1024 * 1024, "the file is larger than 1 MiB"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_in_a_line_before_it_does_anything(
    name, issues, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    content, said = HOSTILE[name]
    lines = issues(content)
    assert any(said in line for line in lines), lines
    assert all(line.startswith("sidekey.yaml:") and len(line) < 200 for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["sidekey.yaml"]


def test_of_a_file_of_100_mb_only_the_first_is_read(tmp_path):
    file = tmp_path / "sidekey.yaml"
    with file.open("wb") as content:
        content.truncate(100 * 1024 * 1024)
    tracemalloc.start()
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load(file, environ={})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


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
