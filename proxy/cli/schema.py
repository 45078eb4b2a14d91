"""`sidekey schema`"""

from __future__ import annotations

import json

from proxy.config import json_schema


def command() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
