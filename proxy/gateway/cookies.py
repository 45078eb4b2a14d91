"""Cookies that the upstream sets, as the client can keep them: for the local route only. Pure."""

from __future__ import annotations

from collections.abc import Collection

from multidict import CIMultiDict

# Secure: sidekey speaks clear text. Without it browsers refuse the other two.
_DROPPED = ("domain", "path", "secure", "partitioned", "samesite=none")


def with_local_cookies(
    fields: CIMultiDict[str], base_path: str, prefix: str, withheld: Collection[str]
) -> CIMultiDict[str]:
    """Return the fields of an answer with every `Set-Cookie` made local.

    `prefix` is what the client writes in place of `base_path`. Cookies named in `withheld` go: they
    are credentials that sidekey injects, and whatever the client sent in their place is replaced.
    """
    return CIMultiDict(
        (name, local_cookie(value, base_path, prefix) if _sets_cookie(name) else value)
        for name, value in fields.items()
        if not (_sets_cookie(name) and _cookie_name(value) in withheld)
    )


def _sets_cookie(name: str) -> bool:
    return name.lower() == "set-cookie"


def _cookie_name(value: str) -> str:
    return value.partition(";")[0].partition("=")[0].strip()


def local_cookie(value: str, base_path: str, prefix: str) -> str:
    """Return the value of a `Set-Cookie` field (RFC 6265 4.1) without Domain and Secure.

    Its path below `base_path` becomes that below `prefix`. A cookie with another path, or none,
    gets `prefix` itself: every route shares one host here, and none may get another's cookies.
    """
    pair, *attributes = (part.strip() for part in value.split(";"))
    kept = [attribute for attribute in attributes if not _is_dropped(attribute)]
    paths = [
        attribute.partition("=")[2].strip()
        for attribute in attributes
        if attribute.partition("=")[0].strip().lower() == "path"
    ]
    path = _local_path(paths[-1] if paths else "", base_path, prefix)  # the last one counts: 5.3
    return "; ".join([pair, *kept, f"Path={path}"])


def _is_dropped(attribute: str) -> bool:
    name, _, value = attribute.lower().partition("=")
    return name.strip() in _DROPPED or f"{name.strip()}={value.strip()}" in _DROPPED


def _local_path(path: str, base_path: str, prefix: str) -> str:
    rest = path.removeprefix(base_path) if path.startswith(f"{base_path}/") else ""
    return prefix + rest if rest not in ("", "/") else prefix or "/"
