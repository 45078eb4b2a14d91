"""Finds a preset by a few letters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from proxy.cli.output import say
from proxy.cli.questions import ask
from proxy.config.presets import Preset
from proxy.nearest import did_you_mean

DONE = "done"
_ALL = "all"


def choose_preset(
    catalogue: Mapping[str, Preset], others: Mapping[str, str], *, may_end: bool
) -> str | None:
    """Return the name of a preset or of one of the `others`; `None` if there are enough.

    `others` describes what can be chosen beside the catalogue.
    """
    descriptions = {name: preset.description for name, preset in catalogue.items()} | dict(others)
    shown: list[str] = []
    while True:
        answer = ask("API")
        if answer.lower() in ("", DONE) and may_end:
            return None
        if answer.isdecimal() and 1 <= int(answer) <= len(shown):
            return shown[int(answer) - 1]
        if answer in descriptions:
            return answer
        shown = _found(answer, descriptions)
        if not shown:
            say(f"  nothing matches{did_you_mean(answer, descriptions)}; `{_ALL}` lists all")
            continue
        _show(shown, descriptions)


def _found(answer: str, descriptions: Mapping[str, str]) -> list[str]:
    """Return the names of what holds every word of the answer."""
    if answer.lower() in ("", DONE, _ALL):
        return list(descriptions)
    words = answer.casefold().split()
    return [
        name
        for name, description in descriptions.items()
        if all(word in f"{name} {description}".casefold() for word in words)
    ]


def _show(names: Sequence[str], descriptions: Mapping[str, str]) -> None:
    width = max(map(len, names))
    for number, name in enumerate(names, 1):
        beginning = f"  {number:>2}  {name:<{width}}  "
        text = descriptions[name].partition(". ")[0].removesuffix(".")
        say(
            textwrap.fill(
                text, 79, initial_indent=beginning, subsequent_indent=" " * len(beginning)
            )
        )
