"""Mutated requests: what h11 makes of them, and what reaches an h11 upstream through sidekey.

    python -m pytest tests/hostile/test_differential_fuzz.py                       # 2,000
    SIDEKEY_TESTS=ci python -m pytest tests/hostile/test_differential_fuzz.py      # 10,000
    SIDEKEY_TESTS=full python -m pytest tests/hostile/test_differential_fuzz.py    # 100,000

A failure names the number of the request: `mutant(number, ...)` makes it again.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
from exchanges import Answers, exchange
from gateway_samples import KEY, keyed
from h11_reading import Reading, Seen, read_strictly
from mutations import mutant
from proxying import sidekey
from raw_client import raw_client
from raw_upstream import OK
from strict_upstream import StrictRequest, StrictUpstream, strict_upstream

from proxy.injection.body import CONTENTLESS

REQUESTS = {"ci": 10_000, "full": 100_000}.get(os.environ.get("SIDEKEY_TESTS", ""), 2_000)
INJECT = {
    "alfa": 'inject: {in: header, name: Authorization, format: "Bearer {token}"}',
    "bravo": 'inject: {in: header, name: X-Api-Key, format: "{token}"}',
    "charlie": "inject: {in: query, name: appid}",
    "delta": 'inject: [{in: body, name: i}, {in: header, name: X-Api-Key, format: "{token}"}]',
}
SETTLED = "/settled"
TWINS = 4  # upstreams of each kind, each with one request under way
_MARK = re.compile(r"/s(\d+)(?=[/?]|$)")
_VERSION = re.compile(rb"(?i)HTTP/")


@dataclass
class Lane:
    """One upstream behind the proxy, which gets one mutated stream at a time."""

    name: str
    port: int
    upstream: StrictUpstream
    cut: set[int] = field(default_factory=set)

    @property
    def prefix(self) -> str:
        return f"/{self.name}"

    @property
    def base(self) -> str:
        return f"/base/{self.name}"

    def is_late(self, request: StrictRequest) -> bool:
        """Tell whether it is a late one of an earlier stream that was cut, or our own."""
        mark = _MARK.match(request.path, len(self.base))
        settling = request.path == f"{self.base}{SETTLED}"
        return settling or (mark is not None and int(mark[1]) in self.cut)

    async def settle(self) -> None:
        """Let arrive what is still on its way of a stream whose connection has been cut."""
        line = f"GET {self.prefix}{SETTLED} HTTP/1.1\r\nHost: localhost:{self.port}\r\n\r\n"
        async with raw_client(self.port) as client:
            assert (await exchange(client, line.encode(), 1)).statuses == (200,)


def answer(request: StrictRequest) -> bytes:
    return OK.removesuffix(b"ok") if request.method == "HEAD" else OK


def complaints(
    lane: Lane, sent: int, reading: Reading, answers: Answers, arrived: list[StrictRequest]
) -> Iterator[str]:
    """Yield what must not be, in words."""
    complete = [request for request in arrived if request.complete]
    if lane.upstream.errors:
        yield f"the upstream cannot read it: {lane.upstream.errors}"
    if len(complete) > sent:
        yield f"{sent} requests were sent, {len(complete)} arrived"
    if len(complete) > len(answers.statuses) - len(answers.refusals) + answers.missing:
        yield f"{len(complete)} requests arrived, but the answers are {answers.statuses}"
    if answers.own != answers.refusals:
        yield f"sidekey failed: {answers.own}"
    for request in arrived:
        yield from _wrong_target(lane.base, request)
        yield from _wrong_credential(lane.name, request)
    if not reading.refused and not _is_within(complete, reading.requests, lane):
        yield "what arrived is not what was sent"


def _sent(stream: bytes, reading: Reading) -> int:
    """Return how many requests `stream` holds; where h11 gives up, in the most lenient reading."""
    return len(_VERSION.findall(stream)) if reading.refused else len(reading.requests)


def _wrong_target(base: str, request: StrictRequest) -> Iterator[str]:
    path = request.decoded_path
    if path != base and not path.startswith(f"{base}/"):
        yield f"{request.target} is not below {base}"
    if {".", ".."} & {segment.partition(";")[0] for segment in path.split("/")}:
        yield f"{request.target} holds dot segments"


def _wrong_credential(name: str, request: StrictRequest) -> Iterator[str]:
    kind = name.partition("-")[0]
    pairs = [pair.partition("=") for pair in request.query.split("&")]
    slots = {
        "Authorization": request.field("Authorization"),
        "X-Api-Key": [
            value for key, value in request.fields if key.lower().replace("_", "-") == "x-api-key"
        ],
        "appid": [value for key, _, value in pairs if unquote_plus(key) == "appid"],
    }
    expected = {
        "alfa": {"Authorization": [f"Bearer {KEY}"]},
        "bravo": {"Authorization": [], "X-Api-Key": [KEY]},
        "charlie": {"Authorization": [], "appid": [KEY]},
        "delta": {"Authorization": [], "X-Api-Key": [KEY]},
    }[kind]
    for slot, values in expected.items():
        if slots[slot] != values:
            yield f"{slot} is {slots[slot]}"
    has_place = kind == "delta" and request.method not in CONTENTLESS and request.complete
    if has_place and request.content.count(KEY.encode()) != 1:
        yield f"the content is {request.content!r}"


def _is_within(complete: list[StrictRequest], sent: list[Seen], lane: Lane) -> bool:
    """Tell whether `complete` are some of `sent`, in order."""
    left = iter(sent)
    return all(any(_is_same(request, one, lane) for one in left) for request in complete)


def _is_same(request: StrictRequest, sent: Seen, lane: Lane) -> bool:
    path, _, query = sent.target.partition("?")
    if request.method != sent.method or request.path != lane.base + path.removeprefix(lane.prefix):
        return False
    if not lane.name.startswith("charlie") and request.query != query:
        return False
    return lane.name.startswith("delta") or request.content == sent.content


async def try_one(lane: Lane, number: int, seen: Counter[str]) -> None:
    stream = mutant(number, b"localhost:%d" % lane.port, f"{lane.prefix}/s{number}".encode())
    reading = read_strictly(stream)
    sent = _sent(stream, reading)
    del lane.upstream.requests[:-1], lane.upstream.connections[:]
    before = len(lane.upstream.requests)
    async with raw_client(lane.port) as client:
        answers = await exchange(client, stream, sent)
    if answers.missing:
        await lane.settle()
    arrived = [r for r in lane.upstream.requests[before:] if not lane.is_late(r)]
    found = list(complaints(lane, sent, reading, answers, arrived))
    assert not found, f"{number}: {found}: {stream!r} became {arrived}"
    if answers.missing:
        lane.cut.add(number)
    seen["forwarded"] += sum(request.complete for request in arrived)
    seen["cut at the upstream"] += sum(not request.complete for request in arrived)
    seen["refused"] += len(answers.refusals)
    seen["closed without an answer"] += not answers.statuses
    seen["malformed to h11"] += reading.refused


@pytest.mark.case("F25")
@pytest.mark.timeout(900)
async def test_a_mutated_request_arrives_as_h11_reads_it_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never more requests than were sent, never another target, never a lost or second key."""
    seen: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        names = [f"{kind}-{twin}" for twin in range(TWINS) for kind in INJECT]
        upstreams = [await stack.enter_async_context(strict_upstream(answer)) for _ in names]
        text = "\n".join(
            keyed(upstream.origin, name=name, path=f"/base/{name}", more=INJECT[name[:-2]])
            for name, upstream in zip(names, upstreams, strict=True)
        )
        proxy = await stack.enter_async_context(sidekey(tmp_path, text))

        async def run(first: int) -> None:
            lane = Lane(names[first], proxy.port, upstreams[first])
            for number in range(first, REQUESTS, len(names)):
                await try_one(lane, number, seen)

        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for first in range(len(names)):
                group.create_task(run(first))
        seconds = time.monotonic() - begun
    with capsys.disabled():
        print(f"\n{REQUESTS} mutated streams in {seconds:.0f} s: {dict(seen)}")
    assert seen["forwarded"] > REQUESTS / 10
    assert seen["refused"] > REQUESTS / 10
