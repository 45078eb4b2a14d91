"""The harness of the hostile cases, in front of upstreams that fail.

Whether clients call over TCP or a unix socket makes no difference to what upstreams do.
"""

from __future__ import annotations

import pytest
from hostile_fixtures import attack, hostile

__all__ = ["attack", "hostile"]


@pytest.fixture
def transport() -> str:
    return "tcp"
