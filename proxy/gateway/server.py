"""aiohttp's HTTP server, with our words where aiohttp itself refuses a message or fails."""

from __future__ import annotations

import logging
import secrets
import traceback

from aiohttp import web

from proxy.errors import BadMessage, SidekeyError
from proxy.gateway.problems import problem

LOGGER = logging.getLogger("sidekey")


class ClientConnection(web.RequestHandler):
    """A client's connection. aiohttp's own words would quote the message, and be no JSON."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Read on, and tell whoever waits for content that none will follow a broken chunk.

        aiohttp only queues a refusal behind the request, which then waits for its content forever:
        nothing can be queued behind content that has not ended, unless it is malformed.
        """
        queued = len(self._messages)
        super().data_received(data)
        if len(self._messages) == queued:
            return
        payloads = [payload for _, payload in self._messages][:-1]
        if self._current_request is not None:
            payloads.append(self._current_request.content)
        for payload in payloads:
            if not payload.is_eof():
                payload.set_exception(web.RequestPayloadError())

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return a problem; raise `ConnectionError` if an answer has begun."""
        if status == 500 and exc is not None:
            frames = "".join(traceback.format_tb(exc.__traceback__))
            LOGGER.error("internal error: %s\n%s", type(exc).__name__, frames)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        error = SidekeyError("this is a mistake in sidekey; its log says where")
        if status == 400:
            error = BadMessage("the message is no proper HTTP/1.1")
        response = problem(error, secrets.token_hex(8))
        response.force_close()
        return response


class ClientServer(web.Server):
    """A server whose connections speak in our words."""

    def __call__(self) -> web.RequestHandler:
        return ClientConnection(self, loop=self._loop, **self._kwargs)
