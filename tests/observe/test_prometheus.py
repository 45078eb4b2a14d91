"""The dashboard and the alerts that come along, and a real Prometheus that scrapes the proxy."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from command_line import PATIENCE, ROOT, Home, free_port
from document_blocks import blocks_of
from proxying import BEGINNING, Sidekey, sidekey
from scraping import scrape
from token_server import token_server

FOLDER = ROOT / "proxy" / "documents" / "prometheus"
ALERTS = FOLDER / "alerts.yml"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TESTS = ROOT / "tests" / "observe" / "prometheus" / "alerts_test.yml"
[PLAIN, WITH_KEYS] = blocks_of(
    ROOT / "proxy" / "documents" / "recipes" / "prometheus.md", language="yaml"
)
NAME = re.compile(r"\bsidekey_\w+")
KEY = "canary-client-key"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (Debian's prometheus)"
)
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs a Prometheus server (Debian's prometheus)"
)


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def expressions() -> Iterator[str]:
    """Every expression of the dashboard, with something in the places of Grafana's variables."""
    annotations = DASHBOARD["annotations"]["list"]
    targets = [target for panel in PANELS for target in panel["targets"]]
    for one in (*targets, *annotations):
        if "expr" in one:
            text = one["expr"].replace("$instance", ".*").replace("$upstream", ".*")
            yield text.replace("$__rate_interval", "1m").replace("$__interval", "1m")


def promtool(*arguments: str | Path) -> str:
    ended = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    return said


@needs_promtool
def test_promtool_takes_the_alerts() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", ALERTS)


@needs_promtool
def test_each_alert_fires_when_it_should_and_is_silent_otherwise() -> None:
    promtool("test", "rules", TESTS)


def test_each_alert_is_tested_and_says_what_to_do() -> None:
    tested = TESTS.read_text()
    for rule in rules():
        assert rule["alert"] in tested
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert {"summary", "description"} <= rule["annotations"].keys()
        page = rule["annotations"].get("runbook_url")
        if page is not None:
            prefix, slug = page.rsplit("/", 1)
            assert prefix == "http://{{ $labels.instance }}/_sidekey/problems"
            assert slug == "" or (ROOT / "proxy/documents/problems" / f"{slug}.md").is_file()


async def test_what_the_dashboard_and_the_alerts_name_is_in_a_scrape(tmp_path: Path) -> None:
    texts = [*expressions(), *(rule["expr"] for rule in rules())]
    named = set(itertools.chain.from_iterable(NAME.findall(text) for text in texts))
    variables = json.dumps(DASHBOARD["templating"])
    named |= set(NAME.findall(variables))
    async with used(tmp_path) as proxy:
        found = await scrape(proxy.address)
    assert len(named) > 20
    assert named - found.names == set()


def test_the_dashboard_has_what_grafana_asks_for() -> None:
    assert DASHBOARD["id"] is None, "Grafana takes a number for the id of its own"
    assert DASHBOARD["uid"] == "sidekey"
    assert DASHBOARD["title"] == "sidekey"
    assert DASHBOARD["schemaVersion"] >= 36
    assert {"templating", "annotations", "time", "tags", "timezone"} <= DASHBOARD.keys()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert DASHBOARD["templating"]["list"][0]["name"] == "datasource"
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == source
        assert [target["datasource"] for target in panel["targets"]] == [source] * len(
            panel["targets"]
        )
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(references) == len(set(references))
        assert {"defaults", "overrides"} == panel["fieldConfig"].keys()


def test_no_panel_lies_on_another_one() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]


async def test_the_proxy_hands_out_both_files(tmp_path: Path) -> None:
    async with used(tmp_path) as proxy, aiohttp.ClientSession() as session:
        for file in (ALERTS, FOLDER / "dashboard.json"):
            url = f"{proxy.address}/_sidekey/docs/prometheus/{file.name}"
            async with session.get(url) as answer:
                assert answer.status == 200
                assert await answer.read() == file.read_bytes()


async def test_the_document_tells_of_every_metric(tmp_path: Path) -> None:
    text = (FOLDER / "README.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    async with used(tmp_path) as proxy:
        found = await scrape(proxy.address)
    suffixes = {"counter": "_total"}
    assert listed == {
        family.name.removeprefix("sidekey_") + suffixes.get(family.type, "")
        for family in found.families.values()
    }


@asynccontextmanager
async def used(folder: Path, beginning: str = BEGINNING) -> AsyncIterator[Sidekey]:
    """A proxy that has served ten requests and refused one."""
    async with (
        token_server() as server,
        sidekey(folder, server.upstreams("r"), beginning=beginning) as proxy,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
    ):
        for path in (*["/r/a"] * 10, "/nobody/a"):
            async with session.get(proxy.address + path) as answer:
                await answer.read()
        yield proxy


class Prometheus:
    """A server that scrapes; `ask` asks its HTTP API."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"
        self._session = session

    async def ask(self, path: str, **query: str) -> Any:
        async with self._session.get(f"{self._url}/{path}", params=query) as answer:
            said = await answer.json()
            assert said["status"] == "success", (query, said)
            return said["data"]

    async def value(self, query: str) -> float | None:
        found = (await self.ask("query", query=query))["result"]
        return float(found[0]["value"][1]) if found else None

    async def until(self, query: str, value: float) -> None:
        """Wait until a query has that value."""
        async with asyncio.timeout(PATIENCE):
            while await self._value_or_none(query) != value:  # noqa: ASYNC110  it tells nobody
                await asyncio.sleep(0.1)

    async def _value_or_none(self, query: str) -> float | None:
        try:
            return await self.value(query)
        except aiohttp.ClientError:  # it has only just begun
            return None


@asynccontextmanager
async def scraping(home: Home, proxy: Sidekey, scrape_config: str) -> AsyncIterator[Prometheus]:
    """Run a Prometheus with a recipe's configuration, in which the proxy stands."""
    key = home.work / "sidekey_client_key"
    key.write_text(KEY)
    config = yaml.safe_load(
        scrape_config.replace("127.0.0.1:8080", f"127.0.0.1:{proxy.port}").replace(
            "/etc/prometheus/sidekey_client_key", str(key)
        )
    )
    config["global"] = {"scrape_interval": "300ms", "evaluation_interval": "300ms"}
    config["rule_files"] = [str(ALERTS)]
    path = home.work / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    promtool("check", "config", path)
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={path}",
        f"--storage.tsdb.path={home.work / str(port)}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            yield Prometheus(port, session)
    finally:
        server.kill()
        await server.wait()


REQUESTS = 'sidekey_requests_total{job="sidekey", upstream="r", method="GET", status="200"}'


@needs_prometheus
async def test_a_real_prometheus_scrapes_and_answers_with_the_counts(
    home: Home, tmp_path: Path
) -> None:
    async with used(tmp_path) as proxy, scraping(home, proxy, PLAIN.text) as prometheus:
        await prometheus.until(REQUESTS, 10)
        assert await prometheus.value('up{job="sidekey"}') == 1
        assert await prometheus.value('sidekey_token_state{upstream="r", state="ready"}') == 1
        unknown = 'sidekey_requests_refused_total{upstream="", problem="unknown-upstream"}'
        assert await prometheus.value(unknown) == 1
        left = "sidekey_token_expiry_timestamp_seconds - time()"
        assert 3000 < (await prometheus.value(left) or 0) <= 3600
        metadata = await prometheus.ask("metadata", metric="sidekey_requests")
        assert metadata["sidekey_requests"][0]["type"] == "counter"  # it asks for OpenMetrics
        async with asyncio.timeout(PATIENCE):
            while not await _healthy_rules(prometheus):  # noqa: ASYNC110  it tells nobody
                await asyncio.sleep(0.1)
        for expression in expressions():
            await prometheus.ask("query", query=expression)


async def _healthy_rules(prometheus: Prometheus) -> bool:
    """Whether every rule was evaluated; one that cannot be is an error."""
    [group] = (await prometheus.ask("rules"))["groups"]
    health = [rule["health"] for rule in group["rules"]]
    assert len(health) == len(rules())
    assert "err" not in health, group
    return set(health) == {"ok"}


@needs_prometheus
async def test_a_real_prometheus_shows_its_key(home: Home, tmp_path: Path) -> None:
    beginning = f"{BEGINNING}clients: {{keys: {KEY}}}\n"
    async with used(tmp_path, beginning) as proxy:
        async with scraping(home, proxy, WITH_KEYS.text) as prometheus:
            await prometheus.until(REQUESTS, 10)
        async with scraping(home, proxy, PLAIN.text) as prometheus:
            await prometheus.until('up{job="sidekey"}', 0)
