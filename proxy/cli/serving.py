"""What one process of `sidekey run` does: it serves, loads again, and stops when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.app import Running, running
from proxy.background import in_background
from proxy.cli.banner import banner
from proxy.cli.options import take_variables
from proxy.cli.output import say
from proxy.config import Loaded, load
from proxy.config.versions import Versions
from proxy.credentials.redaction import Redaction
from proxy.credentials.secret import Secret
from proxy.errors import ConfigError
from proxy.events import ConfigRefused, Observer, both
from proxy.face import Face
from proxy.listeners import Bound
from proxy.observe.pages import new_page_token
from proxy.observe.sharing import Sharing
from proxy.observe.status import statuses_of
from proxy.observe.telemetry import export_of
from proxy.reload import Reload, check_fixed
from proxy.sources import know_hidden
from proxy.stores import login_folder, open_store
from proxy.upstreams import Changes
from proxy.workers import ALONE, Worker, heed_signals, share

if TYPE_CHECKING:
    from proxy.observe.otel import Export, Exporting


@dataclass
class Serving:
    """What one process that serves has to know."""

    loaded: Loaded
    environ: Mapping[str, str]
    overrides: Mapping[str, object]
    files: Versions
    redaction: Redaction
    workers: int
    is_fast: bool
    page_token: Secret = field(default_factory=new_page_token)
    export: Export | None = None
    terminal: bool = sys.stderr.isatty()

    def prepare(self) -> None:
        """Use but a worker's part of what the limits grant, and see whether the store has a key.

        See also whether there is a collector to export to.
        Raises `ConfigError` or `StoreError`: before anything is served, and not from every worker.
        """
        self.loaded = self._shared(self.loaded)
        settings = self.loaded.settings
        if any(upstream.provider.buys for upstream in settings.upstreams.values()):
            open_store(settings.store, self.environ).fingerprint("")
        self.export = export_of(self.environ)

    async def run(
        self,
        sockets: Sequence[Bound],
        observe: Observer,
        worker: Worker = ALONE,
        sharing: Sharing | None = None,
    ) -> None:
        """Serve until a signal stops it, or the process that forked this one is gone.

        With `sharing`, it tells of those too that serve the same sockets.
        """
        stopped, asked = asyncio.Event(), asyncio.Event()
        if worker is ALONE:
            self._stop_by_signals(stopped, asked)
        else:
            _stop_with(worker.parent, stopped, asked)
        logins = login_folder(self.loaded.settings.store, self.environ)
        face = Face(lambda: self.loaded.effective, self.page_token, sharing, logins)
        counted = both(face.measures.observe, observe)
        if worker.stands_in and not await self._caught_up(counted, stopped):
            return
        async with (
            nullcontext() if sharing is None else sharing.telling(),
            self._running(sockets, observe, face, worker) as proxy,
        ):
            change = partial(self._take_over, proxy)
            reload = Reload(self._load_again, self.files, change, proxy.observe, asked)
            if self.terminal and worker.number == 0 and not worker.stands_in:
                say(await banner(self.loaded, proxy))  # of upstreams that stay meanwhile
            reloading = asyncio.create_task(reload.run(), name="reload")
            await stopped.wait()
            reloading.cancel()

    @asynccontextmanager
    async def _running(
        self, sockets: Sequence[Bound], observe: Observer, face: Face, worker: Worker
    ) -> AsyncIterator[Running]:
        settings = self.loaded.settings
        async with AsyncExitStack() as stack:
            exporting: Exporting | None = None
            if self.export is not None:
                export = self.export.running(
                    worker.number, face.measures, self.redaction, self._base_url
                )
                exporting = await stack.enter_async_context(export)
                observe = both(observe, exporting.observe)
            store = open_store(settings.store, self.environ, observe)
            await stack.enter_async_context(aclosing(store))
            proxy = await stack.enter_async_context(
                running(
                    settings,
                    store=store,
                    observe=observe,
                    redaction=self.redaction,
                    sockets=sockets,
                    is_fast=self.is_fast,
                    face=face,
                )
            )
            if exporting is not None:
                exporting.watch(partial(statuses_of, proxy.sources))
                stack.callback(exporting.watch, None)
            yield proxy

    def _base_url(self, name: str) -> str | None:
        upstream = self.loaded.settings.upstreams.get(name)
        return None if upstream is None else upstream.base_url

    async def _caught_up(self, observe: Observer, stopped: asyncio.Event) -> bool:
        """Load what the other workers have loaded since the parent did; `False` if stopped."""
        files: Versions = {}
        loading = asyncio.wrap_future(in_background(lambda: self._load_again(files)))
        stopping = asyncio.create_task(stopped.wait())
        either: set[asyncio.Future[Any]] = {loading, stopping}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not loading.done():
            return False
        try:
            again = loading.result()
            check_fixed(self.loaded.settings, again.settings)
        except ConfigError as error:
            observe(ConfigRefused(tuple(error.issues)))
        else:
            self.loaded = again
        self.files = files
        return True

    def _take_over(self, proxy: Running, again: Loaded) -> Changes:
        know_hidden(self.redaction, again)
        changes = proxy.change(again.settings)
        self.loaded = again
        return changes

    def hung_up(self) -> bool:
        """Tell whether the terminal is gone: then there is nobody left to press Ctrl-C."""
        return self.terminal and not sys.stderr.isatty()

    def _load_again(self, files: Versions) -> Loaded:
        again = load(
            self.loaded.path,
            environ=self.environ,
            overrides=self.overrides,
            files=files,
            is_trusted=self.loaded.is_trusted,
        )
        take_variables(again)
        return self._shared(again)

    def _shared(self, loaded: Loaded) -> Loaded:
        return replace(loaded, settings=share(loaded.settings, self.workers))

    def _stop_by_signals(self, stopped: asyncio.Event, asked: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _stop, stopped, number)
        loop.add_signal_handler(
            signal.SIGHUP, lambda: stopped.set() if self.hung_up() else asked.set()
        )


def _stop(stopped: asyncio.Event, number: signal.Signals) -> None:
    """Stop in order; who asks a second time does not want to wait for that."""
    if stopped.is_set():
        os._exit(128 + number)  # as a shell tells of a program that the signal has ended
    stopped.set()


def _stop_with(parent: int, stopped: asyncio.Event, asked: asyncio.Event) -> None:
    """Heed what the parent passes on, and its end.

    Ctrl-C reaches every process of the terminal: it is the parent who tells the workers to stop.
    """
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, asked.set)

    def parent_is_gone() -> None:
        loop.remove_reader(parent)
        stopped.set()

    loop.add_reader(parent, parent_is_gone)
    heed_signals()
