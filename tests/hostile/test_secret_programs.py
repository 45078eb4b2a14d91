"""Secrets that a program prints, such as `pass`: what it gets, and what cannot go wrong."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from proxy.config.references import program

pytestmark = pytest.mark.case("K07")
PATH = {"PATH": os.environ["PATH"]}


@pytest.fixture
def script(tmp_path):
    """Write a program in Python, and return the command that runs it."""

    def _script(code: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(code)
        return f"{sys.executable} {path}"

    return _script


def test_one_trailing_newline_of_what_is_printed_is_dropped(password):
    assert password("${exec:printf 'hunter 2\\n\\n'}", PATH) == "hunter 2\n"


def test_no_shell_reads_the_command(password, tmp_path):
    printed = f"$(touch {tmp_path}/made) `id`; touch {tmp_path}/made | cat & $HOME > x *"
    assert password(f"'${{exec:echo {printed}}}'", PATH) == printed
    assert not (tmp_path / "made").exists()


def test_what_a_program_prints_is_never_read_again(password):
    assert password("${exec:printf '%s' '$$ ${HOME'}", PATH) == "$$ ${HOME"


def test_a_program_gets_nothing_of_the_environment_but_what_it_needs(password, script):
    command = script("import json, os; print(json.dumps(dict(os.environ)))")
    needed = {"HOME": "/home/me", "LANG": "C.UTF-8", "GNUPGHOME": "/g", "SSH_AUTH_SOCK": "/s"}
    secrets = {"MAIL": "me@example.com", "JQUANTS_PASSWORD": "hunter2", "LD_PRELOAD": "/x.so"}
    got = json.loads(password(f"'${{exec:{command}}}'", PATH | needed | secrets))
    got.pop("LC_CTYPE", None)  # Python's own, in a locale that is none
    assert got == PATH | needed


def test_a_program_has_no_input_no_terminal_and_no_open_files(password, script):
    """A prompt cannot wait for an answer, and nothing of ours can be read."""
    command = script("""
import os, sys
def has_terminal():
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
        return True
    except OSError:
        return False
print(repr(sys.stdin.read()), has_terminal(), os.getsid(0) == os.getpid())
os.set_inheritable(1, False)
for number in range(3, 1024):
    try:
        os.fstat(number)
    except OSError:
        continue
    print("open:", number)
""")
    with open(os.devnull, "rb") as ours:  # noqa: PTH123  something that is open meanwhile
        os.set_inheritable(ours.fileno(), True)
        assert password(f"'${{exec:{command}}}'", PATH) == "'' False True"


def test_a_program_runs_in_the_folder_of_the_configuration(password, tmp_path):
    assert password("${exec:pwd -P}", PATH) == os.path.realpath(tmp_path)


def test_the_same_command_runs_once_a_load(load_text, script, tmp_path):
    command = script(f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); print('v')")
    loaded = load_text(f"""
upstreams:
  a:
    base_url: https://a.example
    provider: {{type: api_key, keys: ["${{exec:{command}}}", "2${{exec:{command}}}"]}}
""")
    keys = loaded.settings.upstreams["a"].provider.keys
    assert [key.reveal() for key in keys] == ["v", "2v"]
    assert (tmp_path / "runs").read_text() == "x"


def test_a_program_that_fails_is_named_with_its_exit_code_and_nothing_else(wrong_password):
    command = "sh -c 'echo canary-out; echo canary-err >&2; exit 3' canary-argument"
    assert wrong_password(f'"${{exec:{command}}}"', PATH) == "sh failed with exit code 3"


def test_a_program_that_a_signal_ends_is_named_with_it(wrong_password):
    assert wrong_password("\"${exec:sh -c 'kill -TERM $$'}\"", PATH) == ("sh failed with signal 15")


def test_a_program_that_hangs_is_killed_with_its_children(
    wrong_password, script, monkeypatch, tmp_path
):
    monkeypatch.setattr(program, "TIMEOUT", 1.0)
    command = script(f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
time.sleep(60)
""")
    name = Path(sys.executable)
    said = wrong_password(f"'${{exec:{command}}}'", PATH)
    assert said == f"{name} did not end within 1 seconds"
    assert_ends(int((tmp_path / "child").read_text()))


def assert_ends(pid: int) -> None:
    """An orphan that was killed may stay for a moment, until somebody has waited for it."""
    while True:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return
        if state == "Z":
            return
        time.sleep(0.01)


def test_a_child_that_keeps_the_output_open_is_not_waited_for(wrong_password, monkeypatch):
    monkeypatch.setattr(program, "TIMEOUT", 1.0)
    said = wrong_password("\"${exec:sh -c 'sleep 60 & echo done'}\"", PATH)
    assert said == "sh did not end within 1 seconds"


def test_endless_output_is_cut(wrong_password):
    assert wrong_password("${exec:yes}", PATH) == "the output of yes is larger than 64 KiB"


WRONG = {
    "${exec:}": "expected ${exec:program arguments}",
    "${exec:   }": "expected ${exec:program arguments}",
    "${exec:pass 'open}": "a quote is not closed; a command cannot hold '}' either",
    "${exec:no-such-program canary}": "cannot run no-such-program: No such file or directory",
    "${exec:printf '\\377'}": "the output of printf is not UTF-8",
    "${exec:true}": "must not be empty",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_command_that_gives_no_secret_is_said_in_words(text, wrong_password):
    assert wrong_password(json.dumps(text), PATH) == WRONG[text]


def test_a_nul_in_a_command_is_said_in_words(wrong_password):
    assert wrong_password('"${exec:echo a\\0b}"', PATH) == "this is no command"


def test_the_program_cannot_be_stopped_by_a_signal_that_it_ignores(wrong_password, monkeypatch):
    monkeypatch.setattr(program, "TIMEOUT", 1.0)
    ignoring = f"sh -c 'trap \"\" {signal.SIGTERM:d} {signal.SIGINT:d}; sleep 60; sleep 60'"
    said = wrong_password(json.dumps(f"${{exec:{ignoring}}}"), PATH)
    assert said == "sh did not end within 1 seconds"
