"""`sidekey`, which also says at SIGUSR2 how many tasks it has."""

from __future__ import annotations

import asyncio
import signal
import sys

from proxy.cli import main


def tell(*_: object) -> None:
    print(f"tasks: {len(asyncio.all_tasks())}.", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, tell)
    main()
