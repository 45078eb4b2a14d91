"""YAML that cannot be read is one clear line with line and column, at once."""

from __future__ import annotations

import re

import pytest

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 7)}]\n"
    for below, name in zip("abcdefg", "bcdefgh", strict=True)
)
UNREADABLE = {
    "empty": ("", "1:1: the file is empty"),
    "comments only": ("# nothing\n", "1:1: the file is empty"),
    "a list": ("- a\n", "1:1: expected keys such as `upstreams:` at the top"),
    "bare text": ("hello", "1:1: expected keys such as `upstreams:` at the top"),
    "tab": ("listen:\n\tport: 1\n", "2:1: a tab stands here: YAML is indented with spaces"),
    "byte order mark": (
        "\ufefflisten: {}\n",
        "1:1: the file begins with a byte order mark: save it as UTF-8 without BOM",
    ),
    "not UTF-8": (b"listen:\n  host: caf\xe9\n", "2:12: the file is not UTF-8 here"),
    "UTF-16": ("listen: {}".encode("utf-16"), "1:1: the file is not UTF-8 here"),
    "control character": ("listen:\n  host: a\x07b\n", "2:10: a control character stands here"),
    "two documents": (
        "listen: {}\n---\nlisten: {}\n",
        "2:1: a second document begins here: only one is read",
    ),
    "unclosed list": ("a: [1, 2\n", "2:1: did not find expected ',' or ']'"),
    "bad indentation": (
        "listen:\n   port: 1\n  host: x\n",
        "3:3: did not find expected key",
    ),
    "percent sign": (
        "a: %secret\n",
        "1:4: a value cannot start with this character: put the value in quotes",
    ),
    "alias without anchor": (
        "a: *secret\n",
        (
            "1:4: a value that starts with * is an alias of an anchor that is not there:"
            " put it in quotes if it is text"
        ),
    ),
    "too deep": ("a: " + "[" * 40 + "]" * 40, "1:35: nested deeper than 32 levels"),
    "alias bomb": (LAUGHS, "1:17: more than 10000 values, aliases included"),
    "alias of itself": ("a: &a [*a]\n", "1:4: nested deeper than 32 levels"),
    "many aliases": ("a: &a x\nb: [" + "*a, " * 65 + "]\n", "2:261: more than 64 aliases"),
    "too many values": ("a: [" + "x, " * 30_000 + "]", "1:59993: more than 10000 values"),
    "over 1 MiB": ("#" * (1024 * 1024 + 1), "1:1: the file is larger than 1 MiB"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_yaml_is_one_line_that_says_where_and_why(case, issues):
    text, expected = UNREADABLE[case]
    assert issues(text) == [f"sidekey.yaml:{expected}"]


def test_100_000_brackets_are_too_deep_wherever_the_parser_gives_up(issues):
    """PyYAML 6.0.4 gives up at its own limit before it tells of the first bracket."""
    (line,) = issues("a: " + "[" * 100_000)
    assert re.fullmatch(r"sidekey.yaml:1:(35|1003): nested deeper than 32 levels", line)


WRONG = {
    "duplicate key": (
        "listen: {port: 1}\nlisten: {port: 2}\n",
        "2:1: listen: duplicate key, first written in line 1",
    ),
    "duplicate upstream": (
        "upstreams:\n  a: {}\n  a: {}\n",
        "3:3: upstreams.a: duplicate key, first written in line 2",
    ),
    "number as key": ("401: x\n", "1:1: a key must be text: put it in quotes"),
    "list as key": ("? [a]\n: x\n", "1:3: a key must be text: put it in quotes"),
    "merge key": (
        "listen: &l {port: 1}\nstore: {<<: *l}\n",
        "2:9: store: merge keys (<<) are not read: write the keys out",
    ),
    "python tag": (
        "listen: !!python/object/apply:os.system [id]\n",
        "1:9: listen: a tag (!) is not allowed: put the value in quotes if it is text",
    ),
    "tag that may be a password": (
        "store:\n  key: !hunter2\n",
        "2:8: store.key: a tag (!) is not allowed: put the value in quotes if it is text",
    ),
    "no number": (
        "listen:\n  port: !!int many\n",
        "2:9: listen.port: expected a number or text",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_keys_and_tags_are_reported_at_their_place(case, issues):
    text, expected = WRONG[case]
    assert f"sidekey.yaml:{expected}" in issues(text)


def test_no_message_repeats_what_may_be_an_unquoted_password(issues):
    for password in (
        "*hunter2",
        "!hunter2",
        "&hunter2 &hunter2",
        "%hunter2",
        "@hunter2",
        "!h!unter2",
    ):
        assert "unter2" not in "\n".join(issues(f"store:\n  key: {password}\n"))


def test_anchors_and_aliases_in_small_number_are_read(load_text):
    loaded = load_text(
        """
upstreams:
  a:
    base_url: https://a.example
    provider: &key {type: api_key, keys: "${KEY}"}
  b:
    base_url: https://b.example
    provider: *key
""",
        {"KEY": "k"},
    )
    assert loaded.settings.upstreams["a"].provider == loaded.settings.upstreams["b"].provider
