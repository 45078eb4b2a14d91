"""Fixtures of the hostile and faulty cases; the oracles judge when a fixture ends.

`hostile` is a proxy that stands under attack as it is configured by default, `attack` starts one
that is configured otherwise. Tests with either of them run on TCP and on a unix socket, unless
they are marked `ON_TCP` or `ON_UNIX`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
from hostile_harness import Hostile, attacked

Attack = Callable[..., AbstractAsyncContextManager[Hostile]]
ON_TCP = pytest.mark.parametrize("transport", ["tcp"])
ON_UNIX = pytest.mark.parametrize("transport", ["unix"])


@pytest.fixture(params=["tcp", "unix"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def attack(tmp_path: Path, transport: str) -> Attack:
    """`async with attack(listen=..., more={"r": ...}) as hostile`; see `attacked`."""
    return partial(attacked, tmp_path, transport)


@pytest.fixture
async def hostile(attack: Attack) -> AsyncIterator[Hostile]:
    async with attack() as standing:
        yield standing
