"""`sidekey explain`"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from proxy.cli.credentials import sources_of
from proxy.cli.local import NoAnswer
from proxy.cli.options import ConfigOption, load_config
from proxy.cli.output import FAILED, LOGIN_NEEDED
from proxy.cli.status import asked
from proxy.config import Loaded
from proxy.config.models import Settings
from proxy.credentials.redaction import Redaction
from proxy.errors import LoginRequired
from proxy.gateway.explained import Explanation, Injection, Verdict
from proxy.gateway.explanation import explain
from proxy.observe.status import status_of
from proxy.sources import know_all, know_hidden

_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_METHOD = re.compile(r"[A-Za-z]+")
MethodArgument = Annotated[str, typer.Argument(help="The method, such as GET.", show_default=False)]
UrlArgument = Annotated[
    str,
    typer.Argument(
        help="What a client calls: http://127.0.0.1:8080/NAME/rest, or /NAME/rest;"
        " or the URL of the API itself.",
        show_default=False,
    ),
]
FieldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        "-H",
        help="A field that the client sends, such as 'Content-Type: application/json'."
        " Make up the value of a credential: arguments are no place for a real one.",
        show_default=False,
    ),
]


def command(
    method: MethodArgument,
    url: UrlArgument,
    header: FieldOption = None,
    known: Annotated[
        bool, typer.Option("--known", help="As a client that shows what `clients` asks for.")
    ] = False,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what would become of a request, and send nothing.

    Exits 1 if it would be refused, 4 if that is because somebody has to sign in first.

    \b
    Examples:
      sidekey explain GET /jquants/equities/master?code=86970
      sidekey explain POST http://127.0.0.1:8080/misskey/api/i -H 'X-A: b'
      sidekey explain GET https://api.jquants.com/v2/equities/master
    """
    if not _METHOD.fullmatch(method):
        raise typer.BadParameter("a method has letters only", param_hint="METHOD")
    fields = [_field(text) for text in header or ()]
    loaded = load_config(config)
    told = asyncio.run(_explained(loaded, method.upper(), url, fields, known=known))
    print(_as_json(told) if as_json else "\n".join(_rendered(told)))
    if told.refusal is not None:
        is_login = told.refusal.slug == LoginRequired.slug
        raise typer.Exit(LOGIN_NEEDED if is_login else FAILED)


def _field(text: str) -> tuple[str, str]:
    found = _FIELD.fullmatch(text)
    if found is None:
        raise typer.BadParameter("expected 'Name: value'", param_hint="-H")
    if found[1].lower() == "content-length" and not re.fullmatch("[0-9]{1,18}", found[2]):
        raise typer.BadParameter("Content-Length is a number", param_hint="-H")
    return found[1], found[2]


def _resting(settings: Settings) -> set[str]:
    """Return the upstreams whose token endpoint the running proxy leaves alone, if one runs."""
    try:
        told = asked(settings)
    except NoAnswer:
        return set()
    resting = (one for one in told if one["state"] == "blocked" and "next_renewal" in one)
    return {one["upstream"] for one in resting}


async def _explained(
    loaded: Loaded, method: str, url: str, fields: list[tuple[str, str]], *, known: bool
) -> Explanation:
    redaction = Redaction()
    know_all(redaction, loaded.settings)
    know_hidden(redaction, loaded)
    async with sources_of(loaded) as (sources, _):
        resting = await asyncio.to_thread(_resting, loaded.settings)
        statuses = [
            await status_of(source, rests=name in resting) for name, source in sources.items()
        ]
    states = {status.upstream: status for status in statuses}
    return explain(
        loaded.settings, method, url, fields, states=states, redaction=redaction, known=known
    )


def _as_json(explanation: Explanation) -> str:
    return json.dumps(explanation.members(), ensure_ascii=False, indent=2)


def _rendered(told: Explanation) -> Iterator[str]:
    yield f"{told.method} {told.local or told.asked}"
    if told.local is not None and told.asked not in told.local:
        yield f"  stands for {told.asked}"
    yield from _section("checks", map(_verdict, told.verdicts))
    yield from _section("provided that", told.conditions)
    yield from _section("rules", map(_injection, told.injections))
    yield from _section("not sent", (f"{one.name}: {one.why}" for one in told.removed))
    if told.token is not None:
        facts = (f"{name}: {fact}" for name, fact in told.token.items() if name != "upstream")
        yield from _section("token", facts)
    yield from _section("if the upstream answers", filter(None, [told.rejection]))
    yield from _outcome(told)


def _section(head: str, lines: Any) -> Iterator[str]:
    found = [f"  {line}" for line in lines]
    if found:
        yield from ("", f"{head}:", *found)


def _verdict(verdict: Verdict) -> str:
    rule = f" ({verdict.rule})" if verdict.rule else ""
    return f"{'ok' if verdict.passed else 'NO'}  {verdict.check}: {verdict.why}{rule}"


def _injection(injection: Injection) -> str:
    own = "; the client's own is taken away" if injection.removes_own else ""
    if injection.applies:
        return f"{injection.rule}: sets {injection.sets}{own}"
    return f"{injection.rule}: does not apply: {injection.why}{own}"


def _outcome(told: Explanation) -> Iterator[str]:
    if told.request is not None:
        yield from ("", "would be sent:", f"  {told.request.method} {told.request.url}")
        yield from (f"  {name}: {value}" for name, value in told.request.fields)
        if told.request.content is not None:
            yield from ("", f"  content: {told.request.content}")
    if told.answer is not None:
        status = "" if told.answer.status is None else f" {told.answer.status}"
        content = json.dumps(told.answer.content, ensure_ascii=False)
        yield from ("", f"would be answered by sidekey itself:{status}", f"  {content}")
    if told.refusal is not None:
        refusal = told.refusal
        yield from ("", f"would be refused: {refusal.status} {refusal.slug}", f"  {refusal.detail}")
        if refusal.fix is not None:
            yield f"  {refusal.fix}"
