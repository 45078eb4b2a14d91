"""Secrets in files: which ones are read, and which ones others could read or change too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.config.references import file as file_reference

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def write(path: Path, mode: int = 0o600, text: str = "kept\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.case("K06")
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700], ids=oct)
def test_a_secret_is_read_from_a_file_of_the_owners_alone(mode, password, tmp_path):
    write(tmp_path / "secret", mode)
    assert password("${file:secret}") == "kept"


@pytest.mark.case("K06")
@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o644, 0o444, 0o777], ids=oct)
def test_a_secret_in_a_file_that_others_can_read_or_write_is_refused(
    mode, wrong_password, tmp_path
):
    secret = write(tmp_path / "secret", mode)
    said = f"others can read {secret.name}, which holds a secret: chmod 600"
    assert wrong_password("${file:secret}") == said
    assert wrong_password("Basic:${file:secret}") == said, "a part of a secret is one too"


@pytest.mark.case("K06")
def test_the_mode_counts_behind_a_symbolic_link_too(wrong_password, tmp_path):
    write(tmp_path / "secret", 0o644)
    (tmp_path / "link").symlink_to("secret")
    assert "chmod 600" in wrong_password("${file:link}")


@pytest.mark.case("K06")
def test_what_is_no_secret_may_be_read_by_everybody(load_text, tmp_path):
    write(tmp_path / "url", 0o644, "https://b.example\n")
    write(tmp_path / "key")
    loaded = load_text(
        "upstreams: {a: {base_url: '${file:url}', provider: {type: api_key, keys: '${file:key}'}}}"
    )
    assert loaded.settings.upstreams["a"].base_url == "https://b.example"


@pytest.mark.case("K06")
def test_a_free_field_with_the_name_of_a_secret_holds_one(issues, tmp_path):
    write(tmp_path / "secret", 0o644)
    (line,) = issues("""
upstreams:
  a:
    base_url: https://a.example
    provider:
      type: token_endpoint
      request: {url: "https://a.example/t", json: {password: "${file:secret}"}}
      response: {token: t}
""")
    assert line.startswith("sidekey.yaml:7:52: upstreams.a.provider.request.json.password: others")


@needs_root
@pytest.mark.case("K06")
def test_a_file_of_another_user_is_refused_since_he_can_change_it(wrong_password, tmp_path):
    secret = write(tmp_path / "secret")
    os.chown(secret, 12345, -1)
    assert wrong_password("${file:secret}") == (
        "secret belongs to another user, who can change it: chown it"
    )


@pytest.mark.case("K06")
def test_containers_set_modes_of_their_own_below_run_secrets(password, monkeypatch, tmp_path):
    monkeypatch.setattr(file_reference, "CONTAINER_SECRETS", tmp_path / "run")
    write(tmp_path / "run" / "portal", 0o444)
    assert password(f"${{file:{tmp_path}/run/portal}}") == "kept"
    assert password("${credential:portal}") == "kept"


@pytest.mark.case("K06")
def test_a_path_that_leaves_run_secrets_is_not_below_it(wrong_password, monkeypatch, tmp_path):
    monkeypatch.setattr(file_reference, "CONTAINER_SECRETS", tmp_path / "run")
    write(tmp_path / "run" / "portal", 0o444)
    write(tmp_path / "open", 0o444)
    (tmp_path / "run" / "link").symlink_to(tmp_path / "open")
    for path in ("run/../open", "run/link"):
        assert "chmod 600" in wrong_password(f"${{file:{path}}}")


@pytest.mark.case("K06")
def test_a_volume_of_kubernetes_is_read_through_its_links(password, tmp_path):
    write(tmp_path / "volume" / "..2026_01" / "key", 0o444, "first")
    (tmp_path / "volume" / "..data").symlink_to("..2026_01")
    (tmp_path / "volume" / "key").symlink_to("..data/key")
    assert password("${file:volume/key}") == "first"


def test_systemds_credentials_come_before_those_of_a_container(password, monkeypatch, tmp_path):
    monkeypatch.setattr(file_reference, "CONTAINER_SECRETS", tmp_path / "run")
    write(tmp_path / "run" / "portal", 0o444, "container")
    write(tmp_path / "run" / "other", 0o444, "other")
    write(tmp_path / "systemd" / "portal", 0o444, "systemd")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "systemd")}
    assert password("${credential:portal}", environ) == "systemd"
    assert password("${credential:other}", environ) == "other"
    assert password("${credential:portal}") == "container"


def test_a_credential_that_is_nowhere_names_the_places(wrong_password, monkeypatch, tmp_path):
    monkeypatch.setattr(file_reference, "CONTAINER_SECRETS", tmp_path / "run")
    environ = {"CREDENTIALS_DIRECTORY": "/run/credentials/me"}
    assert wrong_password("${credential:portal}", environ) == (
        f"no such credential; looked at /run/credentials/me/portal and {tmp_path}/run/portal"
    ).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("name", ["", ".", "..", "../etc/passwd", "/etc/passwd", "a/b"])
def test_the_name_of_a_credential_leads_nowhere_else(name, wrong_password):
    said = "expected ${credential:name}, a name without slashes"
    assert wrong_password(f"${{credential:{name}}}") == said


def test_a_folder_is_no_secret(wrong_password, tmp_path):
    (tmp_path / "folder").mkdir()
    assert wrong_password("${file:folder}") == "folder is no regular file"
