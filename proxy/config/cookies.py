"""Cookies of two upstreams that a client would not tell apart."""

from __future__ import annotations

from proxy.config.issues import Issue, KeyPath, written


def cookie_conflicts(value: dict[str, object]) -> list[Issue]:
    """Return an issue for every upstream whose cookies would go to another one too.

    Cookies know paths, but no ports (RFC 6265 8.5): at a port of its own an upstream's path is `/`,
    which is the beginning of every other one's. `value` is what was written, presets filled in.
    """
    upstreams = value.get("upstreams")
    if not isinstance(upstreams, dict):
        return []
    passing = {
        name: upstream
        for name, upstream in upstreams.items()
        if isinstance(upstream, dict) and upstream.get("cookies") == "pass"
    }
    issues: list[Issue] = []
    for name, upstream in passing.items():
        others = [other for other in passing if other != name]
        if upstream.get("port") is not None and others:
            path: KeyPath = ("upstreams", name, "cookies")
            other = written(("upstreams", others[0]))
            text = f"cookies know no ports, and {other} would get these too: take port away"
            issues.append(Issue(path, text))
    return issues
