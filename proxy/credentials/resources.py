"""What a source works with, whichever upstream it serves."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.clock import Clock
from proxy.credentials.exchange import Exchange
from proxy.credentials.redaction import Redaction
from proxy.credentials.stores.base import Store
from proxy.credentials.stores.memory import MemoryStore
from proxy.events import Observer

_SYSTEM = Clock()


@dataclass(frozen=True, slots=True)
class Resources:
    """`redaction` is that of the upstream; everything else is shared by all of them.

    A process that is not `lasting` ends before it could keep what the store does not take at once.
    With `anew`, a renewal begins as if there were no token yet, and puts it in place of the latest.
    `untaken` has the attempts that the store did not take.
    """

    store: Store
    exchange: Exchange
    observe: Observer
    redaction: Redaction
    clock: Clock = _SYSTEM
    lasting: bool = True
    anew: bool = False
    untaken: Store = field(default_factory=lambda: MemoryStore(now=_SYSTEM.wall))
