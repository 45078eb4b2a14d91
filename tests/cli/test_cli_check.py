"""`sidekey check`, and the commands that need no proxy: schema, presets, help, version."""

from __future__ import annotations

import json
import re

import jsonschema
import yaml
from command_line import ROOT, Home
from token_server import token_server
from typer.testing import CliRunner

from proxy.cli.commands import app
from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

BROKEN = """\
listen: {prot: 8080}
upstreams:
  portal:
    preset: fujitsu-portal-oauth
  api:
    base_url: http://127.0.0.1:9
    provider: {type: api_key, keys: "${NOT_SET}"}
"""
ONLINE = """\
upstreams:
  jquants:
    preset: jquants-v1
    base_url: {jquants}/v1
    provider: {{mailaddress: "${{MAILADDRESS}}", password: "${{PASSWORD}}"}}
  portal:
    preset: fujitsu-portal-oauth2
    base_url: {portal}
    provider: {{client_id: demo-client, client_secret: "${{CLIENT_SECRET}}"}}
  misskey: {{preset: misskey, base_url: "{portal}"}}
"""


async def test_check_prints_every_error_with_its_place_on_stderr(home: Home) -> None:
    path = home.configure(BROKEN)
    ended = await home.run("check")
    assert (ended.code, ended.out) == (2, "")
    lines = ended.err.splitlines()
    assert len(lines) == 3
    for line, place in zip(lines, ("1:10", "4:5", "7:31"), strict=True):
        assert line.startswith(f"{path}:{place}: "), lines
    assert "did you mean 'port'?" in lines[0]
    assert "did you mean 'fujitsu-portal-oauth2'?" in lines[1]
    assert "NOT_SET" in lines[2]


async def test_check_accepts_the_example_and_warns_of_literal_secrets(home: Home) -> None:
    secret = "literal-secret-canary"
    path = home.configure(
        "upstreams: {api: {base_url: 'http://127.0.0.1:9',"
        f" provider: {{type: api_key, keys: {secret}}}}}}}"
    )
    private = await home.run("check")
    assert (private.code, private.out) == (0, f"{path}: ok, 1 upstream\n")
    assert private.err.startswith(f"{path}:1:")
    path.chmod(0o644)
    exposed = await home.run("check")
    assert exposed.code == 2
    assert secret not in private.said + exposed.said


async def test_check_online_acquires_a_token_where_no_human_is_needed(home: Home) -> None:
    home.environ["MAILADDRESS"] = "demo@example.com"
    jquants, portal = JQuantsV1(), Portal()
    async with serve(jquants.application()) as one, serve(portal.application()) as two:
        home.configure(ONLINE.format(jquants=one, portal=two))
        right = await home.run(
            "check", "--online", PASSWORD="demo-password", CLIENT_SECRET="demo-client-secret"
        )
        wrong = await home.run(
            "check", "--online", PASSWORD="wrong-canary", CLIENT_SECRET="demo-client-secret"
        )
        offline = await home.run("check", PASSWORD="x", CLIENT_SECRET="y")
    assert right.code == 0
    assert "jquants: ok, has a token until " in right.out
    assert "portal: ok, has a token until " in right.out
    assert "misskey: skipped, needs sidekey login misskey" in right.out
    assert wrong.code == 1
    assert "jquants: " in wrong.out
    assert "'mailaddress' or 'password' is incorrect." in wrong.out
    assert "portal: ok" in wrong.out
    assert "canary" not in wrong.said
    assert "jquants: sidekey trace jquants shows what is asked and answered" in wrong.err
    assert "sidekey trace portal" not in wrong.err
    assert (offline.code, offline.err) == (0, "")
    assert jquants.calls["/v1/token/auth_user"] == 2


async def test_check_effective_tells_every_value_and_where_it_came_from(home: Home) -> None:
    path = home.configure(
        "upstreams:\n"
        "  jquants:\n"
        "    preset: jquants-v1\n"
        "    provider: {mailaddress: a-literal-canary, password: '${PASSWORD:-canary}'}\n"
        "    client_credential: ${UNSET:-reject}\n"
    )
    ended = await home.run("check", "--effective", PASSWORD="a-canary", SIDEKEY_PORT="8081")
    assert ended.code == 0
    first, *told = ended.out.splitlines()
    assert first == f"{path}: ok, 1 upstream"
    jquants, file = "upstreams.jquants", path.name
    assert {
        "listen.port = 8081   (SIDEKEY_PORT)",
        "listen.allowed_hosts = []   (default)",
        "clients = null   (default)",
        f"{jquants}.base_url = https://api.jquants.com/v1   (preset jquants-v1)",
        f"{jquants}.provider.mailaddress = ***   ({file}:4)",
        f"{jquants}.provider.password = ***   ({file}:4, ${{PASSWORD:-...}})",
        f"{jquants}.client_credential = reject   ({file}:5, ${{UNSET:-...}})",
        f"{jquants}.inject[0].format = Bearer {{token}}   (default)",
        f"{jquants}.deny[0].paths = [/v1/token/**]   (preset jquants-v1)",
    } <= set(told)
    assert "canary" not in ended.said


async def test_check_online_asks_for_all_tokens_at_once_and_tells_in_order(home: Home) -> None:
    async with token_server(fault=lambda: 0.5) as server:
        upstreams = (server.upstreams("slow"), server.upstreams("other", renews=False))
        home.configure("".join(["upstreams:\n", *(f"  {upstream}\n" for upstream in upstreams)]))
        ended = await home.run("check", "--online")
    assert ended.code == 0
    assert server.most_at_once == 2
    names = [line.partition(":")[0] for line in ended.out.splitlines()[1:]]
    assert names == ["slow", "other"]
    assert re.search(r"^slow: ok, has a token until \S+ \(\d+\.\d s\)$", ended.out, re.MULTILINE)


async def test_the_schema_is_json_and_accepts_the_example(home: Home) -> None:
    ended = await home.run("schema")
    assert (ended.code, ended.err) == (0, "")
    schema = json.loads(ended.out)
    example = yaml.safe_load((ROOT / "config.example.yaml").read_text())
    jsonschema.validate(example, schema)


async def test_presets_lists_the_catalogue_and_shows_one_entry(home: Home) -> None:
    listed, shown, unknown = await home.run_all(
        ("presets",), ("presets", "jquants-v2"), ("presets", "jquants-v3")
    )
    assert (listed.code, listed.err) == (0, "")
    assert {"jquants-v2", "misskey", "fujitsu-portal-legacy"} <= {
        line.split()[0] for line in listed.out.splitlines()
    }
    assert yaml.safe_load(shown.out)["base_url"] == "https://api.jquants.com/v2"
    assert (unknown.code, unknown.out) == (2, "")
    assert "no preset is named jquants-v3" in unknown.err


async def test_without_a_command_there_is_help_and_a_wrong_option_exits_2(home: Home) -> None:
    bare, version, wrong = await home.run_all((), ("--version",), ("--nope",))
    assert "Commands:" in bare.said
    assert "..." not in bare.said.replace("[ARGS]...", "").replace("$(...)", ""), (
        "a summary is cut off"
    )
    assert "python -m" not in bare.said
    assert (version.code, version.out.split()[0]) == (0, "sidekey")
    assert (wrong.code, wrong.out) == (2, "")
    assert "Traceback" not in wrong.err
    for arguments in (["run", "--nope"], ["serve"], ["run", "--port", "many"]):
        assert CliRunner().invoke(app, arguments).exit_code == 2


async def test_without_a_configuration_the_places_and_the_next_step_are_named(home: Home) -> None:
    ended, missing = await home.run_all(("run",), ("check", "--config", "missing.yaml"))
    assert ended.code == 2
    for said in (str(home.work / "sidekey.yaml"), "sidekey demo", "SIDEKEY_CONFIG"):
        assert said in ended.err
    assert (missing.code, missing.err) == (2, "--config: no such file: missing.yaml\n")
