"""The documents as their readers find them: the files, and the blocks of code in them."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from command_line import ROOT
from markdown_it import MarkdownIt

logging.getLogger("markdown_it").setLevel(logging.INFO)  # it tells of every rule that it tries
FOLDER = ROOT / "proxy" / "documents"
FILES = sorted(FOLDER.rglob("*.md"))


@dataclass(frozen=True)
class Block:
    """A block of code; `place` is file and line, for a test's name."""

    file: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, without comments, continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line]


def blocks_of(*files: Path, language: str) -> list[Block]:
    """Return the fenced blocks in that language, also those in lists."""
    return [
        Block(file, (token.map or [0])[0] + 1, language, token.content)
        for file in files
        for token in MarkdownIt("commonmark").parse(file.read_text())
        if token.type == "fence" and token.info == language
    ]
