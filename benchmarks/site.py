"""Where a comparison takes place: a folder, ports, a certificate, and what is served."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import trustme

CREDENTIAL = "Bearer benchmark-0123456789abcdef0123456789abcdef"
JSON = json.dumps({"items": ["0123456789abcdef"] * 50}).ljust(1024)
CONFIGURATIONS = Path(__file__).with_name("configurations")
MIB = 1024 * 1024


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@dataclass(frozen=True)
class Site:
    """The folder that configurations are rendered into, and what they may name."""

    folder: Path
    backend: int = field(default_factory=free_port)
    backend_tls: int = field(default_factory=free_port)
    sockets: int = field(default_factory=free_port)

    def prepare(self) -> None:
        """Make the certificate, and the files that the backend serves."""
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(str(self.folder / "certificate.pem"))
        issued.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        (self.folder / "served.pem").write_bytes(chain)
        www = self.folder / "www"
        www.mkdir()
        (www / "json").write_text(JSON)
        (www / "1m").write_bytes(b"x" * MIB)
        (www / "64m").write_bytes(b"x" * 64 * MIB)

    def render(self, name: str, *, to: str | None = None, **values: object) -> Path:
        """Write a configuration with its values filled in, and return its path."""
        known: dict[str, object] = {
            "FOLDER": self.folder,
            "BACKEND": self.backend,
            "BACKEND_TLS": self.backend_tls,
            "SOCKETS": self.sockets,
            "CREDENTIAL": CREDENTIAL,
            "JSON": JSON,
            "USER": "user root;" if os.geteuid() == 0 else "",  # else nginx changes to nobody
            **values,
        }
        text = (CONFIGURATIONS / name).read_text()
        for key, value in known.items():
            text = text.replace(f"@{key}@", str(value))
        path = self.folder / (to or name)
        path.write_text(text)
        path.chmod(0o600)
        return path
