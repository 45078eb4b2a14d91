"""The documents of sidekey: Markdown that the package carries, and the pages made of it."""

from __future__ import annotations

import html
import logging
import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

PREFIX = "/_sidekey"
STYLESHEET = f"{PREFIX}/static/pages.css"
_INDEX = "README"
_PROBLEMS = "problems"
_LANGUAGES = {"en": "English", "ja": "日本語"}
_JAPANESE = ".ja"
_ANCHOR = re.compile(r"[^\w\- ]")
_REACHABLE_PRE = '<pre tabindex="0">'
_PAGE = """\
<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - sidekey</title>
<link rel="stylesheet" href="{stylesheet}">
</head>
<body>
<nav>{navigation}</nav>
<main>
{content}</main>
</body>
</html>
"""


def paths() -> tuple[str, ...]:
    """Return the paths of all documents, such as `guides/jquants`.

    The index of a folder has the folder's own, the first one of all an empty one.
    """
    return tuple(_documents())


def document(path: str) -> str | None:
    """Return the Markdown of the document at `path`, `None` if there is none."""
    return _documents().get(_normal(path))


def page(path: str) -> str | None:
    """Return the document at `path` as a complete HTML page, `None` if there is none.

    Its links lead to the pages of the other documents. It has no style and no script of its own.
    """
    path = _normal(path)
    return _page(path) if path in _documents() else None


def url_of(path: str) -> str:
    """Return where the proxy serves the document at `path`; problems have a place of their own."""
    if path == _PROBLEMS or path.startswith(f"{_PROBLEMS}/"):
        return f"{PREFIX}/{path}"
    return f"{PREFIX}/docs/{path}"


def anchor(heading: str) -> str:
    """Return the id of a heading, as code hosts make it."""
    return _ANCHOR.sub("", heading.strip().lower()).replace(" ", "-")


@cache
def _documents() -> Mapping[str, str]:
    return dict(sorted(_below(resources.files("proxy") / "documents", "")))


def _below(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    """Return path and text of every document in `folder`, of which the paths begin so."""
    found: list[tuple[str, str]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _below(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".md"):
            path = _normal(prefix + entry.name.removesuffix(".md"))
            found.append((path, entry.read_text(encoding="utf-8")))
    return found


def _normal(path: str) -> str:
    """Return the one spelling of a path: the index of a folder has the folder's own.

    A name may end as that of its file, as links in the Markdown do.
    """
    path = path.strip("/").removesuffix(".md")
    folder, _, name = path.rpartition("/")
    return folder if name == _INDEX else path


@cache
def _page(path: str) -> str:
    tokens = _parser().parse(_documents()[path])
    _mark(tokens)
    for token in tokens:
        _lead_links(token.children or [], path)
    content = _parser().renderer.render(tokens, _parser().options, {})
    return _PAGE.format(
        language="ja" if path.endswith(_JAPANESE) else "en",
        title=html.escape(_title(tokens)),
        stylesheet=STYLESHEET,
        navigation=_navigation(path),
        content=content.replace("<pre>", _REACHABLE_PRE),
    )


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # only who looks at a page needs it

    logging.getLogger("markdown_it").setLevel(logging.INFO)  # it tells of every rule that it tries
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _mark(tokens: Sequence[Token]) -> None:
    """Give headings their ids, and let the keyboard reach tables, which may scroll."""
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(_text(inline)))
        elif token.type == "table_open":
            token.attrSet("tabindex", "0")


def _title(tokens: Sequence[Token]) -> str:
    return next(_text(token) for token in tokens if token.type == "inline")


def _text(inline: Token) -> str:
    kinds = ("text", "code_inline")
    return "".join(token.content for token in inline.children or [] if token.type in kinds)


def _lead_links(tokens: Sequence[Token], path: str) -> None:
    """Let links to documents lead to their pages; one to a file of the repository is none here."""
    is_dead = False
    for token in tokens:
        if token.type == "link_open":
            url = _led(str(token.attrGet("href")), path)
            is_dead = url is None
            token.attrSet("href", url or "")
        if is_dead and token.type in ("link_open", "link_close"):
            is_dead = token.type == "link_open"
            token.tag, token.attrs = "span", {}


def _led(link: str, path: str) -> str | None:
    """Return where a link of the document at `path` leads; `None` out of the documents."""
    target, hash_, fragment = link.partition("#")
    if "://" in target or target.startswith("/") or not target:
        return link
    found = _normal(resolved(target, path).removesuffix(".md"))
    return url_of(found) + hash_ + fragment if found in _documents() else None


def resolved(target: str, path: str) -> str:
    """Return the file that a relative link of the document at `path` names, from their folder."""
    return posixpath.normpath(posixpath.join(_folder(path), target))


def _folder(path: str) -> str:
    is_index = path == "" or any(other.startswith(f"{path}/") for other in _documents())
    return path if is_index else posixpath.dirname(path)


def _navigation(path: str) -> str:
    links = [("sidekey", f"{PREFIX}/"), ("Documents", url_of(""))]
    links += [("Problems", url_of(_PROBLEMS))]
    own = path.removesuffix(_JAPANESE)
    if path != own or own + _JAPANESE in _documents():
        language, other = ("en", own) if path != own else ("ja", own + _JAPANESE)
        return _links(links) + (
            f' <a href="{url_of(other)}" hreflang="{language}" lang="{language}">'
            f"{_LANGUAGES[language]}</a>"
        )
    return _links(links)


def _links(links: Sequence[tuple[str, str]]) -> str:
    return " ".join(f'<a href="{url}">{text}</a>' for text, url in links)
