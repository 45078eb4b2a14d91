"""What every store has."""

from __future__ import annotations

from typing import Protocol

from proxy.credentials.token import Token


class Store(Protocol):
    """Keeps one token an upstream, under the upstream's name.

    Each entry belongs to the fingerprint of the configuration that acquired it, so that an edited
    configuration never meets a foreign token. Every method may raise `StoreError`.
    """

    def fingerprint(self, material: str) -> str:
        """Return a keyed digest (HMAC-SHA256, hexadecimal) of `material`, which holds secrets."""
        ...

    def version(self, name: str) -> object:
        """Return something that compares unequal after the entry has changed, `None` if none.

        It is cheap (a file store makes one `lstat`), so that a running proxy can ask often.
        """
        ...

    async def load(self, name: str, fingerprint: str) -> Token | None:
        """Return the token kept under `name`, `None` if none or if it is another fingerprint's."""
        ...

    async def save(self, name: str, fingerprint: str, token: Token) -> None:
        """Keep `token` under `name`; it is durable when this returns."""
        ...

    async def delete(self, name: str) -> bool:
        """Forget the entry, even one that cannot be read; `False` if there was none."""
        ...

    async def delete_foreign(self, name: str, fingerprint: str) -> bool:
        """Forget the entry if it belongs to another fingerprint; `True` if it did."""
        ...
