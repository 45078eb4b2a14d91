"""`sidekey schema`"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from proxy.config import json_schema, reference


def command(
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference, for people.")
    ] = False,
) -> None:
    """Print the JSON Schema of the configuration, for editors.

    \b
    Examples:
      sidekey schema > sidekey.schema.json
      sidekey schema --markdown | less
    """
    if as_markdown:
        print(reference(), end="")
    else:
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
