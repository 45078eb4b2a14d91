"""Where redirects lead: the upstream's own addresses are those of its route."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from gateway_samples import keyed
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict
from proxying import sidekey
from raw_client import ask
from raw_upstream import RawRequest, answering, response

from proxy.gateway.location import local_reference, with_local_locations

BASE = "https://up.example/base"


@pytest.mark.parametrize(
    ("reference", "local"),
    [
        ("https://up.example/base/a?b=%2F&c#d", "/r/a?b=%2F&c#d"),
        ("https://up.example:443/base/a", "/r/a"),
        ("HTTPS://UP.example/base/a", "/r/a"),
        ("//up.example/base/a", "/r/a"),
        ("/base/a", "/r/a"),
        ("https://up.example/base", "/r"),
        ("https://up.example/base?a=1", "/r?a=1"),
        ("https://up.example/base/", "/r/"),
        ("https://up.example/base//a", "/r//a"),
        ("/base/a%2Fb", "/r/a%2Fb"),
        ("/base/東京", "/r/東京"),
    ],
)
def test_an_address_below_the_base_url_becomes_one_of_the_route(reference: str, local: str) -> None:
    assert local_reference(reference, BASE, "/r") == local
    own = local.removeprefix("/r")
    if not own.startswith("//"):
        assert local_reference(reference, BASE, "") == (own if own[:1] == "/" else f"/{own}")


@pytest.mark.parametrize(
    "reference",
    [
        "http://up.example/base/a",
        "https://up.example:8443/base/a",
        "https://up.example.evil.example/base/a",
        "https://user@up.example/base/a",
        "https://up.example@evil.example/base/a",
        "https://up.example/other",
        "https://up.example/basement",
        "/other",
        "/",
        "//evil.example/base/a",
        "///up.example/base/a",
        "https:/base/a",
        "javascript:alert(1)",
        "a",
        "../a",
        "?a",
        "#a",
        "",
        "https://[up.example/base/a",
        "https://up.example/base/../other",
        "/base/%2e%2e/other",
        "/base/..;/other",
        "/base/..%2fother",
        "/base\\..\\other",
        "/base/a b",
        " /base/a",
        "/base/%zz",
    ],
)
def test_everything_else_stays_as_it_is(reference: str) -> None:
    for prefix in ("/r", ""):
        assert local_reference(reference, BASE, prefix) == reference


@pytest.mark.parametrize("reference", ["https://up.example//evil.example/a", "/base//evil.example"])
def test_no_reference_to_another_host_is_made(reference: str) -> None:
    base = "https://up.example" + ("/base" if reference.startswith("/base") else "")
    assert local_reference(reference, base, "") == reference


PIECES = ["https:", "http:", "//", "/", "up.example", "evil.example", "base", "..", ".", "%2e", "a"]
REFERENCES = st.lists(
    st.sampled_from([*PIECES, "\\", "@", ":443", "?", "#", ";", "%2f", " ", "é", "["]), max_size=6
).map("".join)


@example("//up.example/base/..;/a", "/r")
@given(st.one_of(REFERENCES, REFERENCES.map("/base".__add__)), st.sampled_from(["/r", ""]))
def test_what_is_changed_leads_to_the_local_route_and_no_further(
    reference: str, prefix: str
) -> None:
    local = local_reference(reference, BASE, prefix)
    if local == reference:
        return
    followed = urlsplit(urljoin("http://127.0.0.1:8080/r/x", local))
    meant = urlsplit(urljoin("https://up.example/base/x", reference))
    assert followed.netloc == "127.0.0.1:8080"
    assert followed.path.removeprefix(prefix) in (meant.path.removeprefix("/base"), "/")
    assert (followed.query, followed.fragment) == (meant.query, meant.fragment)


def test_only_location_and_content_location_change_and_the_order_stays() -> None:
    fields = [("link", "/base/a"), ("LOCATION", "/base/a"), ("X", "1"), ("Content-Location", "b")]
    local = with_local_locations(CIMultiDict(fields), BASE, "/r")
    assert list(local.items()) == [fields[0], ("LOCATION", "/r/a"), *fields[2:]]


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [("/r/a?b=c", None, "/r/next"), ("/a", "r.localhost", "/next"), ("/r", None, "/r/next")],
)
async def test_a_redirect_within_the_upstream_leads_back_through_the_way_that_the_client_came(
    tmp_path: Path, target: str, host: str | None, expected: str
) -> None:
    """Surprise 19."""

    def redirect(request: RawRequest) -> bytes:
        location = f"http://{request.field('Host')[0]}/v1/next"
        return response("302 Found", b"", f"Location: {location}", "Content-Location: /v1/next")

    async with (
        answering(redirect) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, path="/v1")) as proxy,
    ):
        host = f"{host}:{proxy.port}" if host else None
        answer = await ask(proxy, f"GET {target}", host=host)
    assert answer.field("Location") == answer.field("Content-Location") == [expected]
