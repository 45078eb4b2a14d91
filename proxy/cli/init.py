"""`sidekey init`"""

from __future__ import annotations

import os
import shlex
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from proxy.cli.entries import KINDS, Asking
from proxy.cli.first_config import Entry, written
from proxy.cli.options import ConfigOption
from proxy.cli.output import say
from proxy.cli.places import MADE_UP, Place, StandIns, Variables
from proxy.cli.preset_search import choose_preset
from proxy.config import Loaded, load, presets
from proxy.credentials.providers import InteractiveProvider
from proxy.credentials.stores import private_file
from proxy.errors import ConfigError
from proxy.hardening import keep_memory_private
from proxy.observe.curl import curl_line

DEFAULT = Path("sidekey.yaml")


def command(config: ConfigOption = None) -> None:
    """Ask a few questions and write a first configuration.

    Nothing is overwritten, and nothing is written before the last answer. Secrets
    go to the keyring, to private files or to environment variables, never into the
    configuration.

    \b
    Examples:
      sidekey init
      sidekey init --config ~/.config/sidekey/config.yaml
    """
    path = Path.cwd() / (config or DEFAULT)
    if os.path.lexists(path):
        raise _there_already(path)
    keep_memory_private()
    say(f"This writes {path}; until the last answer, nothing. Ctrl-C gives up.\n")
    asking = Asking()
    entries = _entries(asking)
    place = asking.place if any(entry.has_secret for entry in entries) else Variables()
    loaded = _write(path, entries, place)
    say(f"\nWrote {path}. Next:\n\n{_next_steps(loaded, place, config)}")


def _entries(asking: Asking) -> list[Entry]:
    """Ask for one upstream after the other."""
    others = {name: kind.description for name, kind in KINDS.items()}
    entries: list[Entry] = []
    say("Which API? Search with a few letters (`all`: every preset, `none`: no preset).")
    while choice := choose_preset(presets(), others, may_end=bool(entries)):
        entries.append(_usable(asking, choice, [entry.name for entry in entries]))
        say("\nAnother API? Search as before; Enter ends.")
    return entries


def _usable(asking: Asking, choice: str, taken: Sequence[str]) -> Entry:
    """Ask until the answers make an upstream that can be used."""
    while True:
        entry = asking.entry(choice, taken)
        try:
            _try_out(entry)
        except ConfigError as error:
            for issue in error.issues:
                say(f"  {issue.partition(': ')[2]}")
            say("Once more, please.")
        else:
            return entry


def _try_out(entry: Entry) -> None:
    """Raise `ConfigError` if an upstream, with its secrets, is none that `check` would accept."""
    stand_ins = StandIns()
    with ExitStack() as undo, tempfile.TemporaryDirectory(prefix="sidekey-init-") as folder:
        path = Path(folder) / "tried.yaml"
        path.write_text(written([entry], stand_ins, undo), encoding="utf-8")
        load(path, environ=stand_ins.environ)


def _write(path: Path, entries: Sequence[Entry], place: Place) -> Loaded:
    """Keep the secrets and write the file: all of it, or after a failure or Ctrl-C nothing."""
    with ExitStack() as undo:
        with _ctrl_c_afterwards():
            text = written(entries, place, undo)
            if not private_file.create(path, text.encode()):
                raise _there_already(path)
            undo.callback(private_file.remove, path)
            loaded = load(path, environ=_environ_for(place))
        undo.pop_all()
    return loaded


def _environ_for(place: Place) -> Mapping[str, str]:
    """Return the environment in which the file is valid: somebody is still to set variables."""
    names = place.names if isinstance(place, Variables) else ()
    return dict.fromkeys(names, MADE_UP) | dict(os.environ)


@contextmanager
def _ctrl_c_afterwards() -> Iterator[None]:
    """Let Ctrl-C interrupt when the block has ended: within, it would leave things half done."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def _there_already(path: Path) -> ConfigError:
    return ConfigError(
        [
            f"{path} is there already, and sidekey init overwrites nothing",
            "to see whether it is right: sidekey check",
            "to write another one: sidekey init --config PATH",
        ]
    )


def _next_steps(loaded: Loaded, place: Place, config: Path | None) -> str:
    """Return the commands that lead to a first answer."""
    is_found = config is None and "SIDEKEY_CONFIG" not in os.environ
    option = "" if is_found else f" --config {shlex.quote(str(config or DEFAULT))}"
    settings = loaded.settings
    names = place.names if isinstance(place, Variables) else ()
    lines = [f"  read -rs {name} && export {name}" for name in names]
    lines.append(f"  sidekey check{option}")
    lines += [
        f"  sidekey login {name}{option}"
        for name, upstream in settings.upstreams.items()
        if isinstance(upstream.provider, InteractiveProvider)
    ]
    lines.append(f"  sidekey run{option}")
    name, upstream = next(iter(settings.upstreams.items()))
    url = f"http://{settings.listen.host}:{settings.listen.port}/{name}"
    return "\n".join([*lines, f"  {curl_line(name, url, upstream, None)}"])
