"""The recorded conversations on Misskey's streaming API, by the name of the case."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

Tokens = dict[str, str]
Frame = dict[str, Any]
Scenario = Callable[[str, Tokens], Awaitable[None]]


class Conversation:
    """A stream, and API calls beside it."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse):
        self._session = session
        self.socket = socket

    async def call(self, endpoint: str, **body: object) -> Any:
        """Call the API; the result, or None for a 204."""
        async with self._session.post(f"/api/{endpoint}", json=body) as response:
            assert response.status in (200, 204)
            return await response.json() if response.status == 200 else None

    async def write_note(self, token: str) -> str:
        """Write a note; its id."""
        created = await self.call("notes/create", i=token, text="stream note")
        note_id: str = created["createdNote"]["id"]
        return note_id

    async def say(self, kind: str, **body: object) -> None:
        """Send a frame."""
        await self.socket.send_str(json.dumps({"type": kind, "body": body}))

    async def connect(self, channel: str, channel_id: str) -> None:
        """Ask for a channel, with `pong`."""
        await self.say("connect", channel=channel, id=channel_id, pong=True)

    async def hear(self) -> Frame:
        """The next frame."""
        frame: Frame = await self.socket.receive_json(timeout=10)
        return frame

    async def hear_connected(self, channel_id: str) -> None:
        """The next frame says that this channel is there."""
        assert await self.hear() == {"type": "connected", "body": {"id": channel_id}}

    async def hear_note(self, channel_id: str, note_id: str) -> None:
        """The next frame is this note on this channel."""
        frame = await self.hear()
        assert frame["type"] == "channel"
        assert (frame["body"]["id"], frame["body"]["type"]) == (channel_id, "note")
        assert frame["body"]["body"]["id"] == note_id

    async def hear_nothing_more(self) -> None:
        """Nothing stands between now and the answer to a channel asked for now."""
        await self.connect("serverStats", "last")
        await self.hear_connected("last")


@asynccontextmanager
async def conversation(origin: str, token: str | None) -> AsyncIterator[Conversation]:
    """Open a stream with this token."""
    query = {"i": token} if token else {}
    async with (
        aiohttp.ClientSession(origin) as session,
        session.ws_connect("/streaming", params=query) as socket,
    ):
        yield Conversation(session, socket)


async def _channels(origin: str, tokens: Tokens) -> None:
    async with conversation(origin, tokens["account"]) as talk:
        await talk.connect("homeTimeline", "ch1")
        await talk.hear_connected("ch1")
        await talk.say("connect", channel="main", id="ch2")
        await talk.say("connect", channel="localTimeline", id="ch3", params={"withRenotes": True})
        for nonsense in ("h", "ping", "not json", '{"type": "bogus"}'):
            await talk.socket.send_str(nonsense)
        await talk.connect("nosuch", "ch4")
        frame = {"type": "connect", "body": {"channel": "main", "id": "bin", "pong": True}}
        await talk.socket.send_bytes(json.dumps(frame).encode())
        await talk.hear_connected("bin")
        note_id = await talk.write_note(tokens["account"])
        await talk.hear_note("ch1", note_id)
        await talk.hear_note("ch3", note_id)
        await talk.hear_nothing_more()


async def _note_updates(origin: str, tokens: Tokens) -> None:
    async with conversation(origin, tokens["account"]) as talk:
        note_id = await talk.write_note(tokens["native"])
        await talk.say("subNote", id=note_id)
        await talk.hear_nothing_more()
        await talk.call("notes/reactions/create", i=tokens["native"], noteId=note_id, reaction="👍")
        frame = await talk.hear()
        user_id = frame["body"]["body"].pop("userId")
        reacted = {"reaction": "👍", "emoji": None}
        assert user_id
        assert frame == {
            "type": "noteUpdated",
            "body": {"id": note_id, "type": "reacted", "body": reacted},
        }
        await talk.call("notes/delete", i=tokens["native"], noteId=note_id)
        frame = await talk.hear()
        assert frame["body"]["type"] == "deleted"
        assert list(frame["body"]["body"]) == ["deletedAt"]


async def _anonymous(origin: str, tokens: Tokens) -> None:
    async with conversation(origin, None) as talk:
        await talk.connect("localTimeline", "a1")
        await talk.hear_connected("a1")
        await talk.connect("homeTimeline", "a2")
        await talk.connect("main", "a3")
        await talk.hear_nothing_more()
        await talk.hear_note("a1", await talk.write_note(tokens["native"]))
        await talk.hear_nothing_more()


async def _scopes(origin: str, tokens: Tokens) -> None:
    async with conversation(origin, tokens["account"]) as talk:
        for number, channel in enumerate(("drive", "admin", "queueStats", "serverStats"), 1):
            await talk.connect(channel, f"d{number}")
        for channel_id in ("d1", "d3", "d4"):
            await talk.hear_connected(channel_id)


async def _disconnect(origin: str, tokens: Tokens) -> None:
    async with conversation(origin, tokens["account"]) as talk:
        await talk.connect("homeTimeline", "x1")
        await talk.hear_connected("x1")
        await talk.say("disconnect", id="x1")
        await talk.hear_nothing_more()
        await talk.write_note(tokens["native"])
        await talk.hear_nothing_more()


async def _same_id(origin: str, tokens: Tokens) -> None:
    async with conversation(origin, tokens["account"]) as talk:
        for channel in ("homeTimeline", "localTimeline"):
            await talk.connect(channel, "x1")
            await talk.hear_connected("x1")
        note_id = await talk.write_note(tokens["native"])
        await talk.hear_note("x1", note_id)
        await talk.hear_note("x1", note_id)


async def _large_frame(origin: str, tokens: Tokens) -> None:
    async with conversation(origin, tokens["account"]) as talk:
        await talk.socket.send_str("x" * 200_000)
        await talk.hear_nothing_more()


async def _revoked(origin: str, tokens: Tokens) -> None:
    """Only new releases can revoke a token by its value; no release looks at it again."""
    async with conversation(origin, tokens["account"]) as talk:
        await talk.connect("main", "m1")
        await talk.hear_connected("m1")
        revoke = {"i": tokens["native"], "token": tokens["account"]}
        async with aiohttp.request("POST", f"{origin}/api/i/revoke-token", json=revoke) as response:
            assert response.status in (204, 400)
        await talk.hear_nothing_more()


SCENARIOS: dict[str, Scenario] = {
    "7j app token read:account: homeTimeline + main, pong, note event, subNote, reaction": (
        _channels
    ),
    "7k subNote noteUpdated": _note_updates,
    "7l anonymous: localTimeline allowed, homeTimeline/main refused silently?": _anonymous,
    "7m channel not in token scope (drive needs read:account; admin needs admin) with pong": (
        _scopes
    ),
    "7n disconnect then note": _disconnect,
    "7o same id connect twice": _same_id,
    "7q token revoked while connected": _revoked,
    "7r 200 kB frame from client": _large_frame,
}
