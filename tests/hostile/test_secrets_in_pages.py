"""K05: sidekey's own pages, and what its commands say of a configuration, hold no secret."""

from __future__ import annotations

import json
import os

import pytest
from canaries import canary, holds_canary
from command_line import Ended, Home, free_port
from config_fixtures import Issues
from issuing import Issuer
from oracles import OWN_PAGES
from raw_upstream import RawRequest, answering, json_response

CONFIG = """\
listen: {{port: {port}}}
clients: {{keys: "${{CLIENT_KEY}}"}}
upstreams:
  key: {{base_url: "{api}", provider: {{type: api_key, keys: {literal}}}}}
  token: {{base_url: "{api}", provider: &tokens {{type: oauth2_client_credentials,
    token_url: "{api}/oauth/token", client_id: me, client_secret: "${{CLIENT_SECRET}}"}}}}
  refused: {{base_url: "{api}/b", provider: {{type: oauth2_client_credentials,
    token_url: "{refusing}/oauth/token", client_id: me, client_secret: "${{CLIENT_SECRET}}"}}}}
  human: {{preset: misskey, base_url: "{api}"}}
"""
COMMANDS = [
    ("check",),
    ("check", "--online"),
    ("status",),
    ("status", "--json"),
    ("schema",),
    ("explain", "GET", "/key/a", "--known"),
    ("explain", "GET", "/token/a", "--json"),
]
TRACES = [("trace", "token"), ("trace", "refused"), ("trace", "refused", "--json")]
STATUS = COMMANDS.index(("status", "--json"))


def quoting(request: RawRequest) -> bytes:
    """Refuse at the token endpoint, and say by which credentials."""
    said = {"error": "invalid_client", "error_description": str(request.head + request.content)}
    return json_response("401 Unauthorized", json.dumps(said).encode())


@pytest.mark.case("K05")
async def test_no_page_and_no_command_shows_a_secret_in_any_state_of_a_token(home: Home) -> None:
    secrets = {name: canary(name.lower()) for name in ("CLIENT_KEY", "CLIENT_SECRET")}
    literal, port = canary("literal"), free_port()
    shown = f"-H 'Authorization: Bearer {secrets['CLIENT_KEY']}'"
    async with answering(Issuer()) as api, answering(quoting) as refusing:
        places = {"api": api.origin, "refusing": refusing.origin}
        home.configure(CONFIG.format(port=port, literal=literal, **places))
        before = await home.run("status", "--json", **secrets)
        async with home.started("run", SIDEKEY_LOG_LEVEL="debug", **secrets) as proxy:
            address = await proxy.address()
            asked = [f"{shown} {address}/{name}/a" for name in ("key", "token", "refused", "human")]
            for page in (*OWN_PAGES, "/nothing"):
                asked += [f"{shown} {address}/_sidekey{page}", f"{address}/_sidekey{page}"]
            answers = [await home.shell(f"curl -si {options}") for options in asked]
            said = await home.run_all(*COMMANDS, **secrets)
            log = await proxy.stopped()
        said += [await home.run(*trace, **secrets) for trace in TRACES]
    assert [ended.code for ended in said[-len(TRACES) :]] == [0, 1, 1]
    assert (states(before), states(said[STATUS])) == (
        ["ready", "idle", "idle", "login-required"],
        ["ready", "ready", "blocked", "login-required"],
    )
    assert "upstreams.key.provider.keys" in said[0].err, "nobody is told of the literal secret"
    for ended in (before, *answers, *said, log):
        assert not holds_canary(ended.said), ended.said


def states(ended: Ended) -> list[str]:
    return [entry["state"] for entry in json.loads(ended.out)["upstreams"]]


MISTAKES = {
    "a key that there is not": "{BASE, provider: {type: api_key, kys: SECRET}}",
    "a provider that is none": "{BASE, provider: SECRET}",
    "a type that there is not": "{BASE, provider: {type: SECRET}}",
    "a value in place of a mapping": "SECRET",
    "a list in place of a value": "{base_url: [SECRET]}",
    "a wrong number": "{BASE, port: SECRET}",
    "a user in the address": "{base_url: 'https://me:SECRET@a.example'}",
    "a query in the address": "{base_url: 'https://a.example/?key=SECRET'}",
    "an address that is none": "{base_url: SECRET}",
    "a preset that there is not": "{preset: SECRET}",
    "a program that fails": "{base_url: '${exec:sh -c \"echo SECRET >&2; exit 1\"}'}",
    "a line break": '{BASE, provider: {type: api_key, keys: "SECRET\\n"}}',
    "the same key twice": "{base_url: SECRET, base_url: SECRET}",
    "a quote that is not closed": "{base_url: 'SECRET",
    "a brace that is not closed": "{base_url: SECRET",
    "a tag": "!SECRET {base_url: SECRET}",
    "an alias of nothing": "*SECRET",
}


@pytest.mark.case("K05")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_said_of_a_mistake_holds_no_value(mistake: str, issues: Issues) -> None:
    upstream = MISTAKES[mistake].replace("SECRET", canary("value"))
    upstream = upstream.replace("BASE", "base_url: 'https://a.example'")
    lines = issues(f"upstreams:\n  a: {upstream}\n", {"PATH": os.environ["PATH"]})
    assert lines
    assert not holds_canary("".join(lines)), lines
