"""Processes that share a file store, are killed over it, or find the disk full."""

# ruff: noqa: ASYNC240  between two calls of the store, a test looks at the disk

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import proxy
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores.file import FileStore
from proxy.credentials.token import Token

ROOT = Path(proxy.__file__).parent.parent
OLD = Entry(Token(Secret("old-token")))

# Stands at the head of every program that a test runs as another process.
PROLOGUE = """
import asyncio, os, resource, sys
from pathlib import Path
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores.file import FileStore
from proxy.credentials.token import Token
from proxy.errors import StoreError
store = FileStore(Path(sys.argv[1]))
"""


def started(program: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + textwrap.dedent(program), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_make_the_key_at_once_agree(folder: Path) -> None:
    program = """
        print("ready", flush=True)
        sys.stdin.readline()
        print(store.fingerprint("mine"))
    """
    makers = [started(program, folder) for _ in range(4)]
    for maker in makers:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "ready\n"
    for maker in makers:  # all of them stand at the line by now
        assert maker.stdin is not None
        maker.stdin.write("\n")
        maker.stdin.flush()
    fingerprints = {maker.communicate()[0].strip() for maker in makers}
    assert fingerprints == {FileStore(folder).fingerprint("mine")}
    assert [path.name for path in folder.iterdir()] == ["key"]


async def test_a_full_disk_leaves_the_old_entry_and_nothing_else(
    store: FileStore, folder: Path, mine: str
) -> None:
    await store.save("jquants", mine, OLD)
    program = f"""
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            entry = Entry(Token(Secret("canary" * 100)), 2)
            asyncio.run(store.save("jquants", {mine!r}, entry))
        except StoreError as error:
            print(error.detail, error.fix)
    """
    said = started(program, folder).communicate()[0]
    assert str(folder / "jquants.token") in said
    assert "File too large" in said
    assert "canary" not in said
    assert await store.load("jquants", mine) == OLD
    assert sorted(path.name for path in folder.iterdir()) == ["jquants.token", "key", "turn"]


async def test_a_process_killed_while_it_saves_leaves_the_old_entry_or_the_new_one(
    store: FileStore, folder: Path, mine: str
) -> None:
    program = f"""
        async def save_for_ever():
            entry = await store.load("jquants", {mine!r})
            generation = 0 if entry is None else entry.generation
            while True:
                generation += 1
                secret = Secret(str(generation) * 500 * (generation % 2 * 10 + 1))
                await store.save("jquants", {mine!r}, Entry(Token(secret), generation))
                print("saved", generation, flush=True)
        asyncio.run(save_for_ever())
    """
    for delay in range(12):
        saver = started(program, folder)
        assert saver.stdout is not None
        first = saver.stdout.readline()
        await asyncio.sleep(delay * 0.0007)
        saver.send_signal(signal.SIGKILL)
        told = re.findall(r"saved (\d+)\n", first + saver.communicate()[0])
        entry = await store.load("jquants", mine)
        assert entry is not None
        assert entry.generation >= int(told[-1])
        assert set(entry.token.value.reveal()) <= set(str(entry.generation))


async def test_another_process_sees_the_new_version_and_the_new_token(
    store: FileStore, folder: Path, mine: str
) -> None:
    await store.save("jquants", mine, OLD)
    before = store.version("jquants")
    program = f"""
        entry = Entry(Token(Secret("from-another-process")), 2)
        asyncio.run(store.save("jquants", {mine!r}, entry))
    """
    started(program, folder).communicate()
    assert store.version("jquants") != before
    loaded = await store.load("jquants", mine)
    assert loaded is not None
    assert loaded.token.value == Secret("from-another-process")
