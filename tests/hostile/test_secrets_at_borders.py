"""K09: what is echoed is masked wherever it is cut, overlaps, or looks like a pattern."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gateway_samples import tokened
from issuing import Issuer
from proxying import sidekey
from raw_client import ask
from raw_upstream import Conversation, answering, conversing, response

FIRST, SECOND = "canary-first-MIDDLE-1", "MIDDLE-1-canary-second"
OVERLAPPING = "canary-first-MIDDLE-1-canary-second"
PATTERN = r"(canary+)+$.*[^]\w{9}|"
EIGHT, SEVEN = "eight-88", "seven-7"
KEYS = (FIRST, SECOND, PATTERN, EIGHT, SEVEN)
SECRETS = (OVERLAPPING, FIRST, PATTERN, EIGHT)
ECHO = f"<{'|'.join(SECRETS)}>"
MASKED = f"<{'|'.join('*' * len(secret) for secret in SECRETS)}>"


def configured(origin: str) -> str:
    keys = json.dumps(KEYS)
    return f"r: {{base_url: {origin}, redact: content, provider: {{type: api_key, keys: {keys}}}}}"


def in_pieces(*sizes: int) -> list[bytes]:
    """Cut the echo into a piece of each size, and the rest."""
    pieces, rest = [], ECHO.encode()
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    return [*pieces, rest]


async def echoed(folder: Path, cuts: list[list[bytes]]) -> list[str]:
    """Return what clients get of the echo, for every way to cut it into chunks."""
    left = cuts[::-1]

    async def converse(peer: Conversation) -> None:
        while left:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in filter(None, left.pop()):
                await peer.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            await peer.send(b"0\r\n\r\n")

    async with (
        conversing(converse) as upstream,
        sidekey(folder, configured(upstream.origin)) as proxy,
    ):
        return [(await ask(proxy, "GET /r/a")).content.decode() for _ in cuts]


@pytest.mark.case("K09")
async def test_secrets_are_masked_wherever_the_content_is_cut(tmp_path: Path) -> None:
    """Into two chunks between any two bytes, and into a chunk for each."""
    cuts = [in_pieces(size) for size in range(1, len(ECHO))] + [in_pieces(*[1] * len(ECHO))]
    assert set(await echoed(tmp_path, cuts)) == {MASKED}


@pytest.mark.case("K09")
@pytest.mark.parametrize("secret", [*SECRETS, SECOND])
async def test_secrets_are_masked_in_fields_and_in_our_own_words(
    tmp_path: Path, secret: str
) -> None:
    answer = response("200 OK", b"", f"X-Echo: <{secret}>")
    async with (
        answering(answer) as upstream,
        sidekey(tmp_path, configured(upstream.origin)) as proxy,
    ):
        echo = await ask(proxy, "GET /r/a")
        problem = await ask(proxy, f"GET /_sidekey/{secret}")
    assert echo.field("X-Echo") == [f"<{'*' * len(secret)}>"]
    assert problem.status in (400, 404)
    assert secret.encode() not in problem.content


@pytest.mark.case("K09")
async def test_less_than_8_characters_are_too_little_to_look_for(tmp_path: Path) -> None:
    """They stand in innocent words too."""
    answer = response("200 OK", f"{SEVEN} {EIGHT}".encode(), f"X-Echo: {SEVEN} {EIGHT}")
    async with (
        answering(answer) as upstream,
        sidekey(tmp_path, configured(upstream.origin)) as proxy,
    ):
        echo = await ask(proxy, "GET /r/a")
    assert echo.content == f"{SEVEN} ********".encode()
    assert echo.field("X-Echo") == [f"{SEVEN} ********"]


@pytest.mark.case("K09")
async def test_the_token_of_before_is_masked_in_content_too(tmp_path: Path) -> None:
    tokens = ("canary-token-1", "canary-token-2")
    issuer = Issuer(answer=response("200 OK", "".join(tokens).encode()))
    async with answering(issuer) as upstream:
        text = tokened(upstream.origin, upstream.origin, more="redact: content")
        async with sidekey(tmp_path, text) as proxy:
            await ask(proxy, "GET /r/a")
            issuer.revoke()
            answer = await ask(proxy, "GET /r/a")
    assert issuer.issued == 2
    assert answer.content.decode() == "*" * len("".join(tokens))
