"""Handshakes and frames of websockets as raw bytes (RFC 6455)."""

from __future__ import annotations

VERSION = "Sec-WebSocket-Version: 13"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = ("Connection: keep-alive, Upgrade", "Upgrade: WebSocket", VERSION, KEY)
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    + ACCEPT
    + b"\r\n"
)


def frame(opcode: int, content: bytes, *, bits: int = 0x80, mask: bytes | None = b"mask") -> bytes:
    """Return one frame (RFC 6455 5.2); `bits` are FIN and the reserved ones, `mask` 4 bytes."""
    masked = 0x80 if mask else 0
    if len(content) < 126:
        length = bytes([masked | len(content)])
    elif len(content) < 65536:
        length = bytes([masked | 126]) + len(content).to_bytes(2)
    else:
        length = bytes([masked | 127]) + len(content).to_bytes(8)
    if not mask:
        return bytes([bits | opcode]) + length + content
    repeated = mask * (len(content) // 4 + 1)
    scrambled = bytes(byte ^ key for byte, key in zip(content, repeated, strict=False))
    return bytes([bits | opcode]) + length + mask + scrambled
