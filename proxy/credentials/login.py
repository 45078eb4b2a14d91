"""Interactive sign-in: a page of the real server, a browser that comes back, a kept token."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from proxy.credentials.exchange import Exchange
from proxy.credentials.providers import InteractiveProvider
from proxy.credentials.source import Source
from proxy.credentials.token import Login, Token, TokenFlow
from proxy.errors import LoginFailed, LoginPending, SidekeyError, StoreError, TokenEndpointError
from proxy.notation import check_url

POLL = 2.0  # seconds; a denial and a closed browser never call back, so the server is asked
TIMEOUT = 300.0  # seconds that a human has to approve


class Waiting:
    """A wait for a human, for those who know more: the browser came back, or nobody will."""

    def __init__(self) -> None:
        self.given_up: str | None = None
        self._woken = asyncio.Event()

    def come_back(self) -> None:
        """Have the server asked at once: the browser is back."""
        self._woken.set()

    def give_up(self, why: str) -> None:
        """End the wait, but no request under way: its answer may hold a token that exists once."""
        self.given_up = why
        self._woken.set()

    async def pause(self, seconds: float) -> None:
        """Wait for so long, or until there is news."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()


async def sign_in(
    source: Source,
    exchange: Exchange,
    waiting: Waiting,
    *,
    callback: str,
    show: Callable[[Login], None],
    wait: float,
) -> Token:
    """Lead a human through the sign-in of `source` and keep the token.

    `callback` is the URL where the server sends the browser afterwards; `show` gets the sign-in,
    whose page a browser has to open. The token is persisted before anything else happens to it: the
    server may hand it out only once. Raises `LoginFailed` if nobody approves within `wait` seconds.
    """
    provider = source.provider
    if not isinstance(provider, InteractiveProvider):
        raise LoginFailed("this upstream needs no login: its provider signs in by itself")
    state = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    login = await exchange.run(provider.begin(callback, state), provider)
    _check_page(login.url)
    show(login)
    asking = partial(exchange.run, provider=provider)
    token = await _approved(login, asking, waiting, wait)
    await source.keep(token)
    return token


def _check_page(url: str) -> None:
    """Raise `LoginFailed` for what a browser should not open: a local file, or a script."""
    try:
        check_url(url)
    except ValueError:
        raise LoginFailed("the server's sign-in page has no proper http(s) address") from None


async def _approved(
    login: Login,
    asking: Callable[[TokenFlow], Awaitable[Token]],
    waiting: Waiting,
    wait: float,
) -> Token:
    """Ask until the server says that somebody approved: at each return, and from time to time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        try:
            return await asking(login.finish())
        except (LoginPending, TokenEndpointError) as error:
            left = deadline - loop.time()
            if waiting.given_up is not None:
                raise LoginFailed(waiting.given_up, fix="sidekey login {upstream}") from None
            if not left > 0:  # no number is never reached
                raise _too_late(error, wait) from None
        await waiting.pause(min(POLL, left))


def _too_late(error: SidekeyError, wait: float) -> LoginFailed:
    if isinstance(error, TokenEndpointError):
        return LoginFailed(f"the server could not be asked: {error.detail}")
    return LoginFailed(
        f"nobody approved within {wait:.0f} s: the request was denied, or the page left alone",
        fix="sidekey login {upstream}",
    )


@contextmanager
def only_login(folder: Path, name: str) -> Iterator[None]:
    """Hold the right to sign in to `name`; raise `LoginFailed` if somebody else holds it.

    Raises `StoreError` if the folder cannot be made or written.
    Two sign-ins at once would end in two tokens of which one is thrown away, still valid.
    The lock file stays: deleting it would let a third process lock another file of that name.
    """
    path = _lock_file(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}") from None
    try:
        if not _locked(descriptor, fcntl.LOCK_EX):
            raise LoginFailed(
                f"another sidekey login {name} is waiting", fix="finish or stop the other one first"
            )
        yield
    finally:
        os.close(descriptor)


def is_login_under_way(folder: Path, name: str) -> bool:
    """Tell whether somebody holds the right to sign in to `name`."""
    try:
        descriptor = os.open(_lock_file(folder, name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _lock_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.login"


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
