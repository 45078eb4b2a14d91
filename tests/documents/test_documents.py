"""The documents as Markdown and as pages: what is served, and where links lead."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from command_line import ROOT, Home
from document_blocks import FILES, FOLDER

from proxy.gateway.problems import PROTECTION
from proxy.observe import documents
from proxy.observe.documents import anchor, document, page, paths, url_of

PATHS = paths()
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
FENCE_OR_CODE = re.compile(r"`[^`\n]+`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Page(HTMLParser):
    """What stands in a page."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        text = page(path)
        assert text is not None
        self.text = text
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of(self, tag: str, attribute: str) -> list[str | None]:
        return [attrs.get(attribute) for name, attrs in self.tags if name == tag]


def path_of(file: Path) -> str:
    path = file.relative_to(FOLDER).with_suffix("").as_posix()
    return path.removesuffix("README").removesuffix("/")


def links_of(file: Path) -> list[str]:
    text = FENCE_OR_CODE.sub("", FENCE.sub("", file.read_text()))
    return LINK.findall(text)


def anchors_of(file: Path) -> set[str]:
    headings = HEADING.findall(FENCE.sub("", file.read_text()))
    return {anchor(heading.replace("`", "")) for heading in headings}


def test_every_file_is_a_document_and_there_is_no_other() -> None:
    assert set(PATHS) == {path_of(file) for file in FILES}
    for file in FILES:
        assert document(path_of(file)) == file.read_text()


@pytest.mark.parametrize("path", ["nothing", "../README", "problems/../../errors", "guides", "a/b"])
def test_what_is_no_document_is_none(path: str) -> None:
    assert document(path) is None
    assert page(path) is None


@pytest.mark.parametrize("path", ["problems", "problems/", "problems/README", "/problems/README"])
def test_an_index_is_found_in_every_spelling(path: str) -> None:
    assert document(path) == (FOLDER / "problems" / "README.md").read_text()


@pytest.mark.parametrize("file", FILES, ids=path_of)
def test_links_lead_to_a_file_and_to_a_heading_that_are_there(file: Path) -> None:
    """As a code host resolves them."""
    for link in links_of(file):
        target, _, fragment = link.partition("#")
        if "://" in target:
            continue
        found = (file.parent / target).resolve() if target else file
        assert found.is_file(), f"{file}: {link}"
        assert found.is_relative_to(ROOT), link
        if fragment:
            assert fragment in anchors_of(found), f"{file}: {link}"


@pytest.mark.parametrize("path", PATHS)
def test_links_of_a_page_lead_to_pages_that_are_there(path: str) -> None:
    known = {url_of(other): other for other in PATHS}
    for link in Page(path).of("a", "href"):
        assert link
        target, _, fragment = link.partition("#")
        if "://" in target or target == f"{documents.PREFIX}/" or not target:
            continue
        assert target in known, link
        if fragment:
            assert f'id="{fragment}"' in (page(known[target]) or ""), link


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_a_title_a_language_and_nothing_that_its_policy_forbids(path: str) -> None:
    shown = Page(path)
    [language] = shown.of("html", "lang")
    assert language == ("ja" if path.endswith(".ja") else "en")
    [title] = re.findall(r"<title>(.+) - sidekey</title>", shown.text)
    text = document(path)
    assert text is not None
    assert text.startswith(f"# {html.unescape(title)}\n")
    assert "default-src 'self'" in PROTECTION["Content-Security-Policy"]
    names = [name for name, _ in shown.tags]
    assert not {"script", "style", "iframe", "img"} & set(names)
    assert not any("style" in attrs for _, attrs in shown.tags)
    assert shown.of("link", "href") == [documents.STYLESHEET]
    assert names.count("h1") == 1
    ids = [attrs["id"] for _, attrs in shown.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_a_guide_links_to_its_other_language_and_back() -> None:
    both = [path for path in PATHS if path.startswith("guides/")]
    assert len(both) == 6
    for path in both:
        other = path.removesuffix(".ja") if path.endswith(".ja") else f"{path}.ja"
        links = [attrs for tag, attrs in Page(path).tags if tag == "a" and "hreflang" in attrs]
        language = "en" if path.endswith(".ja") else "ja"
        assert [(link["href"], link["hreflang"]) for link in links] == [(url_of(other), language)]


def test_both_languages_of_a_guide_have_the_same_sections_and_the_same_code() -> None:
    for english in FOLDER.glob("guides/*.md"):
        if english.name.endswith(".ja.md"):
            continue
        japanese = english.with_suffix(".ja.md")
        texts = [file.read_text() for file in (english, japanese)]
        levels = [re.findall(r"^#+", FENCE.sub("", text), re.MULTILINE) for text in texts]
        assert levels[0] == levels[1], english
        code = [[bare(block) for block in found(text)] for text in texts]
        assert code[0] == code[1], english
        rows = [len(re.findall(r"^\|", text, re.MULTILINE)) for text in texts]
        assert rows[0] == rows[1], english


def found(text: str) -> list[str]:
    return [match[0] for match in FENCE.finditer(text)]


def bare(block: str) -> list[str]:
    """The code without comments and texts in a language."""
    lines = (re.sub(r'\s*(#.*|""".*"""|"hello.*")', "", line) for line in block.splitlines())
    return [line for line in lines if line]


def test_a_file_of_the_repository_is_no_link_in_a_page() -> None:
    """A proxy that runs does not have it."""
    assert "../../SECURITY.md" in (document("") or "")
    assert "SECURITY.md</span>" in (page("") or "")
    assert "../" not in "".join(str(link) for link in Page("").of("a", "href"))


def test_what_scrolls_can_be_reached_with_the_keyboard() -> None:
    shown = Page("guides/jquants")
    assert set(shown.of("pre", "tabindex")) == {"0"}
    assert set(shown.of("table", "tabindex")) == {"0"}


async def test_the_library_is_loaded_by_who_looks_at_a_page_only(home: Home) -> None:
    code = """
import sys
from proxy.observe import documents
documents.document("")
print("markdown_it" in sys.modules, bool(documents.page("")), "markdown_it" in sys.modules)
"""
    assert (await home.python(code)).out == "False True True\n"


def test_the_stylesheet_is_there_and_loads_nothing_from_elsewhere() -> None:
    sheet = ROOT / "proxy" / "observe" / "static" / documents.STYLESHEET.rpartition("/")[2]
    text = sheet.read_text()
    assert "prefers-color-scheme: dark" in text
    assert "url(" not in text
    assert "@import" not in text
