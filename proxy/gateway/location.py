"""Where an answer leads the client: addresses of the upstream become those of its route. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from multidict import CIMultiDict

from proxy.gateway.target import check_path
from proxy.notation import origin_of
from proxy.refusals import BadTarget

FIELDS = frozenset({"location", "content-location"})
_MISREAD = re.compile(r"[\x00-\x20\x7f\\]")
_REFERENCE = re.compile(  # RFC 3986 appendix B, without looking into what follows the path
    r"(?:(?P<scheme>[^:/?#]+):)?(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)(?P<rest>.*)",
    re.DOTALL,
)


def with_local_locations(fields: CIMultiDict[str], base_url: str, prefix: str) -> CIMultiDict[str]:
    """Return the fields of an answer with `Location` and `Content-Location` of the upstream local.

    `prefix` is what the client writes in place of `base_url`: `/NAME`, or an empty text where a
    port or host name of its own stands for the upstream.
    """
    if not any(name in fields for name in FIELDS):
        return fields
    return CIMultiDict(
        (name, local_reference(value, base_url, prefix) if name.lower() in FIELDS else value)
        for name, value in fields.items()
    )


def local_reference(reference: str, base_url: str, prefix: str) -> str:
    """Return `reference` as the path of the local route if it leads below `base_url`.

    Everything else stays as it is: other origins, other schemes, paths outside of the base URL, and
    relative paths, which mean the same at the local route. Nobody follows them here.
    """
    if _MISREAD.search(reference):
        return reference  # a browser would read another reference than the pattern
    parts = _REFERENCE.fullmatch(reference)
    base = urlsplit(base_url)
    if parts is None or not _is_of(origin_of(base_url), base.scheme, parts):
        return reference
    path = parts["path"]
    if path != base.path and not path.startswith(f"{base.path}/"):
        return reference
    local = prefix + path.removeprefix(base.path) or "/"
    if local.startswith("//") or not _is_plain(path):
        return reference  # would lead to another host, or climb out of the route
    return local + parts["rest"]


def _is_of(origin: str, scheme: str, parts: re.Match[str]) -> bool:
    """Tell whether a reference that was found at `scheme` leads to `origin`."""
    if parts["authority"] is None:
        return parts["scheme"] is None and parts["path"].startswith("/")
    try:
        return origin_of(f"{parts['scheme'] or scheme}://{parts['authority']}") == origin
    except ValueError:  # brackets that hold no address
        return False


def _is_plain(path: str) -> bool:
    try:
        check_path(path, "pass")
    except BadTarget:
        return False
    return True
