"""The sign-ins that browsers have begun in this process."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import msgspec
from multidict import MultiMapping

from proxy.credentials.exchange import Exchange
from proxy.credentials.login import TIMEOUT, Waiting, is_login_under_way, only_login, sign_in
from proxy.credentials.source import GRACE, Source
from proxy.credentials.token import Login, Token
from proxy.errors import LoginFailed, SidekeyError
from proxy.events import Observer, SignInBegun, SignInEnded
from proxy.mistakes import tell
from proxy.observe.sharing import Sharing

STOPPED = "sidekey has stopped"
SECTION = "sign-ins"  # of what processes share
State = Literal["waiting", "signed-in", "failed"]


class SignIn:
    """One sign-in to the upstream of `source`: it waits for a human, until it ends.

    `login` is there once the server's page is known. `expires` is in epoch seconds.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.waiting = Waiting()
        self.expires = time.time() + TIMEOUT
        self.login: Login | None = None
        self.token: Token | None = None
        self.error: SidekeyError | None = None
        self.page_known = asyncio.Event()
        self.ended = asyncio.Event()

    @property
    def state(self) -> State:
        """Whether it goes on, or how it ended."""
        if self.error is not None:
            return "failed"
        return "waiting" if self.token is None else "signed-in"

    @property
    def user(self) -> str | None:
        """The name of the account that approved, if the server told it."""
        return None if self.token is None else self.token.outputs.get("user")

    @property
    def detail(self) -> str | None:
        """Why it failed."""
        return None if self.error is None else self.source.redaction.masked(self.error.detail)

    @property
    def fix(self) -> str | None:
        """What to do about a failure."""
        fix = None if self.error is None else self.error.fix
        return None if fix is None else self.source.redaction.masked(fix)

    def is_named_by(self, query: MultiMapping[str]) -> bool:
        """Tell whether a browser that comes back with this query has been in this sign-in."""
        return self.login is not None and self.login.is_named_by(query)

    def members(self) -> dict[str, Any]:
        """Return what is known, ready for JSON."""
        is_waiting = self.state == "waiting"
        facts = {
            "state": self.state,
            "url": self.login.url if is_waiting and self.login is not None else None,
            "expires": self.expires if is_waiting else None,
            "detail": self.detail,
            "fix": self.fix,
            "user": self.user,
        }
        return {name: value for name, value in facts.items() if value is not None}


class SignIns:
    """The latest sign-in to each upstream, if a browser began one.

    `sources` may change later. `folder` holds the locks by which sign-ins of other processes are
    noticed, if there may be any; `sharing` is how workers know each other's by what browsers bring
    back. `is_lasting` tells whether tokens outlive this process.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        exchange: Exchange,
        observe: Observer,
        folder: Path | None,
        sharing: Sharing | None,
        *,
        is_lasting: bool,
    ) -> None:
        self.is_lasting = is_lasting
        self._sources = sources
        self._exchange = exchange
        self._observe = observe
        self._folder = folder
        self._sharing = sharing
        self._latest: dict[str, SignIn] = {}
        self._tasks: dict[asyncio.Task[None], SignIn] = {}
        if sharing is not None:
            sharing.offer(SECTION, self._told)

    async def begin(self, name: str, callback: str) -> SignIn:
        """Return the sign-in under way, or a new one from which browsers return to `callback`.

        Raises `SidekeyError` if it ended before there was a page to open.
        """
        current = self.latest(name)
        if current is None or current.ended.is_set():
            current = self._latest[name] = SignIn(self._sources[name])
            task = asyncio.create_task(self._run(current, callback), name=f"sign in to {name}")
            self._tasks[task] = current
            task.add_done_callback(self._tasks.pop)
        await current.page_known.wait()
        if current.login is None and current.error is not None:
            raise current.error.with_traceback(None)
        return current

    def latest(self, name: str) -> SignIn | None:
        """Return the sign-in that a browser began last, if it is to the upstream as it is now."""
        found = self._latest.get(name)
        return found if found is not None and found.source is self._sources.get(name) else None

    def is_elsewhere(self, name: str) -> bool:
        """Tell whether another process waits for a sign-in: a worker, or `sidekey login`."""
        current = self.latest(name)
        if self._folder is None or (current is not None and not current.ended.is_set()):
            return False
        return is_login_under_way(self._folder, name)

    def is_named_elsewhere(self, query: MultiMapping[str]) -> bool:
        """Tell whether a browser that comes back with this query began with another worker."""
        if self._sharing is None:
            return False
        shown = {_digest(name, value) for name, value in query.items()}
        told = self._sharing.all(SECTION)
        return any(shown.intersection(msgspec.msgpack.decode(one, type=list[str])) for one in told)

    def _told(self) -> bytes:
        logins = [one.login for one in self._tasks.values() if one.login is not None]
        return msgspec.msgpack.encode([_digest(one.state_name, one.state) for one in logins])

    def tidy(self) -> None:
        """End the sign-ins to upstreams that are others now, or gone."""
        for name, current in tuple(self._latest.items()):
            if current.source is not self._sources.get(name):
                current.waiting.give_up("the configuration of the upstream has changed")
                del self._latest[name]

    def stop(self) -> None:
        """End all sign-ins: browsers may be waiting for an answer."""
        for current in self._tasks.values():
            current.waiting.give_up(STOPPED)

    async def close(self) -> None:
        """Wait for what is being fetched, since it exists only once, but not for ever."""
        self.stop()
        tasks = tuple(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, current: SignIn, callback: str) -> None:
        name = current.source.name
        try:
            with self._alone(name):
                self._observe(SignInBegun(name))
                current.token = await self._signed_in(current, callback)
        except SidekeyError as error:
            error.upstream = name
            current.error = error
        except Exception as mistake:  # noqa: BLE001  nobody awaits the task
            tell(mistake)
            current.error = LoginFailed("sidekey failed: its log tells where", upstream=name)
        finally:
            if current.state == "waiting":
                current.error = LoginFailed(STOPPED, upstream=name)
            self._observe(SignInEnded(name, current.user, current.detail))
            current.page_known.set()
            current.ended.set()

    async def _signed_in(self, current: SignIn, callback: str) -> Token:
        def show(login: Login) -> None:
            current.login = login
            current.page_known.set()

        return await sign_in(
            current.source,
            self._exchange,
            current.waiting,
            callback=callback,
            show=show,
            wait=TIMEOUT,
        )

    def _alone(self, name: str) -> AbstractContextManager[None]:
        return nullcontext() if self._folder is None else only_login(self._folder, name)


def _digest(name: str, value: str) -> str:
    """Return what tells a sign-in from any other, and says nothing about it."""
    return hashlib.sha256(f"{name}={value}".encode()).hexdigest()
