"""Whatever the target: it is refused, or goes to the configured origin, below the configured path.

The other reader of paths here decodes with the standard library, until nothing changes any more.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hostile_fixtures import ON_TCP, Attack
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from proxy.clock import Clock, utc_now
from proxy.config.models import Upstream
from proxy.credentials.exchange import Exchange
from proxy.credentials.redaction import Redaction
from proxy.credentials.resources import Resources
from proxy.credentials.source import Source
from proxy.credentials.stores.memory import MemoryStore
from proxy.events import nobody
from proxy.gateway.access import Access
from proxy.gateway.target import check_path, parse, split_prefix
from proxy.gateway.upstream import UpstreamConnections
from proxy.notation import origin_of
from proxy.refusals import BadTarget, NotAllowed

BASES = ["http://up.example", "https://up.example:8443/base/v1", "http://127.0.0.1:81/b%20c"]
PIECES = [
    *("/", "//", "/../", "/./", "..", ".", "%2e", "%2E", "%252e", "%2f", "%2F", "%252F", "%25"),
    *("%5c", "\\", ";", "..;x", "%3b", "%00", "%0d%0a", "%zz", "%", "%32%65", "%2525252e", "~"),
    *("a", "r", "v1", "admin", "%61dmin", "?", "#", "@evil.example", ":80", "evil.example"),
    *("http://", " ", "\r\n", "é", "%c3%a9", "%ff", "\x7f"),
]
TARGETS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
POLICIES: st.SearchStrategy[Literal["refuse", "pass"]] = st.sampled_from(["refuse", "pass"])


def upstream(base_url: str) -> UpstreamConnections:
    settings = Upstream.model_validate(
        {"base_url": base_url, "provider": {"type": "api_key", "keys": "key"}}
    )
    source = Source(
        "r",
        settings.provider.at(base_url),
        base_url,
        Resources(MemoryStore(now=utc_now), Exchange(Clock()), nobody, Redaction()),
    )
    return UpstreamConnections("r", settings, source)


UPSTREAMS = {base_url: upstream(base_url) for base_url in BASES}


def sent(base_url: str, raw: str, encoded_slashes: Literal["refuse", "pass"]) -> URL | None:
    """Return the URL that is asked for, `None` if the target is refused or has another route."""
    try:
        name, rest = split_prefix(parse(raw))
        if name != "r":
            return None
        check_path(rest.path, encoded_slashes)
    except BadTarget:
        return None
    connections = UPSTREAMS[base_url]
    line = connections.start_line("GET", connections.base_path + rest.path, rest.query)
    _, target, _ = line.decode().split(" ")
    return URL(f"{origin_of(base_url)}{target}", encoded=True)


@pytest.mark.case("P18")
@example("https://up.example:8443/base/v1", "/r/%2e%2e/%2E%2e/admin", "pass")
@example("http://up.example", "/r//evil.example/a", "refuse")
@example("http://up.example", "/r?x", "refuse")
@example("https://up.example:8443/base/v1", "/r?", "refuse")
@example("http://up.example", "/r@evil.example/a", "refuse")
@given(st.sampled_from(BASES), st.one_of(TARGETS.map("/r".__add__), TARGETS, st.text()), POLICIES)
def test_a_target_is_refused_or_stays_below_the_base_url(
    base_url: str, raw: str, encoded_slashes: Literal["refuse", "pass"]
) -> None:
    url = sent(base_url, raw, encoded_slashes)
    if url is None:
        return
    base = urlsplit(base_url)
    origin = (url.scheme, url.host, url.port)
    assert origin == (base.scheme, base.hostname, base.port or URL(base_url).port)
    assert (url.user, url.password, url.fragment) == (None, None, "")
    path, _, query = url.raw_path_qs.partition("?")
    assert path == base.path or path.startswith(f"{base.path}/")
    rest = path.removeprefix(base.path) + (f"?{query}" if query else "")
    asked = raw.removeprefix("/r")
    if not base.path and not asked.startswith("/"):
        asked = f"/{asked}"  # a path of a request is never empty (RFC 9112 3.2.1)
    assert rest in (asked, asked.removesuffix("?"))
    check_readings(path, encoded_slashes)


def check_readings(path: str, encoded_slashes: str) -> None:
    """Check that no number of decodings makes a dot segment, or a slash that was none before."""
    slashes, reading, decoded = path.count("/"), b"", path.encode()
    while decoded != reading:
        reading, decoded = decoded, unquote_to_bytes(decoded)
        segments = [segment.partition(b";")[0] for segment in reading.split(b"/")]
        assert not {b".", b".."} & set(segments)
        assert not any(byte < 0x20 or byte in b"\x7f\\" for byte in reading)
        assert encoded_slashes == "pass" or reading.count(b"/") == slashes


@pytest.mark.case("P18")
@ON_TCP
@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(targets=st.lists(TARGETS.map("/r/".__add__), min_size=20, max_size=50))
async def test_no_target_reaches_anything_else_on_the_wire(
    attack: Attack, targets: list[str]
) -> None:
    """h11 reads what arrives, and the oracles judge it."""
    async with attack() as hostile:
        for target in targets:
            line = b"GET %s HTTP/1.1\r\n" % target.encode().translate(None, b"\r\n \t")
            await hostile.send(line + b"Host: %s\r\n\r\n" % hostile.proxy.host.encode())
        assert all(request.target.startswith("/base/v1/") for request in hostile.arrived)


CLOSED = Access(
    Upstream.model_validate(
        {
            "base_url": "http://up.example",
            "provider": {"type": "api_key", "keys": "key"},
            "deny": [{"paths": ["/v1/admin/**"]}],
        }
    ),
    ["http://up.example/oauth/token"],
)
OPEN = Access(
    Upstream.model_validate(
        {
            "base_url": "http://up.example",
            "provider": {"type": "api_key", "keys": "key"},
            "allow": [{"paths": ["/v1/*/public"]}],
        }
    ),
    [],
)
SPELLINGS = st.sampled_from(["/", "//", "%2f", "%2F", "%252f", "/;x/", ";x/", "%3bx%2F", "%25252F"])


@pytest.mark.case("P16")
@given(
    st.lists(SPELLINGS, min_size=3, max_size=3),
    st.sampled_from([["v1", "admin", "x"], ["V1", "%61dmin", "x"], ["v1", "aD%256din", "x"]]),
)
def test_what_is_denied_is_denied_however_its_slashes_are_written(
    slashes: list[str], segments: list[str]
) -> None:
    path = "/" + "".join(map("".join, zip(segments, slashes, strict=True)))
    with pytest.raises(NotAllowed, match="deny"):
        CLOSED.check("GET", path)
    with pytest.raises(NotAllowed, match="token"):
        CLOSED.check("GET", f"/oauth{slashes[0]}%74oken{slashes[1]}")


@given(st.lists(SPELLINGS, min_size=1, max_size=3), st.sampled_from(["a", "b;c"]))
def test_what_is_allowed_is_allowed_in_every_reading(slashes: list[str], segment: str) -> None:
    """To one server `/v1/a%2Fb/public` has three segments, to the next one four."""
    path = "/v1/" + segment + "b".join(slashes) + "x/public"
    with pytest.raises(NotAllowed, match="allow"):
        OPEN.check("GET", path)


@pytest.mark.parametrize("path", ["/v1/a/public", "/v1/%61/public", "/v1/a%20b/public"])
def test_what_has_one_reading_only_is_allowed(path: str) -> None:
    OPEN.check("GET", path)
