"""Keeps tokens in encrypted files, so that every sidekey of this machine shares them.

    FOLDER/key                  64 hexadecimal digits and a newline; made once, unless one is given
    FOLDER/NAME.token           the entry of one upstream, in the layout of `seal.py`
    FOLDER/NAME.token.prev      the entry before it
    FOLDER/NAME.token.corrupt-* an entry that could not be read, kept for whoever wants to know why
    FOLDER/CREDENTIAL.attempts  attempts to get a token, in the same layout
    FOLDER/FINGERPRINT.lock     the right to get a token, see `file_lock.py`
    FOLDER/turn, FOLDER/takeover
                                the right to change an entry, or to end a lock, held for an instant

The folder has mode 0700, files 0600. Writes are atomic and durable. What cannot be read is never
taken for empty: the entry before it takes its place.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from proxy.credentials.attempts import SPAN, Attempts
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores import file_lock, private_file
from proxy.credentials.stores.file_lock import FileLease, locked, turn_in
from proxy.credentials.stores.record import (
    RecordError,
    decode,
    decode_attempts,
    encode,
    encode_attempts,
)
from proxy.credentials.stores.seal import Seal, may_be_foreign
from proxy.errors import EntryLost, ForeignEntry, StoreError, Superseded
from proxy.events import EntryPutAside, Observer, nobody

T = TypeVar("T")

KEY_LENGTH = 32  # characters, at least, of a key that is given
UNUSED = 24 * 3600.0  # seconds after which a lock's configuration may be gone
ABANDONED = 60.0  # seconds after which nobody is writing a temporary file any more
_KEY_FILE = re.compile(rb"([0-9a-f]{64})\n")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SPAN = SPAN.total_seconds()
_ATTEMPTS = ".attempts"
_DIGITS = 32  # of a fingerprint, that name its files


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return `$XDG_STATE_HOME/sidekey`; without that variable `~/.local/state/sidekey`.

    A relative `$XDG_STATE_HOME` is ignored, as the XDG Base Directory specification asks.
    Raises `StoreError` if there is no home folder either.
    """
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if state.is_absolute():
        return state / "sidekey"
    home = Path(environ.get("HOME", ""))
    if not home.is_absolute():
        raise StoreError(
            "there is no home folder to keep tokens in",
            fix="set XDG_STATE_HOME to a folder, or store.type to memory",
        )
    return home / ".local" / "state" / "sidekey"


class FileStore:
    """A store in `folder`, which is made at the first write.

    Without `key`, the first use of a fingerprint makes a key in the folder. A key file's digits
    given as `key` open the same entries.
    """

    def __init__(
        self, folder: Path, key: Secret | None = None, *, observe: Observer = nobody
    ) -> None:
        if key is not None and len(key.reveal()) < KEY_LENGTH:
            raise StoreError(
                f"the store's key is shorter than {KEY_LENGTH} characters",
                fix="make one with: openssl rand -hex 32",
            )
        self._folder = folder
        self._key = key
        self._observe = observe
        self._known_seal: tuple[object, Seal] | None = None

    def fingerprint(self, material: str) -> str:
        """Return a keyed digest of `material`; the first call may read or make the key file."""
        return self._seal().fingerprint(material)

    def version(self, name: str) -> object:
        """Return the entry's inode, time and size."""
        return private_file.stamp(self._path(name))

    async def load(self, name: str, fingerprint: str) -> Entry | None:
        """Return the entry kept for `name`; one that is damaged is put aside for the one before it.

        Raises `EntryLost` if there is none before it, and `StoreError` for what may be good, but
        not for this version or key.
        """
        return await _in_thread(self._load, name, fingerprint)

    async def save(self, name: str, fingerprint: str, entry: Entry) -> None:
        """Keep `entry`; if that fails, the old one stays."""
        await _in_thread(self._save, name, fingerprint, entry)

    async def delete(self, name: str) -> bool:
        """Forget the entry and the one before it, even a corrupt one."""
        return await _in_thread(self._delete, name)

    async def attempts(self, credential: str) -> Attempts:
        """Return what was noted of the credential; what cannot be read was not noted by us."""
        return await _in_thread(self._read_attempts, credential)

    async def note(self, credential: str, attempts: Attempts) -> None:
        """Keep `attempts`; none leave no file."""
        await _in_thread(self._write_attempts, credential, attempts)

    @asynccontextmanager
    async def lock(self, fingerprint: str) -> AsyncIterator[FileLease]:
        """Hold what has that fingerprint on this machine."""
        async with locked(self._beside(fingerprint, file_lock.SUFFIX)) as lease:
            yield lease

    async def tidy(self) -> None:
        """Remove what killed writers have left, attempts that count no more, and unused locks."""
        for suffix, age in ((private_file.TEMPORARY, ABANDONED), (_ATTEMPTS, _SPAN)):
            await _in_thread(private_file.remove_older, self._folder, suffix, age)
        await _in_thread(file_lock.remove_unused, self._folder, UNUSED)

    async def aclose(self) -> None:
        """Leave everything: no file stays open."""

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StoreError(f"{name!r} cannot be the name of an entry")
        return self._folder / f"{name}.token"

    def _beside(self, fingerprint: str, suffix: str) -> Path:
        return self._folder / f"{fingerprint[:_DIGITS]}{suffix}"

    def _load(self, name: str, fingerprint: str) -> Entry | None:
        path = self._path(name)
        sealed = private_file.read(path)
        if sealed is None:
            self._check_missing(name, path)
            return None
        try:
            return self._opened(name, fingerprint, sealed)
        except ValueError:
            with turn_in(self._folder):
                return self._recovered(name, fingerprint, path)

    def _check_missing(self, name: str, path: Path) -> None:
        """Raise `EntryLost` if the entry was damaged and put aside: a logout removes that too."""
        if any(self._put_aside(path)):
            raise EntryLost("the stored entry was damaged", upstream=name)

    def _put_aside(self, path: Path) -> Iterator[Path]:
        return self._folder.glob(f"{path.name}.corrupt-*")

    def _opened(self, name: str, fingerprint: str, sealed: bytes) -> Entry:
        """Return the entry; raise `ForeignEntry`, and `ValueError` if it cannot be read."""
        found, content = self._seal().open(name, sealed)
        if found != fingerprint:
            raise ForeignEntry("the entry belongs to another configuration", upstream=name)
        return decode(content)

    def _recovered(self, name: str, fingerprint: str, path: Path) -> Entry | None:
        """Return the entry before a damaged one, which is kept aside."""
        sealed = private_file.read(path)
        if sealed is None:
            self._check_missing(name, path)
            return None
        try:
            return self._opened(name, fingerprint, sealed)  # another process was quicker
        except ValueError as error:
            before = self._readable(name, fingerprint, _previous(path))
            if isinstance(error, RecordError) or (
                before is None and may_be_foreign(sealed, fingerprint)
            ):
                raise StoreError(
                    f"{path} cannot be read: {error}",
                    fix="sidekey logout {upstream} forgets it; sign in again if a human is asked",
                    upstream=name,
                ) from None
        aside = path.with_name(f"{path.name}.corrupt-{time.time_ns():x}")
        private_file.put_aside(path, aside, None if before is None else _previous(path))
        self._observe(EntryPutAside(name, str(aside), before is not None))
        if before is None:
            raise EntryLost("the stored entry is damaged", upstream=name)
        return before

    def _readable(self, name: str, fingerprint: str, path: Path) -> Entry | None:
        with suppress(StoreError, ValueError):
            sealed = private_file.read(path)
            return None if sealed is None else self._opened(name, fingerprint, sealed)
        return None

    def _save(self, name: str, fingerprint: str, entry: Entry) -> None:
        path = self._path(name)
        sealed = self._seal().close(name, fingerprint, encode(entry))
        with private_file.written(path, sealed) as new, turn_in(self._folder):
            kept = self._readable(name, fingerprint, path)
            if kept is not None and not entry.follows(kept):
                raise Superseded("another process has kept a later token")
            if kept is not None:
                private_file.link(path, _previous(path))
            new.replace(path)

    def _delete(self, name: str) -> bool:
        path = self._path(name)
        if not self._folder.is_dir():
            return False
        with turn_in(self._folder):
            removed = {
                private_file.remove(part)
                for part in (_previous(path), *self._put_aside(path), path)
            }
        return True in removed

    def _read_attempts(self, credential: str) -> Attempts:
        sealed = private_file.read(self._beside(credential, _ATTEMPTS))
        if sealed is None:
            return Attempts()
        with suppress(ValueError):
            return decode_attempts(self._seal().open(credential, sealed)[1])
        return Attempts()

    def _write_attempts(self, credential: str, attempts: Attempts) -> None:
        path = self._beside(credential, _ATTEMPTS)
        if attempts.made:
            content = encode_attempts(attempts)
            private_file.replace(path, self._seal().close(credential, credential, content))
        else:
            private_file.remove(path)

    def _seal(self) -> Seal:
        """Return the seal of the given key, or of the key file as it is now.

        Somebody may have removed the folder since: what is written then has to open with the key
        that the next process finds.
        """
        path = self._folder / "key"
        stamp = private_file.stamp(path) if self._key is None else None
        if self._known_seal is None or self._known_seal[0] != stamp:
            key = _file_key(path) if self._key is None else self._key.reveal()
            stamp = private_file.stamp(path) if self._key is None else None
            self._known_seal = stamp, Seal(key)
        return self._known_seal[1]


async def _in_thread(call: Callable[..., T], *arguments: object) -> T:
    """Return what `call` returns. No thread can be stopped: it is waited for in any case."""
    work = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        work.exception()  # somebody has to look at it
        raise


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.prev")


def _file_key(path: Path) -> str:
    """Return the key in `path`, made if it is missing; of two makers the first one wins."""
    content = private_file.read(path)
    if content is None:
        private_file.create(path, f"{secrets.token_hex(32)}\n".encode())
        content = private_file.read(path)
    found = _KEY_FILE.fullmatch(content or b"")
    if found is None:
        raise StoreError(
            f"{path} is no key",
            fix=f"bring back the key, or remove it with all that it has encrypted:"
            f" rm {path} {path.parent}/*.token*",
        )
    return found[1].decode()
