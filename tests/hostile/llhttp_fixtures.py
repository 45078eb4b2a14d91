"""llhttp's own request fixtures, as they come with aiohttp's source distribution.

llhttp is the parser below aiohttp. Its fixtures are somebody else's text, so they are not kept
here: they are fetched with pip from the configured package index, once a cache, in the version that
is installed. Each one is a request in a Markdown file, and a log of what the parser makes of it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

FIXTURES = 166  # in llhttp 9.4
_FIXTURE = re.compile(
    r"^#+ (?P<title>[^\n]+)\n(?:(?!^#+ ).)*?"
    r"<!--\s*meta=\{\s*\"type\":\s*\"(?P<kind>[\w-]+)\"(?P<more>[^\n]*)\}\s*-->\s*"
    r"```http\n(?P<sent>.*?)```.*?```log\n(?P<log>.*?)```",
    re.DOTALL | re.MULTILINE,
)
_REFUSAL = re.compile(r'error code=\d+ reason="(?!Pause|on_)')  # an upgrade pauses the parser
_SPAN = re.compile(r'off=\d+ len=\d+ span\[(\w+)\]="(.*)"')
_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "f": "\f"}


@dataclass(frozen=True)
class Message:
    """One request that the log shows from its beginning to its end."""

    method: str
    target: str
    content: bytes


@dataclass(frozen=True)
class Fixture:
    """One request, or several, or none; `strict` is false where the parser was told to bear more.

    `messages` are those that the log shows complete, `refused` tells whether an error ends it.
    """

    name: str
    strict: bool
    sent: bytes
    messages: tuple[Message, ...]
    refused: bool

    def to(self, host: str) -> bytes:
        """Return what is sent, with every request line followed by `host` in place of its own.

        Most fixtures have no Host or a foreign one, and would be refused for that alone.
        """
        own = re.sub(rb"(?im)^host:[^\r\n]*\r\n", b"", self.sent)
        line = b"Host: " + host.encode() + b"\r\n"
        return re.sub(rb"(?m)^([A-Z-]+ [^\r\n]* \w+/\d\.\d\r\n)", lambda m: m[1] + line, own)


def fixtures(folder: Path) -> list[Fixture]:
    """Return every request fixture, from `folder`, or from the package index by way of it."""
    found: list[Fixture] = []
    with tarfile.open(_archive(folder)) as archive:
        for member in sorted(archive.getnames()):
            if "/llhttp/test/request/" in member and member.endswith(".md"):
                text = archive.extractfile(member)
                assert text is not None
                found.extend(_parsed(Path(member).stem, text.read().decode()))
    return found


def _archive(folder: Path) -> Path:
    name = f"aiohttp-{version('aiohttp')}.tar.gz"
    if not (folder / name).exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        wanted = ["--no-binary", "aiohttp", f"aiohttp=={version('aiohttp')}"]
        subprocess.run([*pip, "--dest", str(folder), *wanted], check=True, capture_output=True)
    return folder / name


def _parsed(file: str, text: str) -> Iterator[Fixture]:
    for match in _FIXTURE.finditer(text):
        yield Fixture(
            name=f"{file}: {match['title']}",
            strict=match["kind"] in ("request", "request-finish") and "skip" not in match["more"],
            sent=_unescaped(match["sent"]),
            messages=tuple(_messages(match["log"])),
            refused=_REFUSAL.search(match["log"]) is not None,
        )


def _unescaped(text: str) -> bytes:
    """Return the bytes that a block of the Markdown file stands for, by llhttp's own rules."""
    text = re.sub(r"\\\n", "", text.removesuffix("\n")).replace("\n", "\r\n")
    text = re.sub(r"\\([rntf])", lambda m: _ESCAPES[m[1]], text)
    text = re.sub(r"\\x([0-9a-fA-F]+)", lambda m: chr(int(m[1], 16)), text)
    text = re.sub(r"\\([0-7]{1,3})", lambda m: chr(int(m[1], 8)), text)
    return text.encode()


def _messages(log: str) -> Iterator[Message]:
    method, target, content = "", "", ""
    for line in log.replace('\\"', '"').splitlines():
        span = _SPAN.match(line)
        if line.endswith(" message begin"):
            method, target, content = "", "", ""
        elif span is not None and span[1] == "method":
            method += span[2]
        elif span is not None and span[1] == "url":
            target += span[2]
        elif span is not None and span[1] == "body":
            content += span[2]
        elif line.endswith(" message complete"):
            yield Message(method, target, content.encode("latin-1"))
