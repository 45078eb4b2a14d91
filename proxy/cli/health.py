"""`sidekey health`"""

from __future__ import annotations

import typer

from proxy.cli.local import NoAnswer, another_program, ask
from proxy.cli.options import ConfigOption, load_listen
from proxy.cli.output import FAILED, say


def command(config: ConfigOption = None) -> None:
    """Exit 0 if the running proxy is alive.

    Of the configuration only `listen` counts: a mistake elsewhere is none of a proxy's that runs.

    \b
    Examples:
      sidekey health
      sidekey health --config /etc/sidekey/config.yaml
    """
    listen = load_listen(config)
    try:
        if ask(listen, "/_sidekey/healthz", "status") != "ok":
            raise NoAnswer(another_program(listen))
    except NoAnswer as why:
        say(f"sidekey: {why}")
        raise typer.Exit(FAILED) from None
    print("ok")
