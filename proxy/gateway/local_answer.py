"""What sidekey answers itself, such as a placeholder in place of a token."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from aiohttp import web

from proxy.config.models import LocalAnswer
from proxy.events import Event, Observer, RequestAborted, RequestAnswered
from proxy.gateway.answer import has_content
from proxy.gateway.cross_origin import let_read
from proxy.gateway.framing import joined
from proxy.gateway.problems import PROTECTION
from proxy.gateway.recorded import record_of
from proxy.gateway.recorder import Copy, Recorder
from proxy.gateway.trace_context import trace_of


class LocalAnswers:
    """Gives the local answers of the upstream `name`, and tells of them as of any other answer."""

    def __init__(self, name: str, observe: Observer, recorder: Recorder) -> None:
        self._name = name
        self._observe = observe
        self._recorder = recorder

    async def give(
        self,
        request: web.BaseRequest,
        response: LocalResponse,
        rule: str,
        request_id: str,
        began: float,
        content: Copy | None,
    ) -> web.StreamResponse:
        """Send `response`, which `rule` of the upstream asks for; return it."""
        answered = self._recorder.copy()
        fact = RequestAnswered(
            request_id=request_id,
            upstream=self._name,
            method=request.method,
            path=request.raw_path.partition("?")[0],
            status=response.status,
            rule=f"upstreams.{self._name}.{rule}",
            seconds=0.0,
            trace=trace_of(request.headers),
        )
        try:
            await response.send(request, answered)
            event: Event = replace(fact, seconds=time.monotonic() - began)
        except ConnectionError:
            event = _aborted(fact, time.monotonic() - began)
        self._recorder.keep(request_id, record_of(request, response.head, content, answered))
        self._observe(event)
        return response


def _aborted(fact: RequestAnswered, seconds: float) -> RequestAborted:
    return RequestAborted(
        request_id=fact.request_id,
        upstream=fact.upstream,
        method=fact.method,
        path=fact.path,
        reason="the client left",
        seconds=seconds,
        trace=fact.trace,
    )


class LocalResponse(web.Response):
    """A local answer of the configuration, which a page of `origin` may read.

    `head` is as it was sent, empty before.
    """

    def __init__(self, answer: LocalAnswer, origin: str | None) -> None:
        content = json.dumps(answer.json_content, ensure_ascii=False).encode()
        super().__init__(
            status=answer.status, body=content, headers=PROTECTION, content_type="application/json"
        )
        if origin is not None:
            let_read(self.headers, origin)
        self.head = b""
        self._content = content

    async def send(self, request: web.BaseRequest, copy: Copy | None = None) -> None:
        """Write all of it; a `copy` gets the content. Raises `ConnectionError`."""
        if not request.content.is_eof():
            self.force_close()  # nobody waits for content that may never come
        await self.prepare(request)
        version = request.version
        start = f"HTTP/{version.major}.{version.minor} {self.status} {self.reason}"
        self.head = joined(start.encode(), self.headers.items())
        if copy is not None and has_content(request.method, self.status):
            copy.add(self._content)
        await self.write_eof()
