"""The streaming API: WebSocket connections and the channels on them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from aiohttp import WSMessage, WSMsgType, web

from proxy.sandbox.misskey.accounts import User
from proxy.sandbox.misskey.responses import compact_json

CHANNEL_LIMIT = 32
"""Channels per connection; a connect beyond it is ignored."""

_PATIENCE = 2  # pings; recorded: two, 60 s apart, and the end another 60 s later
_MESSAGE_LIMIT = 100 * 1024 * 1024
_NEEDS_USER = {
    "main": True,
    "homeTimeline": True,
    "hybridTimeline": True,
    "drive": True,
    "localTimeline": False,
    "globalTimeline": False,
    "queueStats": False,
    "serverStats": False,
}


@dataclass(eq=False, slots=True)
class Stream:
    """One connection; frames that wait to be sent do not hold up the rest of the server."""

    user: User | None
    socket: web.WebSocketResponse
    transport: asyncio.Transport
    outgoing: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    channels: list[tuple[str, str]] = field(default_factory=list)  # (id, channel name)
    note_ids: set[str] = field(default_factory=set)
    unanswered_pings: int = 0

    def send(self, kind: str, body: object) -> None:
        """Queue one frame."""
        self.outgoing.put_nowait(compact_json({"type": kind, "body": body}))

    def obey(self, frame: str | bytes) -> None:
        """Do what a frame says; what makes no sense is passed over in silence."""
        try:
            message = json.loads(frame)
        except ValueError:
            return
        body = message.get("body") if isinstance(message, dict) else None
        if not isinstance(body, dict):
            return
        match message.get("type"):
            case "connect":
                self._connect(body)
            case "disconnect":
                self.channels = [pair for pair in self.channels if pair[0] != body.get("id")]
            case "subNote" | "s" | "sr":
                self.note_ids.add(str(body.get("id")))
            case "unsubNote" | "un":
                self.note_ids.discard(str(body.get("id")))

    def cut(self) -> None:
        """End the TCP connection without a close frame."""
        self.transport.close()

    def _connect(self, body: dict[str, object]) -> None:
        channel, channel_id = body.get("channel"), body.get("id")
        if not isinstance(channel, str) or not isinstance(channel_id, str):
            return
        needs_user = _NEEDS_USER.get(channel)
        if needs_user is None or (needs_user and self.user is None):
            return
        if len(self.channels) >= CHANNEL_LIMIT:
            return
        self.channels.append((channel_id, channel))
        if body.get("pong") is True:
            self.send("connected", {"id": channel_id})


class Streams:
    """All open connections."""

    def __init__(self, ping_interval: float) -> None:
        self.ping_interval = ping_interval
        self._open: list[Stream] = []

    def publish_note(self, author: User, note: dict[str, object]) -> None:
        """A note was written: to the author's home, and to local timelines if it is public."""
        for stream in self._open:
            for channel_id, channel in stream.channels:
                at_home = channel in ("homeTimeline", "hybridTimeline") and stream.user is author
                public = note["visibility"] == "public" and channel in (
                    "localTimeline",
                    "globalTimeline",
                )
                if at_home or public:
                    stream.send("channel", {"id": channel_id, "type": "note", "body": note})

    def publish_update(self, note_id: str, kind: str, body: dict[str, object]) -> None:
        """Something happened to a note: to those who subscribed to it."""
        for stream in self._open:
            if note_id in stream.note_ids:
                stream.send("noteUpdated", {"id": note_id, "type": kind, "body": body})

    async def serve(self, request: web.Request, user: User | None) -> web.WebSocketResponse:
        """Accept the handshake and run the connection until it ends."""
        protocols = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        socket = web.WebSocketResponse(
            protocols=[protocols[0].strip()],
            autoping=False,
            autoclose=False,
            compress=False,
            max_msg_size=_MESSAGE_LIMIT,
        )
        transport = request.transport
        await socket.prepare(request)
        if transport is None:
            return socket
        stream = Stream(user, socket, transport)
        self._open.append(stream)
        tasks = [asyncio.create_task(_send(stream)), asyncio.create_task(self._keep_alive(stream))]
        try:
            await _receive(stream)
        finally:
            self._open.remove(stream)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return socket

    def close(self) -> None:
        """Cut all connections, as a server that is shut down does."""
        for stream in self._open:
            stream.cut()

    async def _keep_alive(self, stream: Stream) -> None:
        """Ping; who has left two pings unanswered is cut when the third is due."""
        while True:
            await asyncio.sleep(self.ping_interval)
            if stream.unanswered_pings == _PATIENCE:
                stream.cut()
                return
            stream.unanswered_pings += 1
            await stream.socket.ping()


async def _send(stream: Stream) -> None:
    while True:
        frame = await stream.outgoing.get()
        await stream.socket.send_str(frame.decode())


async def _receive(stream: Stream) -> None:
    while True:
        message = await stream.socket.receive()
        match message.type:
            case WSMsgType.TEXT | WSMsgType.BINARY:
                stream.obey(message.data)
            case WSMsgType.PING:
                await stream.socket.pong(message.data)
            case WSMsgType.PONG:
                stream.unanswered_pings = 0
            case WSMsgType.CLOSE:
                await _echo_close(stream, message)
                return
            case _:
                return


async def _echo_close(stream: Stream, message: WSMessage) -> None:
    """Answer a close frame with the same code and reason, like the `ws` library."""
    reason = (message.extra or "").encode()
    await stream.socket.close(code=message.data or 1000, message=reason, drain=False)
