"""Lets these tests read the documents as their own tests do."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "documents"))
