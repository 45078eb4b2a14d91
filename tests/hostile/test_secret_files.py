"""Secrets in files: which ones are read, and which ones others could read or change too."""

from __future__ import annotations

import os

import pytest
from config_fixtures import write_secret

from proxy.config.references import file as file_reference

pytestmark = pytest.mark.case("K06")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700], ids=oct)
def test_a_secret_is_read_from_a_file_of_the_owners_alone(mode, password, tmp_path):
    write_secret(tmp_path / "secret", mode=mode)
    assert password("${file:secret}") == "kept"


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o644, 0o444, 0o777], ids=oct)
def test_a_secret_in_a_file_that_others_can_read_or_write_is_refused(
    mode, wrong_password, tmp_path
):
    secret = write_secret(tmp_path / "secret", mode=mode)
    said = f"others can read {secret.name}, which holds a secret: chmod 600"
    assert wrong_password("${file:secret}") == said
    assert wrong_password("Basic:${file:secret}") == said, "a part of a secret is one too"


def test_the_mode_counts_behind_a_symbolic_link_too(wrong_password, tmp_path):
    write_secret(tmp_path / "secret", mode=0o644)
    (tmp_path / "link").symlink_to("secret")
    assert "chmod 600" in wrong_password("${file:link}")


def test_what_is_no_secret_may_be_read_by_everybody(load_text, tmp_path):
    write_secret(tmp_path / "url", "https://b.example\n", mode=0o644)
    write_secret(tmp_path / "key")
    loaded = load_text(
        "upstreams: {a: {base_url: '${file:url}', provider: {type: api_key, keys: '${file:key}'}}}"
    )
    assert loaded.settings.upstreams["a"].base_url == "https://b.example"


def test_a_free_field_with_the_name_of_a_secret_holds_one(issues, tmp_path):
    write_secret(tmp_path / "secret", mode=0o644)
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
def test_a_file_of_another_user_is_refused_since_he_can_change_it(wrong_password, tmp_path):
    secret = write_secret(tmp_path / "secret")
    os.chown(secret, 12345, -1)
    assert wrong_password("${file:secret}") == (
        "secret belongs to another user, who can change it: chown it"
    )


def test_containers_set_modes_of_their_own_below_run_secrets(password, monkeypatch, tmp_path):
    monkeypatch.setattr(file_reference, "CONTAINER_SECRETS", tmp_path / "run")
    write_secret(tmp_path / "run" / "portal", mode=0o444)
    assert password(f"${{file:{tmp_path}/run/portal}}") == "kept"
    assert password("${credential:portal}") == "kept"


def test_a_path_that_leaves_run_secrets_is_not_below_it(wrong_password, monkeypatch, tmp_path):
    monkeypatch.setattr(file_reference, "CONTAINER_SECRETS", tmp_path / "run")
    write_secret(tmp_path / "run" / "portal", mode=0o444)
    write_secret(tmp_path / "open", mode=0o444)
    (tmp_path / "run" / "link").symlink_to(tmp_path / "open")
    for path in ("run/../open", "run/link"):
        assert "chmod 600" in wrong_password(f"${{file:{path}}}")


def test_a_volume_of_kubernetes_is_read_through_its_links(password, tmp_path):
    write_secret(tmp_path / "volume" / "..2026_01" / "key", "first", mode=0o444)
    (tmp_path / "volume" / "..data").symlink_to("..2026_01")
    (tmp_path / "volume" / "key").symlink_to("..data/key")
    assert password("${file:volume/key}") == "first"


@needs_root
def test_what_another_user_links_beside_his_file_makes_it_no_volume(wrong_password, tmp_path):
    secret = write_secret(tmp_path / "secret")
    os.chown(secret, 12345, -1)
    for target in ("nowhere", "."):
        link = tmp_path / "..data"
        link.symlink_to(target)
        os.chown(link, 12345, -1, follow_symlinks=False)
        assert "belongs to another user" in wrong_password("${file:secret}")
        link.unlink()


def test_a_file_beside_a_volume_is_none_of_its_own(wrong_password, tmp_path):
    write_secret(tmp_path / "..2026_01" / "key", mode=0o444)
    (tmp_path / "..data").symlink_to("..2026_01")
    write_secret(tmp_path / "secret", mode=0o444)
    assert "chmod 600" in wrong_password("${file:secret}")
