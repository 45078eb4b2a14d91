"""Answers of our own pages."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from proxy.gateway.problems import PROTECTION
from proxy.observe.markup import protection


def as_json(members: Any, status: int = 200) -> web.Response:
    """Return an answer with `members` as JSON."""
    text = json.dumps(members, ensure_ascii=False) + "\n"
    return web.Response(
        status=status, text=text, headers=PROTECTION, content_type="application/json"
    )


def as_page(html: str, status: int = 200) -> web.Response:
    """Return an answer with a page."""
    return web.Response(status=status, text=html, headers=protection(), content_type="text/html")
