"""`sidekey run`"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.options import ConfigOption, load_config, take_variables
from proxy.cli.output import report
from proxy.cli.serving import Serving
from proxy.config.versions import Versions
from proxy.credentials.redaction import Redaction
from proxy.errors import ConfigError, SidekeyError
from proxy.events import Event, Listening, Observer, Stopped, both
from proxy.hardening import allow_many_connections
from proxy.listeners import Bound, addresses_of, bound
from proxy.observe import logs
from proxy.observe.measures import Measures
from proxy.observe.request_log import RequestLog
from proxy.observe.sharing import Board, Sharing
from proxy.sources import know_hidden
from proxy.workers import Crew, Worker, hold_signals


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
    take_variables(loaded)
    allow_many_connections()
    redaction = Redaction()
    know_hidden(redaction, loaded)
    requests = logs.configure(redaction=redaction, level=logs.level_of(environ))
    serving = Serving(loaded, environ, overrides, files, redaction, workers, not no_fast_lane)
    observe = logs.log_observer(requests, banner=serving.terminal)
    serving.prepare()
    with bound(loaded.settings) as sockets:
        if workers == 1:
            asyncio.run(serving.run(sockets, observe))
        else:
            raise typer.Exit(_with_workers(serving, sockets, observe, requests))


def _with_workers(
    serving: Serving, sockets: Sequence[Bound], observe: Observer, requests: RequestLog | None
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
