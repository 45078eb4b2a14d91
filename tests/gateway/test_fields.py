"""What header fields pass, whatever a message holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.errors import UpstreamUnreachable
from proxy.gateway.fields import (
    HOP_BY_HOP,
    check_hops,
    hops,
    request_fields,
    response_fields,
    with_protection,
)
from proxy.refusals import LoopDetected

NAMES = st.sampled_from(
    [
        *("Connection", "Keep-Alive", "TE", "Transfer-Encoding", "Upgrade", "Proxy-Authorization"),
        *("Content-Length", "Content_Length", "Host", "Cookie", "Authorization", "X-Api-Key"),
        *("X_API_KEY", "Set-Cookie", "Sidekey-Error", "Access-Control-Allow-Origin", "X-Hop"),
        *("x_hop", "X-A", "x-a", "X_A", "Content-Type", "X_Forwarded_For", "Location"),
    ]
)
VALUES = st.sampled_from(
    ["1", "", "X-Hop", "close, x_hop", "Authorization", "a, ,b", "text/html", "東京", "\udcff"]
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5).map(CIMultiDict)
OURS = HOP_BY_HOP | {"host", "content-length", "authorization", "x-api-key", "cookie"}


def as_a_server_reads(name: str) -> str:
    return name.lower().replace("_", "-")


@given(FIELDS)
def test_nothing_of_the_connection_or_of_credentials_reaches_the_upstream_under_any_name(
    received: CIMultiDict[str],
) -> None:
    fields = request_fields(received, keep_credentials=False, keep_cookies=False)
    names = [as_a_server_reads(name) for name in fields]
    assert not OURS & set(names)
    assert not any(name.startswith(("x-forwarded-", "sidekey-")) for name in names)
    named = ",".join(received.getall("Connection", [])).split(",")
    assert not {as_a_server_reads(name.strip()) for name in named} & (set(names) - {"content-type"})
    typed = received.getall("Content-Type", [])
    kept = [value for value in typed if value != "\udcff"]  # what is no UTF-8 goes
    assert len(fields.getall("Content-Type", [])) == len(kept)


@given(FIELDS, st.sampled_from([200, 204, 304, 500]))
def test_every_answer_is_protected_and_none_opens_itself(
    received: CIMultiDict[str], status: int
) -> None:
    fields = with_protection(response_fields(received, keep_cookies=False), status)
    names = {as_a_server_reads(name) for name in fields}
    assert not names & {"set-cookie", "sidekey-error", "access-control-allow-origin"}
    assert not names & HOP_BY_HOP
    assert fields.getall("X-Content-Type-Options") == ["nosniff"]
    assert fields.getall("Cross-Origin-Resource-Policy") == ["same-origin"]
    for value in fields.values():
        value.encode()


@pytest.mark.parametrize("control", [chr(code) for code in [*range(9), *range(10, 32), 127]])
def test_an_answer_with_any_control_byte_in_a_field_is_none(control: str) -> None:
    with pytest.raises(UpstreamUnreachable, match="control"):
        response_fields(CIMultiDict({"X-A": f"a{control}b"}), keep_cookies=True)


def test_credentials_and_cookies_are_kept_where_they_are_the_clients_business() -> None:
    sent = CIMultiDict({"Authorization": "a", "X-Api-Key": "b", "Cookie": "c"})
    assert request_fields(sent, keep_credentials=True, keep_cookies=True) == sent
    assert [*request_fields(sent, keep_credentials=False, keep_cookies=True)] == ["Cookie"]


def test_a_304_leaves_the_rules_of_what_is_stored_alone() -> None:
    assert "Cache-Control" not in with_protection(CIMultiDict(), 304)
    assert with_protection(CIMultiDict(), 200)["Cache-Control"] == "no-store"


def test_only_ones_own_id_makes_a_loop() -> None:
    check_hops(CIMultiDict({"Sidekey-Hop": "other, another"}), "own")
    with pytest.raises(LoopDetected):
        check_hops(CIMultiDict([("Sidekey-Hop", "other"), ("sidekey-hop", "a , own")]), "own")


def test_an_upstream_behind_tls_learns_nothing_of_hops() -> None:
    """sidekey speaks clear text only, so whatever is behind TLS cannot lead back to it."""
    assert not hops(CIMultiDict({"Sidekey-Hop": "other"}), "own", "https://up.example")
    sent = hops(CIMultiDict({"Sidekey-Hop": "other"}), "own", "http://up.example")
    assert sent == CIMultiDict({"Sidekey-Hop": "other, own"})
