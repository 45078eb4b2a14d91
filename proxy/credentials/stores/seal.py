"""Encrypts entries and digests configurations: AES-256-GCM and HMAC-SHA256, no I/O.

A sealed entry is binary, in this order:

    8 bytes   `SIDEKEY` and the version of this layout, 1
    32 bytes  the fingerprint that the entry belongs to
    12 bytes  the nonce, random
    rest      ciphertext and 16 bytes of tag

The first 40 bytes and the name of the upstream are authenticated too: an entry that was moved to
another name, or given another fingerprint, does not open.

The library is imported where it is needed: it takes 4 MB, and static keys alone are never sealed.
"""

from __future__ import annotations

import hmac
import os

_FORMAT = b"SIDEKEY"
_MAGIC = _FORMAT + b"\x01"
_HEADER = len(_MAGIC) + 32
_NONCE = 12


class Seal:
    """One key text, from which a key for entries and one for fingerprints are derived."""

    def __init__(self, key: str) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aead = AESGCM(_derived(key, b"sidekey store 1: entries"))
        self._digest_key = _derived(key, b"sidekey store 1: fingerprints")

    def fingerprint(self, material: str) -> str:
        """Return the keyed digest of `material`, 64 hexadecimal digits."""
        # A configuration may hold surrogates: environment variables that are no UTF-8.
        content = material.encode("utf-8", "surrogatepass")
        return hmac.digest(self._digest_key, content, "sha256").hex()

    def close(self, name: str, fingerprint: str, content: bytes) -> bytes:
        """Return `content` encrypted for `name` and `fingerprint`."""
        header = _MAGIC + bytes.fromhex(fingerprint)
        nonce = os.urandom(_NONCE)
        return header + nonce + self._aead.encrypt(nonce, content, header + name.encode())

    def open(self, name: str, sealed: bytes) -> tuple[str, bytes]:
        """Return the fingerprint and the content of an entry of `name`.

        Raises `ValueError` if the entry was sealed with another key or for another name, or if a
        single bit of it has changed.
        """
        from cryptography.exceptions import InvalidTag

        header, nonce = sealed[:_HEADER], sealed[_HEADER : _HEADER + _NONCE]
        if not header.startswith(_MAGIC) or len(nonce) < _NONCE:
            raise ValueError("not an entry of this version")
        try:
            content = self._aead.decrypt(nonce, sealed[_HEADER + _NONCE :], header + name.encode())
        except InvalidTag:
            raise ValueError("another key, another name, or changed since it was written") from None
        return header[len(_MAGIC) :].hex(), content


def may_be_foreign(sealed: bytes, fingerprint: str) -> bool:
    """Tell whether bytes that do not open may be good all the same, but not for us.

    That is what another version wrote, or another fingerprint's, which another key has too.
    """
    if not sealed.startswith(_FORMAT) or len(sealed) < _HEADER:
        return False
    version_and_fingerprint = _MAGIC + bytes.fromhex(fingerprint)
    return sealed[:_HEADER] != version_and_fingerprint


def _derived(key: str, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    material = key.encode("utf-8", "surrogatepass")
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(material)
