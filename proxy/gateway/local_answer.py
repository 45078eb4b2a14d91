"""What sidekey answers itself, such as a placeholder in place of a token."""

from __future__ import annotations

import json
import time

from aiohttp import web

from proxy.config.models import LocalAnswer
from proxy.events import Observer, RequestAborted, RequestAnswered
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
        path, trace = request.raw_path.partition("?")[0], trace_of(request.headers)
        told = (request_id, self._name, request.method, path)
        event: RequestAnswered | RequestAborted
        try:
            await response.send(request, answered)
            seconds = time.monotonic() - began
            place = f"upstreams.{self._name}.{rule}"
            event = RequestAnswered(*told, response.status, place, seconds, trace)
        except ConnectionError:
            event = RequestAborted(*told, "the client left", time.monotonic() - began, trace)
        self._recorder.keep(request_id, record_of(request, response.head, content, answered))
        self._observe(event)
        return response


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
