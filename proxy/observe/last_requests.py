"""What was wrong with the last request to each upstream: a token may be good, and no use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from proxy.credentials.source import Source
from proxy.errors import CredentialExhausted, UpstreamTimeout, UpstreamUnreachable
from proxy.events import ConfigReloaded, Event, RequestForwarded, RequestRefused
from proxy.observe.status import Status, status_of
from proxy.observe.trail import Step, Trail

UNAVAILABLE = (UpstreamTimeout.slug, UpstreamUnreachable.slug)


class LastRequests:
    """Tells it from the trail, which knows the requests of other workers too. An observer.

    What failed before the upstream's settings or its token have changed is past.
    """

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._changed: dict[str, float] = {}  # by upstream: when its settings came, epoch seconds

    def observe(self, event: Event) -> None:
        """Note which upstreams are others from now on."""
        if isinstance(event, ConfigReloaded):
            self._changed |= dict.fromkeys((*event.changed, *event.added), time.time())

    async def status_of(self, source: Source) -> Status:
        """Return the state of `source`; if nothing is wrong there, what was with its requests."""
        [status] = await self.statuses_of([source])
        return status

    async def statuses_of(self, sources: Collection[Source]) -> list[Status]:
        """Return what `status_of` does, for each of `sources`."""
        self._trail.look()
        steps = self._trail.steps()
        statuses = await asyncio.gather(*map(status_of, sources))
        return [
            status if status.error is not None else self._completed(status, source, steps)
            for status, source in zip(statuses, sources, strict=True)
        ]

    def _completed(self, status: Status, source: Source, steps: Sequence[Step]) -> Status:
        """Return `status` with the failure of the last request, if there is one.

        What the upstream has not answered, for a reason of ours or the client's, tells nothing.
        """
        own = (step for step in steps if step.fact.upstream == source.name)
        last = next(filter(_is_telling, own), None)
        if last is None or last.time - last.fact.seconds < self._changed.get(source.name, 0.0):
            return status
        fact = last.fact
        if isinstance(fact, RequestForwarded) and fact.rejected and not _has_newer(source, last):
            return replace(
                status,
                problem=CredentialExhausted.slug,
                error="the upstream rejected the credential of the last request",
                fix=f"correct upstreams.{source.name}.provider",
            )
        if isinstance(fact, RequestRefused):
            detail = source.redaction.masked(fact.detail)
            return replace(status, problem=fact.slug, error=detail, fix=fact.fix)
        return status


def _is_telling(step: Step) -> bool:
    fact = step.fact
    if isinstance(fact, RequestRefused):
        return fact.slug in UNAVAILABLE
    return isinstance(fact, RequestForwarded)


def _has_newer(source: Source, last: Step) -> bool:
    """Tell whether the token at hand came after the `last` request had ended."""
    came = None if source.entry is None else source.entry.obtained_at
    return came is not None and came.timestamp() > last.time
