"""The documents in the running proxy: pages for browsers, Markdown for programs."""

from __future__ import annotations

from functools import partial
from importlib.resources import files

from aiohttp import web

from proxy.gateway.problems import PROTECTION
from proxy.observe.answers import as_page
from proxy.observe.documents import document, page
from proxy.observe.pages import Route, Visit
from proxy.refusals import UnknownUpstream

MARKDOWN = "text/markdown"
FILES = {
    "prometheus/alerts.yml": "application/yaml",
    "prometheus/dashboard.json": "application/json",
}


def document_routes() -> list[Route]:
    """Return the pages; they are public, so everybody may read them."""
    return [
        Route("GET", "/docs", _document, is_open=True),
        *(Route("GET", f"/docs/{name}", partial(_file, name), is_open=True) for name in FILES),
        Route("GET", "/docs/{path*}", _document, is_open=True),
        Route("GET", "/problems", _problem, is_open=True),
        Route("GET", "/problems/{path*}", _problem, is_open=True),
    ]


async def _document(visit: Visit) -> web.Response:
    return _answer(visit, visit.arguments.get("path", ""))


async def _file(name: str, _visit: Visit) -> web.Response:
    """Answer with what somebody puts into another program."""
    return web.Response(
        body=(files("proxy") / "documents" / name).read_bytes(),
        headers=PROTECTION,
        content_type=FILES[name],
    )


async def _problem(visit: Visit) -> web.Response:
    return _answer(visit, f"problems/{visit.arguments.get('path', '')}")


def _answer(visit: Visit, path: str) -> web.Response:
    """Answer with the document at `path`, as the caller prefers it (RFC 9110 12.5.1)."""
    text = document(path)
    if text is None:
        raise UnknownUpstream("there is no such document", fix="see /_sidekey/docs/")
    if "text/html" in visit.request.headers.get("Accept", "").lower():
        return as_page(page(path) or "")
    return web.Response(text=text, headers=PROTECTION, content_type=MARKDOWN)
