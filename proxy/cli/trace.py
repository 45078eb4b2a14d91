"""`sidekey trace`"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer

from proxy.cli.credentials import source_of
from proxy.cli.login import signed_in
from proxy.cli.options import ConfigOption, NameArgument, check_name, load_config
from proxy.cli.output import say
from proxy.config import Loaded
from proxy.credentials.login import TIMEOUT
from proxy.credentials.providers import InteractiveProvider, TokenEndpoint
from proxy.errors import AnswerUnusable, SidekeyError, StoreError
from proxy.observe.trace import Trace, error_facts, token_facts, token_lines
from proxy.observe.veil import veil_of


def command(
    name: NameArgument,
    config: ConfigOption = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Begin with the stored token, as a renewal does.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, at the end.")] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the URL of a sign-in.")
    ] = False,
) -> None:
    """Acquire a token, and show what is asked and answered.

    No secret is shown. The token is kept, and a running proxy uses it from then on.
    A refusal counts as any other does: three an hour, until `sidekey refresh NAME`.

    \b
    Examples:
      sidekey trace jquants           as at the first request
      sidekey trace jquants --renew   as when the stored token is renewed
    """
    loaded = load_config(config)
    check_name(loaded, name)
    provider = loaded.settings.upstreams[name].provider
    if not provider.kept:
        say(f"{name}: its keys stand in the configuration, so there is nothing to ask")
        if as_json:
            _print_json({"upstream": name, "steps": []})
        return
    veil = veil_of(loaded.settings, provider, loaded.hidden)
    trace = Trace(veil, _nowhere if as_json else _print)
    try:
        if isinstance(provider, InteractiveProvider):
            token = signed_in(loaded, name, open_browser=not no_browser, wait=TIMEOUT, watch=trace)
            facts = token_facts(token, None)
        else:
            facts = asyncio.run(_acquired(loaded, name, trace, anew=not renew))
    except SidekeyError as error:
        _tell_failure(trace, error, provider, as_json=as_json)
        raise
    if as_json:
        _print_json({"upstream": name, "steps": trace.steps, "token": facts})
    else:
        print("\n".join(["", *token_lines(facts)]))


async def _acquired(loaded: Loaded, name: str, trace: Trace, *, anew: bool) -> dict[str, Any]:
    async with source_of(loaded, name, trace, anew=anew) as (source, _):
        try:
            token = await source.refresh(heeding=True)
        except SidekeyError as error:
            error.upstream = name
            raise
        facts = token_facts(token, source.next_renewal(source.entry))
    if not source.saved:
        raise StoreError("the new token is lost, since it cannot be kept", upstream=name)
    return facts


def _tell_failure(trace: Trace, error: SidekeyError, provider: Any, *, as_json: bool) -> None:
    """Say on stdout what the answer had in place of a token; the error itself goes to stderr."""
    found = None
    if isinstance(error, AnswerUnusable):
        path = provider.response.token if isinstance(provider, TokenEndpoint) else ""
        found = trace.near(path)
    if as_json:
        facts = error_facts(error) | ({} if found is None else {"found": found})
        _print_json({"upstream": error.upstream, "steps": trace.steps, "error": facts})
    elif found is not None:
        _print(f"\nno token: {found}")


def _print(line: str) -> None:
    print(line, flush=True)


def _nowhere(_line: str) -> None:
    """With --json, nothing is shown before the end."""


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2))
