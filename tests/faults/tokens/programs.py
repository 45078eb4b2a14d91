"""Programs that tests run as processes of their own, to kill, stop or starve them.

programs.py save FOLDER       prints its pid; at each line it keeps the next entry, and says so
programs.py torn FOLDER       as `save`, but dies in the middle of a write
programs.py kills FOLDER N    kills savers at random, and checks what is left
programs.py ask FOLDER PROVIDER LEASE
                              each line is a time to which its clock is set; it prints the
                              generation and the end of the token that it would use then
"""

from __future__ import annotations

import asyncio
import itertools
import mmap
import os
import random
import signal
import struct
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from proxy.clock import Clock
from proxy.credentials.entry import Entry
from proxy.credentials.exchange import Exchange
from proxy.credentials.providers import TokenEndpoint
from proxy.credentials.redaction import Redaction
from proxy.credentials.resources import Resources
from proxy.credentials.secret import Secret
from proxy.credentials.source import Source
from proxy.credentials.stores import base
from proxy.credentials.stores.file import FileStore
from proxy.credentials.token import Token
from proxy.errors import SidekeyError
from proxy.events import nobody

NAME, MATERIAL = "api", "mine"


def entry(generation: int) -> Entry:
    """Return an entry whose secret tells its generation, and that is longer than a page."""
    return Entry(Token(Secret(f"canary-{generation}-" + "x" * 5_000)), generation, "series")


def generation_of(folder: Path) -> int:
    """Return what the next process finds; fail if it finds nothing or half of something."""
    store = FileStore(folder)
    found = asyncio.run(store.load(NAME, store.fingerprint(MATERIAL)))
    assert found is not None, "the store is empty"
    assert found == entry(found.generation), "the entry is a mixture"
    return found.generation


def save(folder: Path) -> None:
    store = FileStore(folder)
    fingerprint = store.fingerprint(MATERIAL)
    generation = generation_of(folder)
    print(os.getpid(), flush=True)
    while sys.stdin.readline():
        generation += 1
        store._save(NAME, fingerprint, entry(generation))  # not in a thread: strace sees it alone
        print("saved", generation, flush=True)


def torn(folder: Path) -> None:
    write = os.write

    def write_half(descriptor: int, content: bytes) -> int:
        if len(content) < 5_000:
            return write(descriptor, content)
        write(descriptor, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it is dead")

    os.write = write_half
    save(folder)


def kills(folder: Path, count: int) -> None:
    """Kill savers, each at another moment; nothing may be lost of which `save` has returned.

    They get more time while none of them keeps anything, since a machine may be slow.
    """
    store = FileStore(folder)
    fingerprint = store.fingerprint(MATERIAL)
    store._save(NAME, fingerprint, entry(1))
    durable = mmap.mmap(-1, 8)
    durable[:] = struct.pack("q", 1)
    draws = random.Random(5)
    found, longest = 1, 0.004  # seconds
    for _ in range(count):
        pid = os.fork()
        if not pid:
            for generation in itertools.count(found + 1):
                store._save(NAME, fingerprint, entry(generation))
                durable[:] = struct.pack("q", generation)
        time.sleep(draws.uniform(0.0, longest))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        (kept,) = struct.unpack("q", durable)
        before, found = found, generation_of(folder)
        assert max(kept, before) <= found, "a token was kept, and lost"
        longest *= 1.1 if found == before else 0.95
    print("durable", found, flush=True)


async def ask(folder: Path, provider: str, lease: float) -> None:
    base.LEASE = lease
    seconds = 0.0
    clock = Clock(
        lambda: datetime.fromtimestamp(seconds, UTC), lambda: seconds, lambda _a, longest: longest
    )
    exchange = Exchange(clock)
    source = Source(
        "api",
        TokenEndpoint.model_validate_json(provider),
        "https://api.example.com",
        Resources(FileStore(folder), exchange, nobody, Redaction(), clock),
    )
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while line := await reader.readline():
        seconds = float(line)
        try:
            token = await source.token()
            await source.settle()
            assert source.entry is not None
            print(source.entry.generation, token.value.reveal()[-8:], flush=True)
        except SidekeyError as error:
            print(0, error.slug, flush=True)
    await source.close()
    await exchange.close()


def main(what: str, folder: str, *rest: str) -> None:
    if what == "ask":
        asyncio.run(ask(Path(folder), rest[0], float(rest[1])))
    elif what == "kills":
        kills(Path(folder), int(rest[0]))
    else:
        {"save": save, "torn": torn}[what](Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
