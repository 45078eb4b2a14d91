"""One request in detail: what was sent and answered, why it went so, and how to send it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.config.models import Settings
from proxy.credentials.redaction import Redaction
from proxy.events import RequestRefused
from proxy.gateway.recorder import Copy, Record, Recorder
from proxy.observe.cover import Cover
from proxy.observe.curl import recorded_line
from proxy.observe.messages import Head, shown_content, shown_fields
from proxy.observe.story import Story
from proxy.observe.trail import Step, Trail
from proxy.refusals import (
    BadMessage,
    BadTarget,
    CrossSiteRefused,
    HostRefused,
    PeerRefused,
    TargetTooLong,
    UnknownUpstream,
)

BEFORE_ROUTING = frozenset(
    {
        *(BadMessage.slug, BadTarget.slug, CrossSiteRefused.slug),
        *(HostRefused.slug, PeerRefused.slug, TargetTooLong.slug),
    }
)


class Inspection:
    """Shows requests of the trail, without secrets; `settings` are those of that moment."""

    def __init__(
        self,
        trail: Trail,
        recorder: Recorder,
        story: Story,
        redaction: Redaction,
        settings: Callable[[], Settings],
    ) -> None:
        self._trail = trail
        self._recorder = recorder
        self._story = story
        self._redaction = redaction
        self._settings = settings

    def step(self, request_id: str) -> Step:
        """Return a request of the trail. Raises `UnknownUpstream` for one that is forgotten."""
        step = self._trail.step(request_id)
        if step is None:
            raise UnknownUpstream("this request is no longer remembered", fix="look at later ones")
        return step

    def line(self, step: Step) -> dict[str, Any]:
        """Return a request as a line of the list, ready for JSON."""
        return {
            name: self._redaction.masked(value) if isinstance(value, str) else value
            for name, value in step.members().items()
        }

    def details(self, request_id: str) -> dict[str, Any]:
        """Return all that is known of a request, ready for JSON."""
        step = self.step(request_id)
        record = self._recorder.get(request_id)
        cover = self._cover(step.fact.upstream)
        why_not = why_not_replayable(step, record)
        may_repeat = record is not None and not _was_refused_at_once(step)
        return {
            **self.line(step),
            "request": None if record is None else _request(record, cover),
            "answer": None if record is None else _answer(record, cover),
            "curl": recorded_line(record, cover) if record is not None and may_repeat else None,
            "replayable": why_not is None,
            "why_not": why_not,
            "story": [cover.text(sentence) for sentence in self._story.of(step)],
        }

    def _cover(self, upstream: str | None) -> Cover:
        """Return what hides the values that stand where credentials go."""
        settings = self._settings()
        found = settings.upstreams.get(upstream or "")
        names = [getattr(rule, "name", "") for rule in (found.inject if found is not None else ())]
        if settings.clients is not None and settings.clients.header is not None:
            names.append(settings.clients.header.name)
        return Cover(self._redaction, names)


def _request(record: Record, cover: Cover) -> dict[str, Any] | None:
    if not record.request:
        return None
    head = Head.of(record.request)
    return {
        "target": cover.target(head.target),
        "fields": shown_fields(head.fields, cover),
        **shown_content(record.content if record.has_content else Copy(), head, cover),
    }


def _answer(record: Record, cover: Cover) -> dict[str, Any] | None:
    if not record.answer:
        return None
    head = Head.of(record.answer)
    return {
        "fields": shown_fields(head.fields, cover),
        **shown_content(record.answered, head, cover),
    }


def _was_refused_at_once(step: Step) -> bool:
    """Tell whether a request was refused for who sent it, or how: repeated here, it may not be."""
    return isinstance(step.fact, RequestRefused) and step.fact.slug in BEFORE_ROUTING


def why_not_replayable(step: Step, record: Record | None) -> str | None:
    """Return why a request cannot be sent again, `None` if it can."""
    if not step.is_own:
        return "another worker has served it"
    if _was_refused_at_once(step):
        return "it was refused for who sent it, or how"
    if record is None or not record.request or record.place is None:
        return "the request was not kept, or was too long to be"
    if Head.of(record.request).values("Upgrade"):
        return "it asked for another protocol than HTTP"
    if not record.has_content:
        return None
    if record.content is None:
        return "its content was not recorded"
    return None if record.content.is_whole else "its content was too long to be recorded"
