"""`sidekey health`"""

from __future__ import annotations

import typer

from proxy.cli.local import address, ask
from proxy.cli.options import ConfigOption, load_config
from proxy.cli.output import FAILED, say


def command(config: ConfigOption = None) -> None:
    """Exit 0 if the running proxy is alive."""
    settings = load_config(config).settings
    if ask(settings, "/_sidekey/healthz", "status") != "ok":
        say(f"sidekey: no proxy answers at {address(settings.listen)}")
        raise typer.Exit(FAILED)
    print("ok")
