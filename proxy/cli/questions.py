"""Questions to a person: asked on stderr, answered on stdin, a line each.

Without a terminal the answers may come from a pipe, secrets included.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Sequence

from proxy.cli.output import say
from proxy.credentials.secret import Secret
from proxy.errors import ConfigError

YES, NO = ("y", "yes"), ("n", "no")


def ask(question: str, default: str = "") -> str:
    """Return the answer without the space around it, `default` for an empty one.

    Raises `ConfigError` if nobody answers.
    """
    shown = f" [{default}]" if default else ""
    print(f"{question}{shown}: ", end="", file=sys.stderr, flush=True)
    return _line().strip() or default


def ask_until(question: str, check: Callable[[str], str], default: str = "") -> str:
    """Return the first answer that `check` takes, as it returns it.

    `check` raises `ValueError` with what is wrong with an answer.
    """
    while True:
        try:
            return check(ask(question, default))
        except ValueError as wrong:
            say(f"  {wrong}")


def ask_secret(question: str) -> Secret:
    """Return an answer that a terminal does not show."""
    if sys.stdin.isatty():
        try:
            return Secret(getpass.getpass(f"{question} (not shown): ", stream=sys.stderr))
        except EOFError:
            raise _nobody() from None
    print(f"{question}: ", end="", file=sys.stderr, flush=True)
    return Secret(_line())


def confirm(question: str) -> bool:
    """Return whether the answer is yes; an empty one is no."""
    return ask_until(f"{question} [y/N]", _yes_or_no) in YES


def choose(question: str, options: Sequence[tuple[str, str]]) -> str:
    """Return the name of an option, chosen by number or name; the first one is the default."""
    say(f"\n{question}")
    for number, (name, description) in enumerate(options, 1):
        say(f"  {number}  {name:<12}  {description}")
    names = [name for name, _ in options]

    def check(answer: str) -> str:
        if answer.isdecimal() and 1 <= int(answer) <= len(names):
            return names[int(answer) - 1]
        if answer in names:
            return answer
        raise ValueError(f"expected a number up to {len(names)}, or one of {', '.join(names)}")

    return ask_until("number or name", check, names[0])


def _line() -> str:
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        say("")  # a terminal shows the end of the line itself
    if not line.endswith("\n"):
        raise _nobody()
    return line.removesuffix("\n")


def _nobody() -> ConfigError:
    return ConfigError(
        ["sidekey init asks questions, and nobody answers: run it in a terminal", "wrote nothing"]
    )


def _yes_or_no(answer: str) -> str:
    lowered = answer.lower() or NO[0]
    if lowered not in (*YES, *NO):
        raise ValueError("expected y or n")
    return lowered
