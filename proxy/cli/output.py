"""What a command says: data on stdout, everything else on stderr."""

from __future__ import annotations

import sys

from proxy.errors import ConfigError, LoginRequired, SidekeyError

OK, FAILED, USAGE, LOGIN_NEEDED = 0, 1, 2, 4


def say(text: str) -> None:
    """Print `text` on stderr."""
    print(text, file=sys.stderr, flush=True)


def report(error: SidekeyError) -> int:
    """Say what went wrong and what to do; return the exit code."""
    if isinstance(error, ConfigError):
        for issue in error.issues:
            say(issue)
        return USAGE
    where = f"{error.upstream}: " if error.upstream else ""
    say(f"sidekey: {where}{error.detail}")
    if error.fix:
        say(f"         {error.fix}")
    return LOGIN_NEEDED if isinstance(error, LoginRequired) else FAILED
