"""`sidekey run`"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.app import Running, know_hidden, login_folder, open_store, running
from proxy.background import in_background
from proxy.cli.banner import banner
from proxy.cli.options import ConfigOption, load_config
from proxy.cli.output import report, say
from proxy.config import INHERITED, Loaded, load
from proxy.config.versions import Versions
from proxy.credentials.redaction import Redaction
from proxy.credentials.secret import Secret
from proxy.errors import ConfigError, SidekeyError
from proxy.events import ConfigRefused, Event, Listening, Observer, Stopped, both
from proxy.face import Face
from proxy.hardening import allow_many_connections, take_from_environment
from proxy.listeners import Bound, addresses_of, bound
from proxy.observe import logs
from proxy.observe.measures import Measures
from proxy.observe.pages import new_page_token
from proxy.observe.request_log import RequestLog
from proxy.observe.sharing import Board, Sharing
from proxy.observe.status import statuses_of
from proxy.observe.telemetry import export_of
from proxy.reload import Reload, check_fixed
from proxy.upstreams import Changes
from proxy.workers import ALONE, Crew, Worker, heed_signals, hold_signals, share

if TYPE_CHECKING:
    from proxy.observe.otel import Export, Exporting


def command(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Listen on this address.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Listen on this port; 0 takes a free one.")
    ] = None,
    unix_socket: Annotated[Path | None, typer.Option(help="Listen on this socket.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Serve with so many processes.")] = 1,
    no_fast_lane: Annotated[
        bool, typer.Option("--no-fast-lane", help="Serve plain requests like all others.")
    ] = False,
) -> None:
    """Serve every upstream at http://127.0.0.1:8080/NAME/.

    Ctrl-C and SIGTERM are how it is stopped: requests under way have 5 seconds, then it exits 0.
    A second one ends it at once.
    SIGHUP, or a change of the configuration or of a file that it refers to, loads it again.
    Workers share one token life through the store, and the limits that are configured.

    \b
    Examples:
      sidekey run
      sidekey run --config ./sidekey.yaml --port 0
      sidekey run --unix-socket /run/user/1000/sidekey.sock
      sidekey run --workers 4
    """
    environ = dict(os.environ)
    overrides = _overrides(host, port, unix_socket)
    files: Versions = {}
    loaded = load_config(config, overrides, files)
    _take_variables(loaded)
    allow_many_connections()
    redaction = Redaction()
    know_hidden(redaction, loaded)
    requests = logs.configure(redaction=redaction, level=logs.level_of(environ))
    serving = _Serving(loaded, environ, overrides, files, redaction, workers, not no_fast_lane)
    observe = logs.log_observer(requests, banner=serving.terminal)
    serving.prepare()
    with bound(loaded.settings) as sockets:
        if workers == 1:
            asyncio.run(serving.run(sockets, observe))
        else:
            raise typer.Exit(_with_workers(serving, sockets, observe, requests))


def _with_workers(
    serving: _Serving, sockets: Sequence[Bound], observe: Observer, requests: RequestLog | None
) -> int:
    quiet = _but_for(Listening, Stopped, observe=observe)
    board = Board(serving.workers + 1)  # a place for each worker, and one for this process

    def work(worker: Worker) -> int:
        try:
            asyncio.run(serving.run(sockets, quiet, worker, Sharing(board, worker.number)))
        except SidekeyError as error:
            return report(error)
        finally:
            if requests is not None:
                requests.flush()  # a worker ends without a word, which would make them go first
        return 0

    hold_signals()
    observe(Listening(addresses_of(sockets), tuple(serving.loaded.settings.upstreams)))
    observe_and_tell = both(observe, _told(Sharing(board, serving.workers)))
    code = Crew(serving.workers, work, observe_and_tell).serve(serving.hung_up)
    observe(Stopped())
    return code


def _told(sharing: Sharing) -> Observer:
    """Return an observer that counts, and tells those who answer scrapes at once."""
    measures = Measures(sharing)

    def observe(event: Event) -> None:
        measures.observe(event)
        sharing.tell()

    return observe


def _but_for(*kinds: type[Event], observe: Observer) -> Observer:
    """Return an observer without events of some kinds."""

    def observe_others(event: Event) -> None:
        if not isinstance(event, kinds):
            observe(event)

    return observe_others


def _take_variables(loaded: Loaded) -> None:
    """Leave the variables that the configuration uses to no program that is started from here."""
    take_from_environment(loaded.variables.difference(INHERITED))


def _overrides(host: str | None, port: int | None, unix_socket: Path | None) -> dict[str, object]:
    """Return the settings that options replace."""
    options: dict[str, object] = {
        "listen.host": host,
        "listen.port": port,
        "listen.unix_socket": unix_socket,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if unix_socket is not None and len(given) > 1:
        raise ConfigError(["--unix-socket stands in place of --host and --port"])
    return given


@dataclass
class _Serving:
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
        _take_variables(again)
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
