"""The command line: one file a command."""

from __future__ import annotations

import os
import sys
from types import TracebackType

INTERRUPTED = 130


def main() -> None:
    """Run the command line; every failure that sidekey knows ends in words and an exit code."""
    sys.excepthook = _report_mistake
    _fill_closed_streams()
    try:
        sys.exit(_run())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _fill_closed_streams() -> None:
    """Open what was closed (`2>&-`), so that no file or socket of ours gets its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  open until the end


def _run() -> int:
    """Import and run; the import takes long enough for somebody to press Ctrl-C."""
    from proxy.cli.commands import app
    from proxy.cli.output import report
    from proxy.errors import SidekeyError

    try:
        app(prog_name="sidekey")
    except SidekeyError as error:
        return report(error)
    return 0


def _report_mistake(
    _kind: type[BaseException], error: BaseException, _frames: TracebackType | None
) -> None:
    """Say where a mistake of ours happened, in the log where there is one, else on stderr."""
    from proxy.mistakes import tell

    tell(error)
