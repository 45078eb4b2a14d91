"""HTML of our own pages: elements whose text can never become markup, and the frame around them."""

from __future__ import annotations

import html
import re

from aiohttp import web

STYLESHEET = "/_sidekey/static/pages.css"
ICON = "/_sidekey/static/icon.svg"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
)
_PROTECTION = {  # nobody may keep our pages, embed them, or hold on to their window
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: browsers would then call the origin of our own forms null (Fetch standard).
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_WEIGHT = re.compile(r"\d(\.\d*)?|\.\d+")
_VOID = ("input", "link", "meta")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | bool | None) -> Markup:
    """Return an element; children that are no `Markup` are text.

    `data_state` becomes `data-state`, `class_` becomes `class`; attributes that are `None` or false
    are left out.
    """
    start = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{start}>")
    content = "".join(
        child if isinstance(child, Markup) else html.escape(child) for child in children
    )
    return Markup(f"<{name}{start}>{content}</{name}>")


def _attribute(key: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(value)}"'


def html_page(
    title: str,
    *content: Markup,
    status: int = 200,
    script: str | None = None,
    refresh: str | None = None,
    form_action: str = "'self'",
    **attributes: str | None,
) -> web.Response:
    """Return a page: `content` in a `main` element with `attributes`, and a link to the dashboard.

    `script` is the address of a module; `refresh` sends the browser on without one, as in `5` or
    `5; url=/there`. Forms may lead to the sources of `form_action` only.
    """
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} - sidekey"),
        element("link", rel="icon", href=ICON),
        element("link", rel="stylesheet", href=STYLESHEET),
    ]
    if script is not None:
        head.append(element("script", type="module", src=script))
    if refresh is not None:
        head.append(element("meta", http_equiv="refresh", content=refresh))
    navigation = element("nav", element("a", "sidekey", href="/_sidekey/"))
    main = element("main", element("h1", title), *content, **attributes)
    whole = element("html", element("head", *head), element("body", navigation, main), lang="en")
    return web.Response(
        status=status,
        text=f"<!doctype html>\n{whole}\n",
        headers=protection(form_action),
        content_type="text/html",
        charset="utf-8",
    )


def protection(form_action: str = "'self'") -> dict[str, str]:
    """Return the fields of a page of ours, whose forms may lead to the sources of `form_action`."""
    return _PROTECTION | {"Content-Security-Policy": _POLICY.format(form_action=form_action)}


def prefers_html(accept: str) -> bool:
    """Tell by an Accept field whether HTML is wanted rather than JSON (RFC 9110 12.5.1).

    Java's HttpURLConnection names HTML and two kinds of images by default, in programs that want
    JSON. A browser that names images names XHTML too.
    """
    weights = dict(map(_weighed, accept.lower().split(",")))
    page = weights.get("text/html", 0.0)
    json = max((weight for name, weight in weights.items() if "json" in name), default=0.0)
    others = max(weights.get("*/*", 0.0), weights.get("application/*", 0.0))
    is_java = "image/gif" in weights and "application/xhtml+xml" not in weights
    return page > json and page >= others and not is_java


def _weighed(media_range: str) -> tuple[str, float]:
    """Return a media range without its parameters, and its weight; 0 for one that is no number."""
    name, *parameters = (part.strip() for part in media_range.split(";"))
    weight = next((one.removeprefix("q=") for one in parameters if one.startswith("q=")), "1")
    return name, float(weight) if _WEIGHT.fullmatch(weight) else 0.0
