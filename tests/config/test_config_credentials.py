"""Secrets that systemd or a container hands over: where they are looked for."""

from __future__ import annotations

import pytest
from config_fixtures import write_secret

from proxy.config.references import file as file_reference


def test_systemds_credentials_come_before_those_of_a_container(password, monkeypatch, tmp_path):
    monkeypatch.setattr(file_reference, "CONTAINER_SECRETS", tmp_path / "run")
    write_secret(tmp_path / "run" / "portal", "container", mode=0o444)
    write_secret(tmp_path / "run" / "other", "other", mode=0o444)
    write_secret(tmp_path / "systemd" / "portal", "systemd", mode=0o444)
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
