"""Which upstream a request is for: by the listener's own, by `NAME.localhost` or by prefix."""

from __future__ import annotations

from collections.abc import Collection

from proxy.gateway.clients import Clients
from proxy.gateway.guard import OWN_HOST_SUFFIX, Caller, Listener
from proxy.gateway.head import Head
from proxy.gateway.target import Target, split_prefix
from proxy.nearest import did_you_mean
from proxy.notation import any_of
from proxy.observe.markup import prefers_html
from proxy.refusals import CrossSiteRefused, UnknownUpstream

OWN_PREFIX = "_sidekey"


def is_own(target: Target) -> bool:
    """Tell whether a target is one of our own pages, on every listener and host."""
    return split_prefix(target)[0] == OWN_PREFIX


def is_front_door(listener: Listener, caller: Caller, head: Head) -> bool:
    """Tell whether a browser opens the root of what is nobody's own: there it finds us."""
    is_somebodys = listener.upstream is not None or caller.host.endswith(OWN_HOST_SUFFIX)
    if caller.target.path != "/" or is_somebodys or head.method not in ("GET", "HEAD"):
        return False
    navigates = head.headers.get("Sec-Fetch-Mode") == "navigate"
    return navigates or prefers_html(head.headers.get("Accept", ""))


def route(listener: Listener, host: str, target: Target) -> tuple[str, Target]:
    """Return the upstream's name and the rest of the target, wherever the name stands."""
    if listener.upstream is not None:
        return listener.upstream, target
    if host.endswith(OWN_HOST_SUFFIX):
        return host.removesuffix(OWN_HOST_SUFFIX), target
    return split_prefix(target)


def check_served(name: str, served: Collection[str], caller: Caller, clients: Clients) -> None:
    """Raise `UnknownUpstream` for a name that is not served, unless the caller may learn none."""
    if name in served:
        return
    if not caller.known:
        raise clients.refusal()  # who is not known learns no names
    fix = f"call {any_of([f'/{one}/' for one in served])}"
    if not name:  # the root, which everybody tries first
        fix += f"; the dashboard is /{OWN_PREFIX}/"
    raise UnknownUpstream(f"no upstream has this route{did_you_mean(name, served)}", fix=fix)


def check_navigation(caller: Caller) -> None:
    """Raise `CrossSiteRefused` for a browser that opens a page, where it may not."""
    if caller.navigating:
        raise CrossSiteRefused(
            "a browser opened this address: a link in any document can make it do so",
            fix="call it from a program, or set listen.browser_navigation: true",
        )
