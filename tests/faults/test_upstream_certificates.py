"""Certificates that prove nothing: no credential is sent."""

from __future__ import annotations

import json
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from command_line import Home
from gateway_samples import KEY
from raw_client import RawAnswer, message, raw_client
from raw_upstream import OK, Conversation, RawUpstream, conversing

UNTRUSTED = ("expired", "other-name", "other-authority", "self-signed")


def speaking(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return a server's TLS settings with that certificate."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(settings)
    return settings


def servers(folder: Path) -> dict[str, ssl.SSLContext]:
    """Return TLS settings of servers named `localhost`; `ca.pem` trusts the first authority."""
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    now = datetime.now(UTC)
    past = {"not_before": now - timedelta(days=9), "not_after": now - timedelta(days=1)}
    own = folder / "own.pem"
    own.write_bytes(other.private_key_pem.bytes() + other.cert_pem.bytes())
    self_signed = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    self_signed.load_cert_chain(own)
    old = speaking(authority.issue_cert("localhost"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is the point
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    return {
        "good": speaking(authority.issue_cert("localhost")),
        "expired": speaking(authority.issue_cert("localhost", **past)),
        "other-name": speaking(authority.issue_cert("other.example")),
        "other-authority": speaking(other.issue_cert("localhost")),
        "self-signed": self_signed,
        "old-protocol": old,
    }


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[dict[str, RawUpstream]]:
    """Serve every one of `servers`; they keep what arrived."""
    upstreams: dict[str, RawUpstream] = {}

    async with AsyncExitStack() as stack:
        for name, tls in servers(folder).items():

            async def converse(peer: Conversation, name: str = name) -> None:
                upstreams[name].requests.append(await peer.request())
                await peer.send(OK)

            upstreams[name] = await stack.enter_async_context(conversing(converse, tls=tls))
        yield upstreams


def configuration(upstreams: dict[str, RawUpstream]) -> str:
    """Return routes to every server, and `to-NAME` of which the token endpoint is there."""
    lines = ["store: {type: memory}", "upstreams:"]
    for name, upstream in upstreams.items():
        origin = upstream.origin.replace("127.0.0.1", "localhost")
        token = f"token_url: {origin}/token, client_id: me, client_secret: canary-secret"
        lines += [
            f"  {name}:",
            f"    base_url: {origin}",
            f"    provider: {{type: api_key, keys: {KEY}}}",
            f"  to-{name}:",
            "    base_url: http://127.0.0.1:1",
            f"    provider: {{type: oauth2_client_credentials, {token}}}",
        ]
    return "\n".join(lines)


@pytest.mark.case("R22")
async def test_only_a_good_certificate_gets_a_credential(tmp_path: Path) -> None:
    """In a process of its own, which trusts the authority as users would have it."""
    home = Home(tmp_path)
    async with listening(tmp_path) as upstreams:
        home.configure(configuration(upstreams))
        async with home.serving(SSL_CERT_FILE=str(tmp_path / "ca.pem")) as process:
            port = int((await process.address()).rpartition(":")[2])
            assert (await asked(port, "good")).content == b"ok"
            for name in (*UNTRUSTED, "old-protocol"):
                for route, slug in ((name, "upstream"), (f"to-{name}", "token-endpoint")):
                    answer = await asked(port, route)
                    problem = json.loads(answer.content)
                    assert (answer.status, problem["status"]) == (502, 502), route
                    assert answer.field("Sidekey-Error") == [f"{slug}-unreachable"], route
                    assert ("certificate" in problem["detail"]) == (name in UNTRUSTED), route
                assert upstreams[name].requests == []
        assert upstreams["good"].last.field("Authorization") == [f"Bearer {KEY}"]


async def asked(port: int, route: str) -> RawAnswer:
    async with raw_client(port) as client:
        await client.send(message(f"GET /{route}/a", host=f"localhost:{port}"))
        return await client.answer()
