"""Every value in effect, secrets masked, and where it came from."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from canaries import canary
from config_fixtures import effective, write_secret

from proxy.app import Running, running
from proxy.cli import serving
from proxy.config import load
from proxy.config.versions import Versions
from proxy.credentials.redaction import Redaction
from proxy.credentials.secret import MASK
from proxy.events import ConfigRefused, ConfigReloaded, Event, Listening
from proxy.listeners import bound

PLAIN = """\
# A comment moves every line.
listen: {port: 8081, timeouts: {head: 1h30m}}
clients:
  keys: "${CLIENT_KEY}"   # stands alone
upstreams:

  api:
    base_url: https://${HOST}/v1/
    inject: {in: query, name: i}
    limits:
      rate: 120/m
      content: 64KiB
    allow:
      - methods: [GET,
                  HEAD]
      - {paths: ["/a/**", "${GLOB:-/b}"]}
    reject_on: [401, {status: 403, contains: gone}]
    provider:
      type: api_key
      keys:
        - ${KEY}
        - "$${literal}"
"""
ENVIRON = {"CLIENT_KEY": "k" * 20, "HOST": "a.example", "KEY": "made-up"}
DEFAULT = {"kind": "default"}


def at(line: int, column: int, reference: str | None = None) -> dict[str, object]:
    place = {"kind": "file", "line": line, "column": column}
    return place if reference is None else place | {"reference": reference}


def test_each_value_of_the_file_has_its_line_and_column(load_text):
    found = effective(load_text(PLAIN, ENVIRON))
    api = "upstreams.api"
    assert {path: entry for path, entry in found.items() if entry[1] != DEFAULT} == {
        "listen.port": (8081, at(2, 10)),
        "listen.timeouts.head": ("90m", at(2, 33)),
        "clients.keys[0]": (MASK, at(4, 3, "${CLIENT_KEY}")),
        f"{api}.base_url": ("https://a.example/v1", at(8, 5, "${HOST}")),
        f"{api}.inject[0].in": ("query", at(9, 14)),
        f"{api}.inject[0].name": ("i", at(9, 25)),
        f"{api}.limits.rate": ("2/s", at(11, 7)),
        f"{api}.limits.content": ("64KiB", at(12, 7)),
        f"{api}.allow[0].methods": (["GET", "HEAD"], at(14, 9)),
        f"{api}.allow[1].paths[0]": ("/a/**", at(16, 18)),
        f"{api}.allow[1].paths[1]": ("/b", at(16, 27, "${GLOB:-...}")),
        f"{api}.reject_on[0].status": (401, at(17, 17)),
        f"{api}.reject_on[1].status": (403, at(17, 23)),
        f"{api}.reject_on[1].contains": ("gone", at(17, 36)),
        f"{api}.provider.type": ("api_key", at(19, 7)),
        f"{api}.provider.keys[0]": (MASK, at(21, 11, "${KEY}")),
        f"{api}.provider.keys[1]": (MASK, at(22, 11)),
    }


def test_what_is_not_written_is_told_as_people_would_write_it(load_text):
    found = effective(load_text(PLAIN, ENVIRON))
    assert found["listen.host"] == ("127.0.0.1", DEFAULT)
    assert found["listen.allowed_hosts"] == ([], DEFAULT)
    assert found["listen.timeouts.idle"] == ("30s", DEFAULT)
    assert found["store.path"] == (None, DEFAULT)
    assert found["upstreams.api.inject[0].format"] == ("{token}", DEFAULT)
    assert found["upstreams.api.timeouts.read"] == ("5m", DEFAULT)
    assert found["upstreams.api.reject_on[0].contains"] == (None, DEFAULT)


def test_the_order_is_that_of_the_documents(load_text):
    paths = list(effective(load_text(PLAIN, ENVIRON)))
    heads = list(dict.fromkeys(path.partition(".")[0] for path in paths))
    assert heads == ["listen", "clients", "store", "upstreams"]
    assert paths[:2] == ["listen.host", "listen.port"]


PRESETS = """\
upstreams:
  kabu:
    preset: kabu-station
    base_url: http://localhost:18081/kabusapi
    provider:
      api_password: ${PASSWORD}
      response: {refresh_token: refresh}
    timeouts: {connect: 1s}
    deny: [{paths: [/x]}]
  jquants:
    preset: jquants-v1
    provider: {mailaddress: "${MAIL:-me@example.com}", password: "${PASSWORD}"}
    reject_on: [401]
"""


def test_what_a_preset_fills_in_names_it_beside_what_the_file_adds(load_text):
    found = effective(load_text(PRESETS, {"PASSWORD": "made-up"}))
    preset = {"kind": "preset", "preset": "kabu-station"}
    kabu, jquants = "upstreams.kabu", "upstreams.jquants"
    assert found[f"{kabu}.preset"] == ("kabu-station", at(3, 5))
    assert found[f"{kabu}.base_url"] == ("http://localhost:18081/kabusapi", at(4, 5))
    assert found[f"{kabu}.provider.type"] == ("token_endpoint", preset)
    assert found[f"{kabu}.provider.request.url"] == (
        "http://localhost:18081/kabusapi/token",
        preset,
    )
    assert found[f"{kabu}.provider.response.token"] == ("Token", preset)
    assert found[f"{kabu}.provider.response.refresh_token"] == ("refresh", at(7, 18))
    assert found[f"{kabu}.provider.request.method"] == ("POST", DEFAULT)
    assert found[f"{kabu}.inject[0].format"] == ("{token}", preset)
    assert found[f"{kabu}.inject[0].paths"] == ([], DEFAULT)
    assert found[f"{kabu}.reject_on[0].status"] == (401, preset)
    assert found[f"{kabu}.timeouts.connect"] == ("1s", at(8, 16))
    assert found[f"{kabu}.timeouts.read"] == ("5m", DEFAULT)
    assert found[f"{kabu}.deny[0].paths"] == (["/x"], at(9, 13))
    assert found[f"{kabu}.deny[0].methods"] == ([], DEFAULT)
    assert found[f"{jquants}.reject_on[0].status"] == (401, at(13, 17))
    mail = f"{jquants}.provider.mailaddress"
    assert found[mail] == (MASK, at(12, 16, "${MAIL:-...}"))
    assert found[f"{jquants}.provider.id_token_lifetime"] == ("23h", DEFAULT)


def test_what_a_preset_makes_of_an_input_tells_where_the_input_stands(load_text):
    found = effective(load_text(PRESETS, {"PASSWORD": "made-up"}))
    assert found["upstreams.kabu.provider.request.json.APIPassword"] == (
        MASK,
        {
            "kind": "preset",
            "preset": "kabu-station",
            "inputs": ["api_password"],
            "line": 6,
            "column": 7,
            "reference": "${PASSWORD}",
        },
    )


def test_options_and_variables_are_named_where_they_win(load_text):
    environ = ENVIRON | {"SIDEKEY_HOST": "localhost", "SIDEKEY_PORT": "1"}
    found = effective(load_text(PLAIN, environ, {"listen.port": 9}))
    assert found["listen.host"] == (
        "localhost",
        {"kind": "environment", "variable": "SIDEKEY_HOST"},
    )
    assert found["listen.port"] == (9, {"kind": "option", "option": "--port"})
    socket = effective(load_text(PLAIN, ENVIRON, {"listen.unix_socket": Path("/run/s")}))
    assert socket["listen.unix_socket"] == ("/run/s", {"kind": "option", "option": "--unix-socket"})


REFERENCES = {
    "${A}": "${A}",
    "x-${A}${A}": "${A} ${A}",
    "${B:-hunter2}": "${B:-...}",
    "${A:?set it}": "${A:?set it}",
    "$${A} ${A}": "${A}",
    "${exec:echo hunter2}": "${exec:echo ...}",
    "${exec:pwd}": "${exec:pwd}",
    "${file:kept}": "${file:kept}",
}


@pytest.mark.parametrize("written", REFERENCES)
def test_a_reference_is_told_as_written_without_what_may_be_secret_in_it(
    written, load_text, tmp_path
):
    write_secret(tmp_path / "kept")
    text = PLAIN.replace("${KEY}", json.dumps(written))
    found = effective(load_text(text, ENVIRON | {"A": "a", "PATH": os.environ["PATH"]}))
    assert found["upstreams.api.provider.keys[0]"] == (MASK, at(21, 11, REFERENCES[written]))


def test_a_value_that_is_no_secret_is_shown_wherever_it_comes_from(load_text):
    text = PLAIN.replace("rate: 120/m", "rate: ${RATE}").replace("8081", '"${PORT}"')
    found = effective(load_text(text, ENVIRON | {"RATE": "10/m", "PORT": "9"}))
    assert found["upstreams.api.limits.rate"] == ("10/m", at(11, 7, "${RATE}"))
    assert found["listen.port"] == (9, at(2, 10, "${PORT}"))


def test_a_secret_is_masked_in_a_place_that_is_none_too(load_text, tmp_path):
    secret = canary("path")
    write_secret(tmp_path / "kept", secret)
    for reference, shown in {
        "${KEY}": "https://a.example/***/v1",  # known from its place in the provider
        "${BOT_TOKEN}": MASK,
        "${file:kept}": MASK,
        "${HOST}": "https://a.example/a.example/v1",
    }.items():
        text = PLAIN.replace("${HOST}", f"a.example/{reference}")
        found = effective(load_text(text, ENVIRON | {"KEY": secret, "BOT_TOKEN": canary("bot")}))
        assert found["upstreams.api.base_url"] == (shown, at(8, 5, reference))


URLS = {
    "redis://me:hunter2@a:6379/0": "redis://***@a:6379/0",
    "https://me@a/b?c=d": "https://***@a/b?c=d",
    "https://a/b?c=d&api_key=hunter2&e=f#g": "https://a/b?c=d&api_key=***&e=f#g",
    "https://a/@b?c=d@e": "https://a/@b?c=d@e",
}


@pytest.mark.parametrize("url", URLS)
def test_of_a_url_user_and_password_and_what_is_called_secret_are_masked(url, load_text):
    text = PLAIN + f"    local_answers: [{{paths: [/x], json: {{at: '{url}'}}}}]\n"
    found = effective(load_text(text, ENVIRON))
    assert found["upstreams.api.local_answers[0].json.at"][0] == URLS[url]


def test_a_scheme_that_a_reference_brought_is_masked(load_text):
    written = {"Client {token}": "Client {token}", "${SCHEME} {token}": MASK}
    for text, shown in written.items():
        file = PLAIN.replace("name: i", f"name: i, format: '{text}'")
        found = effective(load_text(file, ENVIRON | {"SCHEME": "letters"}))
        assert found["upstreams.api.inject[0].format"][0] == shown


FREE_FIELDS = """\
upstreams:
  a:
    base_url: https://a.example
    inject: {in: header, name: X-Client, format: "Client {token}"}
    provider:
      type: token_endpoint
      request:
        url: https://a.example/token
        json: {code: hunter2, pin: 1234, scopes: [hunter2]}
      renewal:
        url: https://a.example/token
        form: {refresh_token: "{refresh_token}", grant_type: oauth2_refresh}
"""


def test_where_any_text_may_be_secret_only_placeholders_and_the_catalogue_are_shown(load_text):
    found = effective(load_text(FREE_FIELDS))
    provider = "upstreams.a.provider"
    assert found[f"{provider}.request.json.code"] == (MASK, at(9, 16))
    assert found[f"{provider}.request.json.pin"] == (MASK, at(9, 31))
    assert found[f"{provider}.request.json.scopes[0]"] == (MASK, at(9, 51))
    assert found[f"{provider}.renewal.form.grant_type"] == (MASK, at(12, 50))
    assert found[f"{provider}.renewal.form.refresh_token"][0] == "{refresh_token}"
    assert found["upstreams.a.inject[0].format"][0] == "Client {token}"


def test_a_number_that_json_does_not_have_is_told_as_text(load_text):
    text = PLAIN + "    local_answers: [{paths: [/x], json: {n: .nan, small: -.inf}}]\n"
    found = effective(load_text(text, ENVIRON))
    assert found["upstreams.api.local_answers[0].json.n"][0] == ".nan"
    assert found["upstreams.api.local_answers[0].json.small"][0] == "-.inf"


SERVED = """\
listen: {{port: 0}}
store: {{path: {folder}}}
upstreams:
  api:
    base_url: http://127.0.0.1:9
    provider: {{type: api_key, keys: "${{KEY}}"}}
    limits: {{concurrency: {limit}}}
"""


async def test_the_running_proxy_tells_of_what_it_serves_after_a_reload_too(tmp_path, monkeypatch):
    proxies: list[Running] = []
    events: asyncio.Queue[Event] = asyncio.Queue()

    @asynccontextmanager
    async def noted(*args: Any, **kwargs: Any) -> AsyncIterator[Running]:
        async with running(*args, **kwargs) as proxy:
            proxies.append(proxy)
            yield proxy

    async def concurrency() -> object:
        url = f"{proxies[0].addresses[0]}/_sidekey/api/config"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            settings = (await answer.json())["settings"]
        path = "upstreams.api.limits.concurrency"
        (setting,) = [setting for setting in settings if setting["path"] == path]
        return setting["value"], setting["origin"]["line"]

    async def write(text: str, *kinds: type[Event]) -> None:
        write_secret(path, text)
        os.kill(os.getpid(), signal.SIGHUP)
        await seen(*kinds)

    async def seen(*kinds: type[Event]) -> None:
        async with asyncio.timeout(30):
            while not isinstance(await events.get(), kinds):
                pass

    monkeypatch.setattr(serving, "running", noted)
    text = partial(SERVED.format, folder=tmp_path / "state")
    path, files = write_secret(tmp_path / "sidekey.yaml", text(limit=4)), Versions()
    environ = {"KEY": canary("key"), "HOME": str(tmp_path)}
    loaded = load(path, environ=environ, files=files)
    process = serving.Serving(loaded, environ, {}, files, Redaction(), workers=2, is_fast=True)
    process.prepare()
    with bound(loaded.settings) as sockets:
        task = asyncio.create_task(process.run(sockets, events.put_nowait))
        await seen(Listening)
        assert await concurrency() == (4, 7)  # of all workers together
        await write("# one line more\n" + text(limit=6), ConfigReloaded)
        assert await concurrency() == (6, 8)
        await write(text(limit="many"), ConfigRefused)
        assert await concurrency() == (6, 8)
        os.kill(os.getpid(), signal.SIGTERM)
        await task
