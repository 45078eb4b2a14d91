"""Where a value of the configuration came from: file, preset, option, environment or default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from proxy.config.issues import KeyPath, Position
from proxy.config.presets import Preset, presets
from proxy.placeholders import names


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from.

    `line`, `column` and `reference` tell where it stands in the file; of a preset's value they
    belong to the first of the `inputs` that fill it in. A `reference` is printable, as written.
    """

    kind: Literal["file", "preset", "option", "environment", "default"]
    line: int | None = None
    column: int | None = None
    reference: str | None = None
    preset: str | None = None
    inputs: tuple[str, ...] = ()
    option: str | None = None
    variable: str | None = None

    def members(self) -> dict[str, object]:
        """Return what is known, for JSON."""
        return {name: entry for name, entry in asdict(self).items() if entry not in (None, ())}


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Place:
    """A value at `path`; `written` is its path in the file, shorter for what stands alone there.

    `preset` is that of the upstream around it.
    """

    path: KeyPath = ()
    written: KeyPath = ()
    origin: Origin = DEFAULT
    preset: str | None = None


@dataclass(frozen=True, slots=True)
class Origins:
    """What loading knows about the places of values; it holds none of the values.

    `positions` and `references` are those of the file, `overridden` names the option or variable
    that replaced a value, `copies` the variable whose value an entry is, as it stands.
    """

    positions: Mapping[KeyPath, Position]
    references: Mapping[KeyPath, str]
    overridden: Mapping[KeyPath, str]
    copies: Mapping[KeyPath, str]

    def below(self, parent: Place, key: str | int, *, is_given: bool = True) -> Place:
        """Return the place of an entry; one that is not given was neither written nor filled in."""
        path, written = (*parent.path, key), (*parent.written, key)
        place = replace(parent, path=path, written=written)
        if written in self.overridden:
            return replace(place, origin=_replaced(self.overridden[written]))
        if written in self.positions:
            return replace(place, origin=self._in_file(written))
        if not is_given:
            return replace(place, origin=DEFAULT)
        if isinstance(key, int):
            return replace(place, written=parent.written)
        # A preset's mappings and those of the file are merged; a list of the file replaces.
        in_list = any(isinstance(part, int) for part in path)
        if parent.origin.kind == "file" and parent.preset is not None and not in_list:
            return replace(place, origin=Origin("preset", preset=parent.preset))
        return place

    def filled(self, place: Place) -> Origin:
        """Return the origin of a single value, with the inputs that a preset's text takes."""
        if place.origin.preset is None:
            return place.origin
        preset = presets()[place.origin.preset]
        inputs = tuple(sorted(names(_text_of(preset, place.path[2:])) & preset.inputs.keys()))
        written = [(*place.path[:2], "provider", name) for name in inputs]
        known = [self._in_file(path) for path in written if path in self.positions]
        if not known:
            return place.origin
        return replace(known[0], kind="preset", preset=place.origin.preset, inputs=inputs)

    def _in_file(self, written: KeyPath) -> Origin:
        line, column = self.positions[written]
        return Origin("file", line, column, self.references.get(written))


def _replaced(by: str) -> Origin:
    if by.startswith("--"):
        return Origin("option", option=by)
    return Origin("environment", variable=by)


def _text_of(preset: Preset, path: KeyPath) -> object:
    """Return what the catalogue holds at `path`; only the provider takes inputs."""
    found: object = preset.upstream if path[:1] == ("provider",) else ""
    for part in path:
        if isinstance(found, dict):
            found = found.get(str(part))
        elif isinstance(found, list) and isinstance(part, int) and part < len(found):
            found = found[part]
    return found
