"""`sidekey run` with the guard on or off: `python -m benchmarks.sidekey on|off CONFIG`.

The product has no such switch: off, what the guard would find out is replaced in this process only.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

from aiohttp import web

from proxy.cli import main
from proxy.gateway.guard import Caller, Guard
from proxy.gateway.target import Target


def anybody(_guard: Guard, request: web.BaseRequest) -> Caller:
    """Let a request in without a look at it."""
    path, _, query = request.raw_path.partition("?")
    return Caller("127.0.0.1", Target(path, query), known=True)


if __name__ == "__main__":
    guard, config = sys.argv[1:]
    sys.argv[1:] = ["run", "--no-fast-lane", "--config", config, "--port", "0"]
    with patch.object(Guard, "check", Guard.check if guard == "on" else anybody):
        main()
