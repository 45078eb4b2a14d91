"""Keeps tokens in encrypted files, so that `sidekey login` and `sidekey run` share them.

    FOLDER/key          64 hexadecimal digits and a newline; made once, unless a key is given
    FOLDER/NAME.token   the entry of one upstream, in the layout of `seal.py`

The folder has mode 0700, files 0600. Writes are atomic and durable. What cannot be read is never
taken for empty, and never overwritten by reading it: it raises `StoreError`, which says what to do.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from proxy.credentials.secret import Secret
from proxy.credentials.stores import private_file
from proxy.credentials.stores.record import decode, encode
from proxy.credentials.stores.seal import Seal
from proxy.credentials.token import Token
from proxy.errors import StoreError

KEY_LENGTH = 32  # characters, at least, of a key that is given
_KEY_FILE = re.compile(rb"([0-9a-f]{64})\n")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


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

    def __init__(self, folder: Path, key: Secret | None = None) -> None:
        if key is not None and len(key.reveal()) < KEY_LENGTH:
            raise StoreError(
                f"the store's key is shorter than {KEY_LENGTH} characters",
                fix="make one with: openssl rand -hex 32",
            )
        self._folder = folder
        self._key = key
        self._known_seal: tuple[object, Seal] | None = None

    def fingerprint(self, material: str) -> str:
        """Return a keyed digest of `material`; the first call may read or make the key file."""
        return self._seal().fingerprint(material)

    def version(self, name: str) -> object:
        """Return the entry's inode, time and size."""
        return private_file.stamp(self._path(name))

    async def load(self, name: str, fingerprint: str) -> Token | None:
        """Return the token kept for `name` and `fingerprint`; raise `StoreError` if unreadable."""
        entry = await asyncio.to_thread(self._read, name)
        if entry is None or entry[0] != fingerprint:
            return None
        return entry[1]

    async def save(self, name: str, fingerprint: str, token: Token) -> None:
        """Keep `token`; if that fails, the old entry stays."""
        await asyncio.to_thread(self._write, name, fingerprint, token)

    async def delete(self, name: str) -> bool:
        """Forget the entry, even a corrupt one."""
        return await asyncio.to_thread(private_file.remove, self._path(name))

    async def delete_foreign(self, name: str, fingerprint: str) -> bool:
        """Forget the entry of another fingerprint; raise `StoreError` if that cannot be told."""
        entry = await asyncio.to_thread(self._read, name)
        if entry is None or entry[0] == fingerprint:
            return False
        return await self.delete(name)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StoreError(f"{name!r} cannot be the name of an entry")
        return self._folder / f"{name}.token"

    def _read(self, name: str) -> tuple[str, Token] | None:
        """Return the entry's fingerprint and token."""
        path = self._path(name)
        sealed = private_file.read(path)
        if sealed is None:
            return None
        try:
            fingerprint, content = self._seal().open(name, sealed)
            return fingerprint, decode(content)
        except ValueError as error:
            raise StoreError(
                f"{path} cannot be read: {error}",
                fix="sidekey logout {upstream} forgets it; sign in again if a human is asked",
                upstream=name,
            ) from None

    def _write(self, name: str, fingerprint: str, token: Token) -> None:
        sealed = self._seal().close(name, fingerprint, encode(token))
        private_file.replace(self._path(name), sealed)

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
            fix=f"bring back the key, or remove {path.parent} and sign in again",
        )
    return found[1].decode()
