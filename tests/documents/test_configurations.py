"""What the documents configure: sidekey, containers, units, scrapers."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT
from document_blocks import FILES, FOLDER, Block, blocks_of

from proxy.config import load

MADE_UP = "made-up-value-of-more-than-32-characters"
UPSTREAM = """
upstreams:
  example: {base_url: https://api.example.com, provider: {type: api_key, keys: "${EXAMPLE_KEY}"}}
"""
ALL = blocks_of(*FILES, ROOT / "README.md", ROOT / "SECURITY.md", language="yaml")
OTHERS = ("services", "scrape_configs", "rule_files")  # of compose files, and of Prometheus
CONFIGURATIONS = [block for block in ALL if not set(OTHERS) & yaml.safe_load(block.text).keys()]
VARIABLE = re.compile(r"\$\{(\w+)\}")
FILE = re.compile(r"\$\{file:([^}]+)\}")
CREDENTIAL = re.compile(r"\$\{credential:([^}]+)\}")


def content_of(key: str) -> Any:
    """The content of the blocks with that key, from every document."""
    return [content for block in ALL if key in (content := yaml.safe_load(block.text))]


def written(folder: Path, name: str) -> Path:
    path = folder / name.rpartition("/")[2]
    path.write_text(MADE_UP)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=lambda block: str(block.place))
def test_a_configuration_loads_with_made_up_secrets(block: Block, tmp_path: Path) -> None:
    for name in CREDENTIAL.findall(block.text):
        written(tmp_path, name)
    text = FILE.sub(lambda found: f"${{file:{written(tmp_path, found[1])}}}", block.text)
    if "upstreams" not in yaml.safe_load(text):
        text += UPSTREAM
    path = tmp_path / "sidekey.yaml"
    path.write_text(text)
    path.chmod(0o600)
    environ = dict.fromkeys(VARIABLE.findall(text), MADE_UP)
    loaded = load(path, environ=environ | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.warnings == (), "a secret stands in it"


def test_there_are_configurations_in_every_guide_and_most_recipes() -> None:
    assert len(CONFIGURATIONS) > 40
    guides = {block.file for block in CONFIGURATIONS if block.file.parent.name == "guides"}
    assert guides == set(FOLDER.glob("guides/*.md"))


def test_the_compose_file_waits_for_a_health_check_that_the_image_has() -> None:
    [compose] = content_of("services")
    services, secrets = compose["services"], compose["secrets"]
    assert {name for one in services.values() for name in one["secrets"]} == secrets.keys()
    assert services["app"]["secrets"] == ["client_key"], "the program gets no real key"
    assert services["app"]["depends_on"] == {"sidekey": {"condition": "service_healthy"}}
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
    assert all(port.startswith("127.0.0.1:") for port in services["sidekey"]["ports"])
    of_sidekey = (FOLDER / "recipes" / "docker-compose.md").read_text()
    for name in secrets:
        assert f"/run/secrets/{name}" in of_sidekey


def test_prometheus_takes_the_scrape_configurations(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    contents = content_of("scrape_configs")
    assert len(contents) == 2
    for content in contents:
        [job] = content["scrape_configs"]
        assert job["metrics_path"] == "/_sidekey/metrics"
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(written(tmp_path, "key"))
        path = tmp_path / "prometheus.yml"
        path.write_text(yaml.safe_dump(content))
        ended = subprocess.run([promtool, "check", "config", path], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    [block] = blocks_of(FOLDER / "recipes" / "systemd.md", language="ini")
    path = tmp_path / "sidekey.service"
    path.write_text(block.text)
    return path


def test_the_unit_loads_the_credential_that_its_configuration_asks_for(unit: Path) -> None:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read(unit)
    name, _, path = parsed["Service"]["LoadCredential"].partition(":")
    [block] = blocks_of(FOLDER / "recipes" / "systemd.md", language="yaml")
    assert CREDENTIAL.findall(block.text) == [name]
    assert path == f"%E/sidekey/{name}"
    assert parsed["Service"]["ExecReload"].endswith("-HUP $MAINPID")


def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    program = tmp_path / ".local" / "bin" / "sidekey"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    ended = subprocess.run(
        [analyze, "verify", "--user", unit],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    about_us = [line for line in ended.stderr.splitlines() if "sidekey" in line]
    assert (ended.returncode, about_us) == (0, [])
