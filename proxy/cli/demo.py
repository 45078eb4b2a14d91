"""`sidekey demo`"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import aiohttp
import typer

from proxy.app import Running, running
from proxy.cli.loopback import loopback_sign_in
from proxy.cli.output import FAILED, say
from proxy.cli.table import table
from proxy.config import load
from proxy.credentials.providers import InteractiveProvider
from proxy.credentials.redaction import Redaction
from proxy.errors import ListenError
from proxy.events import Observer, nobody
from proxy.face import Face
from proxy.observe import logs
from proxy.sandbox.demonstration import SAMPLES, Demonstration, Sample, demonstration
from proxy.stores import open_store

PORT = 8080


def command(
    once: Annotated[
        bool, typer.Option("--once", help="Send one request to each upstream, then stop.")
    ] = False,
) -> None:
    """Start made-up upstreams with a proxy in front of them.

    \b
    Examples:
      sidekey demo
      sidekey demo --once
    """
    if once:
        raise typer.Exit(asyncio.run(_once()))
    redaction = Redaction()
    logs.configure(redaction=redaction)
    asyncio.run(_stay(redaction))


async def _once() -> int:
    """Print a row for each upstream; return 0 only if every answer is right."""
    async with demonstration() as demo, _proxy(demo, 0, nobody, Redaction()) as proxy:
        rows = [await _tried(proxy, sample) for sample in SAMPLES]
    print(table(rows, sys.stdout, ("upstream", "request", "status", "result")))
    return 0 if all(row[-1] == "right" for row in rows) else FAILED


async def _stay(redaction: Redaction) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    observe = logs.log_observer(banner=sys.stderr.isatty())
    async with demonstration() as demo:
        try:
            async with _proxy(demo, PORT, observe, redaction) as proxy:
                await _show(proxy, stopped)
        except ListenError:  # another demo, or a proxy at work
            say(f"port {PORT} is taken, so this demo uses another one")
            async with _proxy(demo, 0, observe, redaction) as proxy:
                await _show(proxy, stopped)


async def _show(proxy: Running, stopped: asyncio.Event) -> None:
    say("Made-up upstreams, and where sidekey serves them:\n")
    places = [(f"  {proxy.urls[name]}/", f"-> {url}") for name, url in proxy.upstreams.items()]
    say(table(places, sys.stderr))
    say(f"\nThe dashboard:  {proxy.addresses[0]}/_sidekey/")
    say("\nNo line below holds a credential:\n")
    for sample in SAMPLES:
        print(f"curl '{proxy.urls[sample.upstream]}{sample.path}'{sample.curl}", flush=True)
    say("\nStop with Ctrl-C.")
    await stopped.wait()


@asynccontextmanager
async def _proxy(
    demo: Demonstration, port: int, observe: Observer, redaction: Redaction
) -> AsyncIterator[Running]:
    """Serve from a real configuration file, as `sidekey run` does, and sign in where needed."""
    with tempfile.TemporaryDirectory(prefix="sidekey-demo-") as folder:
        path = Path(folder) / "sidekey.yaml"
        path.write_text(demo.config(port))
        loaded = load(path, environ=demo.environ)
    settings, face = loaded.settings, Face(lambda: loaded.effective)
    store = open_store(settings.store, os.environ)
    async with running(
        settings, store=store, observe=observe, redaction=redaction, face=face
    ) as proxy:
        for source in proxy.sources.values():
            if isinstance(source.provider, InteractiveProvider):
                await loopback_sign_in(source, proxy.exchange, show=demo.approve, wait=30)
        yield proxy


async def _tried(proxy: Running, sample: Sample) -> tuple[str, str, str, str]:
    method = "GET" if sample.json is None else "POST"
    url = proxy.urls[sample.upstream] + sample.path
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, json=sample.json) as response,
    ):
        text = await response.text()
    return (
        sample.upstream,
        f"{method} {sample.path}",
        str(response.status),
        _verdict(response.status, text, sample),
    )


def _verdict(status: int, text: str, sample: Sample) -> str:
    try:
        json.loads(text)
    except ValueError:
        return "no JSON"
    return "right" if status == 200 and sample.expects in text else "wrong"
