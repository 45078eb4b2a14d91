"""A configuration that merely lies in the current directory: it may be anybody's."""

from __future__ import annotations

import os
from contextlib import nullcontext

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


def test_it_may_use_everything_that_runs_nothing(load_text, tmp_path):
    (tmp_path / "key").write_text("kept")
    (tmp_path / "key").chmod(0o600)
    for reference in ("${KEY}", "${NO:-kept}", "${file:key}", f"${{file:{tmp_path}/key}}"):
        assert key_of(load_text, reference, {"KEY": "kept"}, is_trusted=False) == "kept"


def test_once_it_is_named_it_may_do_as_any_other(load_text):
    assert key_of(load_text, "${exec:echo kept}", PATH, is_trusted=True) == "kept"


@pytest.mark.parametrize("mode", [0o602, 0o606, 0o666], ids=oct)
def test_it_is_refused_if_others_can_change_it(mode, load_text, issues):
    said = "sidekey.yaml: others can change it: chmod go-w sidekey.yaml"
    assert issues(upstream("${KEY}"), {"KEY": "k"}, mode=mode, is_trusted=False) == [said]
    assert load_text(upstream("${KEY}"), {"KEY": "k"}, mode=mode), "a container sets its own"


@needs_root
@pytest.mark.parametrize(("group", "refused"), [(0, False), (12345, True)])
def test_its_group_may_change_it_only_if_it_is_our_own(tmp_path, group, refused):
    """Ubuntu and Fedora give everybody a group of their own, and files that it can write."""
    path = tmp_path / "sidekey.yaml"
    path.write_text(upstream("${KEY}"))
    path.chmod(0o664)
    os.chown(path, -1, group)
    with pytest.raises(ConfigError, match="others can change it") if refused else nullcontext():
        load(path, environ={"KEY": "k"}, is_trusted=False)


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


async def test_a_reload_trusts_a_file_no_more_than_the_start_did(home):
    home.configure(f"listen: {{port: 0}}\n{upstream('made-up')}")
    async with home.serving(**PATH) as proxy:
        home.configure(f"listen: {{port: 0}}\n{upstream('${exec:touch made}')}")
        refused = await proxy.event("config.refused")
    assert "may not run programs" in refused["issues"][0]
    assert not (home.work / "made").exists()
