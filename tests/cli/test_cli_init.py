"""`sidekey init`: a first configuration from a few answers, and no secret in it."""

from __future__ import annotations

import json
import shlex
import stat
import sys
from pathlib import Path

import pexpect
import pytest
import yaml
from command_line import PATIENCE, Ended, Home, heed_ctrl_c

from proxy.config import load, presets
from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

CANARY = "canary-that-nobody-sees"
KEYRING = '''
import os, signal
from pathlib import Path
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

class Kept(KeyringBackend):
    """Keeps a password in a file, which is enough for two processes of a test."""
    priority = 5
    def get_password(self, service, username):
        path = Path(os.environ["KEPT_IN"]) / f"{service}:{username}"
        return path.read_text() if path.exists() else None
    def set_password(self, service, username, password):
        (Path(os.environ["KEPT_IN"]) / f"{service}:{username}").write_text(password)
    def delete_password(self, service, username):
        (Path(os.environ["KEPT_IN"]) / f"{service}:{username}").unlink()

class Locked(Kept):
    def set_password(self, service, username, password):
        raise KeyringLocked(password)

class Interrupted(Kept):
    def set_password(self, service, username, password):
        super().set_password(service, username, password)
        os.kill(os.getpid(), signal.SIGINT)
'''


@pytest.fixture(autouse=True)
def no_keyring(home: Home) -> None:
    """Let none of this machine's keyrings be found."""
    home.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"


def use_keyring(home: Home, name: str) -> Path:
    """Let the keyring be one of this file's; return the folder that holds its passwords."""
    modules, kept = home.folder / "modules", home.folder / "kept"
    modules.mkdir()
    kept.mkdir()
    (modules / "made_up_keyring.py").write_text(KEYRING)
    home.environ["PYTHONPATH"] += f":{modules}"
    home.environ["PYTHON_KEYRING_BACKEND"] = f"made_up_keyring.{name}"
    home.environ["KEPT_IN"] = str(kept)
    return kept


async def answered(home: Home, *answers: str, arguments: str = "") -> Ended:
    """Run `sidekey init` with answers from a pipe, a line each."""
    lines = "".join(f"{answer}\n" for answer in answers)
    program = f"{shlex.quote(sys.executable)} -m proxy init {arguments}"
    return await home.shell(f"printf %s {shlex.quote(lines)} | {program}")


def first_config(home: Home) -> Path:
    return home.work / "sidekey.yaml"


def secrets_folder(home: Home) -> Path:
    return home.folder / "config" / "sidekey" / "secrets"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_secret_goes_to_a_private_file_and_the_configuration_refers_to_it(
    home: Home,
) -> None:
    ended = await answered(home, "jquants-v2", "jquants", "files", CANARY, "")
    assert (ended.code, ended.out) == (0, "")
    path, kept = first_config(home), secrets_folder(home) / "jquants.keys"
    assert yaml.safe_load(path.read_text())["upstreams"] == {
        "jquants": {"preset": "jquants-v2", "provider": {"keys": f"${{file:{kept}}}"}}
    }
    assert kept.read_text() == f"{CANARY}\n"
    assert [mode(entry) for entry in (path, kept, kept.parent)] == [0o600, 0o600, 0o700]
    assert CANARY not in path.read_text() + ended.said
    checked = await home.run("check")
    assert (checked.code, checked.err) == (0, "")


async def test_what_to_do_next_is_told_as_lines_to_paste(home: Home) -> None:
    said = (
        await answered(home, "misskey", "", "https://misskey.example", "jquants-v2", "j", "2", "")
    ).err
    steps = [line.strip() for line in said.partition("Next:")[2].splitlines() if line]
    assert steps == [
        "read -rs J_KEYS && export J_KEYS",
        "sidekey check",
        "sidekey login misskey",
        "sidekey run",
        "curl -i -H 'Content-Type: application/json' -d '{}' http://127.0.0.1:8080/misskey/api/i",
    ]


async def test_a_secret_may_come_from_a_variable_and_is_not_asked_for_then(home: Home) -> None:
    ended = await answered(home, "kabu-station", "", "environment", "")
    assert ended.code == 0
    assert "${KABU_STATION_API_PASSWORD}" in first_config(home).read_text()
    assert (await home.run("check")).code == 2
    assert (await home.run("check", KABU_STATION_API_PASSWORD="made-up")).code == 0


async def test_a_secret_goes_to_the_keyring_where_there_is_one(home: Home) -> None:
    kept = use_keyring(home, "Kept")
    ended = await answered(home, "jquants-v2", "jquants", "", CANARY, "")
    assert ended.code == 0
    assert "${keyring:sidekey/jquants.keys}" in first_config(home).read_text()
    assert (kept / "sidekey:jquants.keys").read_text() == CANARY
    assert (await home.run("token", "jquants")).out == f"{CANARY}\n"


async def test_a_keyring_is_not_offered_where_there_is_none(home: Home) -> None:
    said = (await answered(home, "jquants-v2", "jquants", "", CANARY, "")).said
    assert "a private file each" in said
    assert "the keyring of this system" not in said


async def test_a_keyring_that_keeps_nothing_leaves_nothing(home: Home) -> None:
    use_keyring(home, "Locked")
    ended = await answered(home, "jquants-v2", "jquants", "keyring", CANARY, "")
    assert ended.code == 1
    assert "the keyring keeps nothing: KeyringLocked" in ended.err
    assert CANARY not in ended.said
    assert not first_config(home).exists()


async def test_ctrl_c_while_secrets_are_being_kept_leaves_nothing(home: Home) -> None:
    kept = use_keyring(home, "Interrupted")
    ended = await answered(home, "jquants-v2", "jquants", "keyring", CANARY, "")
    assert ended.code == 130
    assert [*home.work.iterdir(), *kept.iterdir()] == []


@pytest.mark.parametrize("by_link", [False, True])
async def test_a_file_that_is_there_stays_as_it_is(home: Home, by_link: bool) -> None:
    path = first_config(home)
    path.symlink_to("nowhere") if by_link else path.write_text("as it was")
    ended = await answered(home, "misskey", "", "https://misskey.example", "")
    assert (ended.code, ended.out) == (2, "")
    assert f"{path} is there already" in ended.err
    assert "--config PATH" in ended.err
    assert path.is_symlink() if by_link else path.read_text() == "as it was"


async def test_a_file_that_appears_meanwhile_stays_as_it_is_and_no_secret_is_left(
    home: Home,
) -> None:
    with terminal(home) as shown:
        for prompt, answer in (("API: ", "jquants-v2"), ("name", "j"), ("number or", "files")):
            shown.expect_exact(prompt)
            shown.sendline(answer)
        shown.expect_exact("(not shown): ")
        first_config(home).write_text("quicker")
        shown.sendline(CANARY)
        shown.expect_exact("API: ")
        shown.sendline("")
        shown.expect_exact("is there already")
        shown.expect(pexpect.EOF)
    assert shown.exitstatus == 2
    assert first_config(home).read_text() == "quicker"
    assert [*secrets_folder(home).iterdir()] == []


async def test_a_kept_secret_of_another_configuration_is_not_replaced(home: Home) -> None:
    await answered(home, "jquants-v2", "jquants", "files", "the first", "")
    ended = await answered(
        home, "jquants-v2", "jquants", "files", "the second", "", arguments="-c other.yaml"
    )
    assert ended.code == 0
    assert "jquants.keys.2}" in (home.work / "other.yaml").read_text()
    assert (secrets_folder(home) / "jquants.keys").read_text() == "the first\n"
    assert "sidekey run --config other.yaml" in ended.err


async def test_a_preset_is_found_by_a_few_letters_of_its_name_or_description(home: Home) -> None:
    ended = await answered(home, "mi ser", "jqants", "api key dashboard", "1", "", "2", "")
    assert ended.code == 0
    assert "misskey-token" in ended.err
    assert "nothing matches (did you mean 'jquants-v2'?)" in ended.err
    assert list(yaml.safe_load(first_config(home).read_text())["upstreams"]) == ["jquants-v2"]


async def test_a_wrong_answer_is_asked_for_again_in_the_words_of_the_configuration(
    home: Home,
) -> None:
    urls = ("misskey.example", "https://misskey.example")
    ended = await answered(
        home, "misskey", "My Misskey", "", *urls, "misskey", "misskey", "mk", urls[1], ""
    )
    assert ended.code == 0
    assert "a name holds a-z, 0-9 and -" in ended.err
    assert "expected an absolute URL" in ended.err
    assert "another upstream has that name" in ended.err
    found = yaml.safe_load(first_config(home).read_text())["upstreams"]
    assert {name: entry["base_url"] for name, entry in found.items()} == {
        "misskey": urls[1],
        "mk": urls[1],
    }


async def test_answers_that_do_not_go_together_are_asked_for_again(home: Home) -> None:
    first = ("jquants-v1", "", "files", "me@example.com", "", "")
    ended = await answered(home, *first, "", "me@example.com", CANARY, "", "")
    assert ended.code == 0
    assert "mailaddress and password go together" in ended.err
    written = yaml.safe_load(first_config(home).read_text())["upstreams"]["jquants-v1"]
    assert list(written["provider"]) == ["mailaddress", "password"]
    assert (await home.run("check")).code == 0


async def test_every_preset_makes_a_configuration_that_check_accepts(home: Home) -> None:
    answers: list[str] = []
    for name, preset in presets().items():
        answers += [name, ""]
        answers += [] if "base_url" in preset.upstream else ["https://misskey.example"]
        answers += ["files"] if preset.inputs and "files" not in answers else []
        answers += ["made-up" for _ in preset.inputs]
    ended = await answered(home, *answers, "done")
    assert ended.code == 0, ended.err
    checked = await home.run("check")
    assert checked.out.endswith(f": ok, {len(presets())} upstreams\n"), checked.err


async def test_an_api_without_preset_works_with_a_key(home: Home) -> None:
    sandbox = JQuantsV2()
    async with serve(sandbox.application()) as origin:
        place = ("header", "x-api-key", "")
        ended = await answered(
            home, "none", "1", "", f"{origin}/v2", "files", "demo-api-key", *place, ""
        )
        assert ended.code == 0, ended.err
        line = 'curl -s "$MY_API_BASE_URL/equities/master?code=86970"'
        answer = await home.run("exec", "--", "sh", "-c", line)
    assert json.loads(answer.out)["data"][0]["Code"] == "86970"
    assert sandbox.requests[0].header("x-api-key") == ["demo-api-key"]


async def test_an_api_without_preset_works_with_a_token_endpoint(home: Home) -> None:
    async with serve(Portal().application()) as origin:
        client = (f"{origin}/auth/v2/tokens", "demo-client", "files", "demo-client-secret", "")
        place = ("header", "X-Access-Token", "")
        ended = await answered(home, "oauth2", "portal", origin, *client, *place, "")
        assert ended.code == 0, ended.err
        line = 'curl -s -o /dev/null -w "%{http_code}" "$PORTAL_BASE_URL/da/v3/async/jobs"'
        answer = await home.run("exec", "--", "sh", "-c", line)
    assert answer.out == "200", answer.err


async def test_an_answer_stands_for_itself_whatever_yaml_or_references_make_of_it(
    home: Home,
) -> None:
    client_id = "a: 'b' \"c\" # ${HOME} $$ \\ é"
    answers = ("fujitsu-portal-oauth2", "portal", client_id, "files", CANARY, "")
    assert (await answered(home, *answers)).code == 0
    loaded = load(first_config(home), environ={})
    assert loaded.settings.upstreams["portal"].provider.client_id == client_id
    assert loaded.warnings == ()


@pytest.mark.parametrize("answers", [(), ("misskey",), ("jquants-v2", "", "files")])
async def test_where_nobody_answers_it_says_so_and_writes_nothing(
    home: Home, answers: tuple[str, ...]
) -> None:
    ended = await answered(home, *answers)
    assert (ended.code, ended.out) == (2, "")
    assert "nobody answers: run it in a terminal" in ended.err
    assert "Traceback" not in ended.err
    assert [*home.work.iterdir()] == []


def terminal(home: Home) -> pexpect.spawn:
    """Start `sidekey init` at a terminal."""
    return pexpect.spawn(
        sys.executable,
        ["-m", "proxy", "init"],
        cwd=str(home.work),
        env=home.environ,
        encoding="utf-8",
        timeout=PATIENCE,
        preexec_fn=heed_ctrl_c,
    )


@pytest.mark.parametrize(
    "answers",
    [
        (),
        (("API: ", "jquants-v2"),),
        (("API: ", "jquants-v2"), ("name", "j"), ("number or name", "files")),
        (
            ("API: ", "jquants-v2"),
            ("name", "j"),
            ("number or name", "files"),
            ("(not shown): ", CANARY),
        ),
    ],
)
def test_ctrl_c_at_any_question_ends_with_130_and_writes_nothing(
    home: Home, answers: tuple[tuple[str, str], ...]
) -> None:
    with terminal(home) as shown:
        for prompt, answer in answers:
            shown.expect_exact(prompt)
            shown.sendline(answer)
        shown.expect(r": $")
        shown.sendintr()
        shown.expect(pexpect.EOF)
        assert "Traceback" not in shown.before
    assert shown.exitstatus == 130
    assert [*home.work.iterdir()] == []
    assert not secrets_folder(home).exists()
