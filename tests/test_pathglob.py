"""Globs for paths."""

from __future__ import annotations

import time
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from proxy.pathglob import PathGlob, matches


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("/streaming", "/streaming"),
        ("/api/*", "/api/i"),
        ("/api/*", "/api/"),
        ("/api/*/check", "/api/miauth-1/check"),
        ("/api/**", "/api/notes/create"),
        ("/api/**", "/api/"),
        ("/api/**", "/api"),
        ("/**", ""),
        ("/**", "/"),
        ("**", "/any/thing"),
        ("/**/create", "/api/notes/create"),
        ("/a+(b).c", "/a+(b).c"),
        ("/v1/**", "/v1/line\nbreak"),
        ("/日本", "/%E6%97%A5%E6%9C%AC"),
    ],
)
def test_a_glob_matches(glob: str, path: str) -> None:
    assert matches(path, [glob])


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("/streaming", "/streaming/"),
        ("/streaming", "/Streaming"),
        ("/api/*", "/api/notes/create"),
        ("/api/*", "/api"),
        ("/api/**", "/apis"),
        ("/api", "/v1/api"),
        ("/a.c", "/abc"),
        ("/api/[i]", "/api/i"),
    ],
)
def test_a_glob_does_not_match(glob: str, path: str) -> None:
    assert not matches(path, [glob])


def test_percent_encoded_letters_do_not_dodge_a_rule() -> None:
    assert matches("/oauth/%74oken", ["/oauth/token"])


def test_a_path_is_decoded_only_once() -> None:
    assert not matches("/oauth/%2574oken", ["/oauth/token"])


def test_one_match_among_several_globs_is_enough_and_none_at_all_is_no_match() -> None:
    assert matches("/b", ["/a", "/b"])
    assert not matches("/b", [])


@pytest.mark.parametrize("glob", ["", "api/**", "*", "/a?b=1", "/a#b", "/a\nb"])
def test_a_glob_that_could_never_match_is_refused(glob: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(PathGlob).validate_python(glob)


@given(st.text(st.characters(codec="ascii", exclude_characters="*?#%")))
def test_a_glob_without_stars_matches_only_its_own_text(text: str) -> None:
    assert matches("/" + text, ["/" + text])
    assert not matches("/" + text + "x", ["/" + text])


def slowly(glob: str, path: str) -> bool:
    """The meaning of a glob, letter by letter: every star tries every length."""

    @cache
    def fits(at: int, place: int) -> bool:
        rest = glob[at:]
        if rest == "/**":
            return place == len(path) or path[place] == "/"
        if not rest:
            return place == len(path)
        letter = path[place : place + 1]
        if rest.startswith("**"):
            after = at + len(rest) - len(rest.lstrip("*"))
            return fits(after, place) or (letter != "" and fits(at, place + 1))
        if rest[0] == "*":
            return fits(at + 1, place) or (letter not in ("", "/") and fits(at, place + 1))
        return rest[0] == letter and fits(at + 1, place + 1)

    return fits(0, 0)


def text_of(pieces: list[str], length: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), max_size=length).map("".join)


@given(text_of(["*", "**", "/**", "/", "a", "b"], 10), text_of(["/", "a", "b", "\n"], 12))
@example("/a*b/**/b", "/aab/b")
@example("**/a*b/b", "/a/ab/b")
@example("**a*b*a", "/a/abba")
@example("/**/a*/b/**", "/ab/a/b/a")
def test_taking_each_piece_where_it_first_fits_finds_every_match(glob: str, path: str) -> None:
    assert matches(path, [glob]) == slowly(glob, path)


def cost(glob: str, piece: str, size: int) -> float:
    """The least processor time that it took to compare `size` characters some times."""
    path = ("/v1/" + piece * size)[:size]
    times = []
    for _ in range(3):
        begun = time.process_time()
        for _ in range(10):
            matches(path, [glob])
        times.append(time.process_time() - begun)
    return min(times)


@pytest.mark.parametrize(
    ("glob", "piece"),
    [
        ("/**/a/**/b/**/c", "/a/b"),
        ("/**/a/**/b/**/c", "/a"),
        ("/v1/*-*-*/x", "-"),
        ("/v1/*a*a*a/**", "a"),
        ("**/*a*a*b/**", "a"),
        ("**/*/*/*/x", "/"),
        ("**a**b**c", "ab"),
        ("**aaab", "a"),
        ("/**/admin/**/delete", "/admin/a"),
    ],
)
def test_four_times_as_long_a_path_takes_four_times_as_long(glob: str, piece: str) -> None:
    """A target may have 16 KiB; quadratic time would be 16 times as much."""
    assert cost(glob, piece, 16 * 1024) < 8 * cost(glob, piece, 4 * 1024) + 0.01
