"""A configuration that merely lies in the current directory: it may be anybody's."""

from __future__ import annotations

import os

import pytest

from proxy.config import load
from proxy.errors import ConfigError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
PATH = {"PATH": os.environ["PATH"]}


def upstream(key: str) -> str:
    return (
        "upstreams: {a: {base_url: 'https://a.example', provider:"
        f" {{type: api_key, keys: '{key}'}}}}}}"
    )


def key_of(load_text, key: str, environ: dict[str, str], *, is_trusted: bool) -> str:
    loaded = load_text(upstream(key), environ, is_trusted=is_trusted)
    return str(loaded.settings.upstreams["a"].provider.keys[0].reveal())


def test_it_runs_no_program_until_it_is_named(load_text, issues, tmp_path):
    command = f"${{exec:touch {tmp_path}/made}}"
    assert issues(upstream(command), PATH, is_trusted=False) == [
        (
            "sidekey.yaml:1:74: upstreams.a.provider.keys: a configuration that merely lies in the"
            " current directory may not run programs; to allow it: --config ./sidekey.yaml"
        )
    ]
    assert not (tmp_path / "made").exists()
    issues(upstream(command), PATH)  # it prints nothing
    assert (tmp_path / "made").exists(), "a test that can fail"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("${keyring:ssh/me}", "read the keyring"),
        ("${credential:key}", "read credentials of the platform"),
        ("${file:../secret}", "read files beyond that directory"),
        ("${file:/proc/self/environ}", "read files beyond that directory"),
        ("${file:link}", "read files beyond that directory"),
        ("${file:folder/../../secret}", "read files beyond that directory"),
    ],
)
def test_it_reads_no_secret_from_elsewhere(reference, said, tmp_path, monkeypatch):
    """Or a cloned repository could have `~/.ssh` sent to a server of its own."""
    folder = tmp_path / "cloned"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("canary")
    (folder / "link").symlink_to(tmp_path / "secret")
    path = folder / "config.yaml"
    path.write_text(upstream(reference))
    path.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        load(path, environ={}, is_trusted=False)
    (line,) = caught.value.issues
    assert line.endswith(f"may not {said}; to allow it: --config ./config.yaml")


def test_it_reads_variables_and_the_files_beside_it(load_text, tmp_path):
    (tmp_path / "key").write_text("kept")
    (tmp_path / "key").chmod(0o600)
    for reference in ("${KEY}", "${NO:-kept}", "${file:key}", f"${{file:{tmp_path}/key}}"):
        assert key_of(load_text, reference, {"KEY": "kept"}, is_trusted=False) == "kept"


def test_once_it_is_named_it_may_do_as_any_other(load_text):
    assert key_of(load_text, "${exec:echo kept}", PATH, is_trusted=True) == "kept"


def test_a_nul_in_the_path_of_a_file_is_said_in_words(issues):
    text = upstream("x").replace("'x'", '"${file:a\\0b}"')
    assert "may not read files" in issues(text, is_trusted=False)[0]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o664, 0o666], ids=oct)
def test_it_is_refused_if_others_can_change_it(mode, load_text, issues):
    said = "sidekey.yaml: others can change it: chmod go-w sidekey.yaml"
    assert issues(upstream("${KEY}"), {"KEY": "k"}, mode=mode, is_trusted=False) == [said]
    assert load_text(upstream("${KEY}"), {"KEY": "k"}, mode=mode), "a container sets its own"


@needs_root
def test_it_is_refused_if_another_user_owns_it(tmp_path):
    path = tmp_path / "sidekey.yaml"
    path.write_text(upstream("${KEY}"))
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match=r"belongs to another user; .* --config \./sidekey\.yaml"):
        load(path, environ={"KEY": "k"}, is_trusted=False)
    assert load(path, environ={"KEY": "k"}), "a container keeps the owner that the host knows"


async def test_a_command_in_a_foreign_folder_runs_nothing(home):
    home.configure(upstream("${exec:touch made}"))
    status = await home.run("status", **PATH)
    assert (status.code, status.out) == (2, "")
    assert "may not run programs" in status.err
    assert not (home.work / "made").exists()
