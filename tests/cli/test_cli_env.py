"""`sidekey env`: variables for a shell, without any of the credentials at hand."""

from __future__ import annotations

import json
import shlex
import shutil
import sys

import pytest
from command_line import Home, free_port

from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.serving import serve

CONFIG = """\
listen: {{port: {port}}}
upstreams:
  jquants:
    preset: jquants-v2
    base_url: {origin}/v2
    provider: {{keys: "${{JQUANTS_API_KEY}}"}}
  my-api:
    base_url: {origin}
    port: {own_port}
    provider: {{type: api_key, keys: "${{file:/no/such/file}}"}}
"""
PYTHON = sys.executable
# With everything in it that a shell reads in some quotes.
PHANTOM = "made-up'\"\\$HOME`id`!#%{}phantom"


def configured(beginning: str, names: str = "api") -> str:
    provider = "{type: api_key, keys: made-up}"
    upstreams = "".join(
        f"  {name}: {{base_url: 'http://127.0.0.1:9', provider: {provider}}}\n"
        for name in names.split()
    )
    return f"{beginning}\nupstreams:\n{upstreams}"


async def test_with_eval_in_bash_curl_reaches_the_running_proxy(home: Home) -> None:
    async with serve(JQuantsV2().application()) as origin:
        port = free_port()
        text = CONFIG.format(origin=origin, port=port, own_port=free_port())
        home.configure(text.replace("/no/such/file", str(home.folder / "key")))
        (home.folder / "key").write_text("made-up")
        (home.folder / "key").chmod(0o600)
        async with home.started("run", JQUANTS_API_KEY="demo-api-key") as proxy:
            await proxy.address()
            sidekey = f"{shlex.quote(PYTHON)} -m proxy"
            curl = 'curl -s "$JQUANTS_BASE_URL/equities/master?code=86970"'
            answer = await home.shell(f'eval "$({sidekey} env)" && {curl}')
    assert json.loads(answer.out)["data"][0]["Code"] == "86970"
    assert answer.err == ""


async def test_no_credential_is_needed_and_an_own_port_has_no_prefix(home: Home) -> None:
    home.configure(CONFIG.format(origin="http://127.0.0.1:9", port=8000, own_port=8001))
    ended = await home.run("env", "--shell", "json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == {
        "JQUANTS_BASE_URL": "http://127.0.0.1:8000/jquants",
        "MY_API_BASE_URL": "http://127.0.0.1:8001",
    }


async def test_environment_variables_of_sidekey_count_as_they_do_for_run(home: Home) -> None:
    home.configure(configured("listen: {port: 8000}"))
    ended = await home.run("env", SIDEKEY_PORT="9000", SIDEKEY_HOST="::1")
    assert ended.out == "export API_BASE_URL='http://[::1]:9000/api'\n"


async def test_a_key_of_clients_reaches_bash_unharmed(home: Home) -> None:
    home.configure(configured('clients: {keys: "${AGENT_KEY}"}'))
    line = f'eval "$({shlex.quote(PYTHON)} -m proxy env --shell bash)"; printf %s "$API_API_KEY"'
    assert (await home.shell(line, AGENT_KEY=PHANTOM)).out == PHANTOM


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("fish", "set -gx API_API_KEY 'made-up\\'\"\\\\$HOME`id`!#%{}phantom'"),
        ("powershell", "$env:API_API_KEY = 'made-up''\"\\$HOME`id`!#%{}phantom'"),
        ("dotenv", 'API_API_KEY="made-up\'\\"\\\\\\$HOME\\`id\\`!#%{}phantom"'),
    ],
)
async def test_a_key_is_quoted_by_the_rules_of_each_notation(
    home: Home, shell: str, expected: str
) -> None:
    home.configure(configured('clients: {keys: "${AGENT_KEY}"}'))
    ended = await home.run("env", "--shell", shell, AGENT_KEY=PHANTOM)
    assert ended.out.splitlines()[1] == expected


@pytest.mark.parametrize(
    ("shell", "program", "script"),
    [
        ("zsh", "zsh", 'eval "$(cat lines)"; printf %s "$API_API_KEY"'),
        ("fish", "fish", 'source lines; printf %s "$API_API_KEY"'),
        ("dotenv", "bash", 'set -a; . ./lines; printf %s "$API_API_KEY"'),
    ],
)
async def test_a_key_reaches_other_shells_unharmed(
    home: Home, shell: str, program: str, script: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    home.configure(configured('clients: {keys: "${AGENT_KEY}"}'))
    ended = await home.run("env", "--shell", shell, AGENT_KEY=PHANTOM)
    (home.work / "lines").write_text(ended.out)
    assert (await home.shell(f"{program} -c {shlex.quote(script)}")).out == PHANTOM


async def test_addresses_stand_without_quotes_in_a_dotenv_file(home: Home) -> None:
    """`docker run --env-file` reads no quotes."""
    home.configure(configured(""))
    ended = await home.run("env", "--shell", "dotenv")
    assert ended.out == "API_BASE_URL=http://127.0.0.1:8080/api\n"


@pytest.mark.parametrize(
    ("path", "beginning"),
    [
        ("/usr/bin/fish", "set -gx API_BASE_URL "),
        ("/bin/zsh", "export API_BASE_URL="),
        ("/usr/bin/pwsh", "$env:API_BASE_URL = "),
        ("/bin/something", "export API_BASE_URL="),
        ("", "export API_BASE_URL="),
    ],
)
async def test_the_notation_is_that_of_the_users_shell(
    home: Home, path: str, beginning: str
) -> None:
    home.configure(configured(""))
    assert (await home.run("env", SHELL=path)).out.startswith(beginning)


async def test_a_name_that_begins_with_a_digit_gets_an_underscore(home: Home) -> None:
    home.configure(configured("", names="2ch"))
    line = f'eval "$({shlex.quote(PYTHON)} -m proxy env)"; echo "$_2CH_BASE_URL"'
    ended = await home.shell(line)
    assert (ended.out, ended.err) == ("http://127.0.0.1:8080/2ch\n", "")


async def test_a_variable_from_which_the_configuration_reads_a_secret_is_left_out(
    home: Home,
) -> None:
    """Else a proxy that is started in this shell would send the phantom key to the API."""
    text = CONFIG.format(origin="http://127.0.0.1:9", port=8000, own_port=8001)
    home.configure("clients: {keys: a-made-up-client-key}\n" + text)
    ended = await home.run("env")
    assert "JQUANTS_API_KEY" not in ended.out
    assert "MY_API_API_KEY" in ended.out
    said = "JQUANTS_API_KEY is left out: the configuration itself reads that variable\n"
    assert ended.err == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (configured("listen: {unix_socket: proxy.sock}", "a b"), "a, b: behind a unix socket"),
        (configured("listen: {port: 0}"), "api: listen.port is 0"),
        (configured("clients: {keys: short}"), "clients.keys: needs at least 16 characters"),
        (configured("clients: {keys: '${NO_SUCH}'}"), "variable NO_SUCH is not set"),
        (configured("clients: {header: {vlue: x}}"), "clients.header.vlue: unknown key"),
        ("upstreams: [", "sidekey.yaml:2:1: "),
    ],
)
async def test_what_cannot_be_told_is_an_error_of_the_configuration(
    home: Home, text: str, said: str
) -> None:
    home.configure(text)
    ended = await home.run("env")
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
