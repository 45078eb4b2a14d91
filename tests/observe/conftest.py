"""Lets these tests read the documents as their own tests do, and count what took the fast lane."""

import sys
from pathlib import Path

from lane_fixtures import count

sys.path.append(str(Path(__file__).parent.parent / "documents"))
__all__ = ["count"]
