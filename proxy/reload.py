"""Loads the configuration again while the proxy runs: all of it is taken over, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from proxy.background import in_background
from proxy.config import Loaded
from proxy.config.models import Settings
from proxy.config.versions import Versions, current
from proxy.errors import ConfigError
from proxy.events import ConfigRefused, ConfigReloaded, Observer
from proxy.mistakes import survived
from proxy.upstreams import Changes

INTERVAL = 1.0  # seconds between two looks at the files


class Reload:
    """Loads again when it is `asked` to, and when the configuration or a file of its has changed.

    Keyrings and programs tell nothing of a change: they are read again with the rest.

    `load` fills in the versions of the files that it reads, even where it fails. It runs in a
    thread, since a program or a keyring may take long. `files` are those of the first loading,
    `change` takes over what was loaded.
    """

    def __init__(
        self,
        load: Callable[[Versions], Loaded],
        files: Versions,
        change: Callable[[Loaded], Changes],
        observe: Observer,
        asked: asyncio.Event,
    ) -> None:
        self._load = load
        self._change = change
        self._files = files
        self._observe = observe
        self._asked = asked

    async def run(self) -> None:
        """Reload until the task is cancelled."""
        while True:
            async with survived():
                await self._reason()
                await self._reload()

    async def _reason(self) -> None:
        """Wait until somebody asks, or a file has changed and then been left alone for a while."""
        seen = self._files
        while not self._asked.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL):
                    await self._asked.wait()
            now = current(self._files)
            if now == seen != self._files:
                return
            seen = now

    async def _reload(self) -> None:
        self._asked.clear()
        files: Versions = {}
        self._files = files  # those of an attempt that fails too: mending one is a change
        try:
            loaded = await asyncio.wrap_future(in_background(lambda: self._load(files)))
            changes = self._change(loaded)
        except ConfigError as error:
            self._observe(ConfigRefused(tuple(error.issues)))
        else:
            self._observe(ConfigReloaded(changes.changed, changes.added, changes.removed))


def check_fixed(running: Settings, wanted: Settings) -> None:
    """Raise `ConfigError` for what cannot change while sockets and the store are open."""
    issues = [
        f"{section}.{name}: restart sidekey to change it"
        for section in ("listen", "store")
        for name in type(getattr(running, section)).model_fields
        if getattr(getattr(running, section), name) != getattr(getattr(wanted, section), name)
    ]
    ports, wanted_ports = _own_ports(running), _own_ports(wanted)
    issues += [
        f"upstreams.{name}.port: restart sidekey to change it"
        for name in sorted({**ports, **wanted_ports})
        if ports.get(name) != wanted_ports.get(name)
    ]
    if issues:
        raise ConfigError(issues)


def _own_ports(settings: Settings) -> dict[str, int]:
    upstreams = settings.upstreams.items()
    return {name: upstream.port for name, upstream in upstreams if upstream.port is not None}
