"""Each problem has a page, whose example is what a running proxy answers."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest
from command_line import Home
from document_blocks import FOLDER, blocks_of
from problem_scenes import SCENES

from proxy import errors, refusals
from proxy.errors import SidekeyError
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

PROBLEMS = FOLDER / "problems"
SLUGS = {
    value.slug
    for module in (errors, refusals)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, SidekeyError)
}
WITHOUT_AN_ANSWER = {"listen-failed", "login-failed"}  # commands say these, nobody is answered
PATIENCE = 60
QUOTED = re.compile(r'\*\*"([^"]+)"\*\*|(?<=[(,] )"([^"]+)"|(?<=\()"([^"]+)"')
FILLED_IN = re.compile(r"\.\.\.|NAME|[0-9]+")


def page_of(slug: str) -> Path:
    return PROBLEMS / f"{slug}.md"


def test_every_slug_has_its_page_and_every_page_is_one_of_a_slug() -> None:
    assert {path.stem for path in PROBLEMS.glob("*.md")} - {"README"} == SLUGS
    for slug in SLUGS:
        assert page_of(slug).read_text().startswith(f"# {slug}\n")


def test_every_slug_is_provoked_by_a_test() -> None:
    assert SCENES.keys() | WITHOUT_AN_ANSWER == SLUGS


def test_the_troubleshooting_page_leads_to_every_problem() -> None:
    text = (PROBLEMS / "README.md").read_text()
    assert {slug for slug in SLUGS if f"]({slug}.md)" not in text} == set()


@pytest.mark.parametrize("slug", sorted(SCENES.keys() - {"credential-rejected"}))
async def test_the_example_of_a_page_is_what_a_proxy_answers(
    slug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(PATIENCE):
        problem = await SCENES[slug](tmp_path, monkeypatch)
    [block] = blocks_of(page_of(slug), language="json")
    example = json.loads(block.text)
    assert re.fullmatch(r"[0-9a-f]{16}", example.pop("request_id"))
    if "login_url" in problem:
        problem["login_url"] = re.sub(r":\d+/", ":8080/", problem["login_url"])
    assert example == {name: problem[name] for name in example}
    assert {"type", "title", "status", "detail"} <= example.keys()
    assert example["type"] == f"/_sidekey/problems/{slug}"
    assert f"Status {example['status']}" in page_of(slug).read_text()


async def test_a_rejected_credential_gets_the_upstreams_own_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await SCENES["credential-rejected"](tmp_path, monkeypatch)
    [block] = blocks_of(page_of("credential-rejected"), language="http")
    head, _, content = block.text.partition("\n\n")
    assert "Sidekey-Error: credential-rejected" in head
    assert json.loads(content) == answer


async def test_a_failed_login_says_what_its_page_says(home: Home) -> None:
    async with serve(MisskeySandbox().application()) as origin:
        home.configure(f"upstreams: {{misskey: {{preset: misskey, base_url: '{origin}'}}}}")
        ended = await home.run("login", "misskey", "--no-browser", "--timeout", "0.1")
    assert ended.code == 1
    [block] = blocks_of(page_of("login-failed"), language="")
    assert ended.err.endswith(block.text.replace("within 300 s", "within 0 s"))


async def test_a_taken_port_says_what_its_page_says(home: Home) -> None:
    key = "provider: {type: api_key, keys: made-up-key}"
    home.configure(f"upstreams: {{a: {{base_url: 'https://api.example.com', {key}}}}}")
    async with home.serving() as proxy:
        port = (await proxy.address()).rpartition(":")[2]
        ended = await home.run("run", "--port", port)
        await proxy.stopped(signal.SIGTERM)
    assert ended.code == 1
    [block] = blocks_of(page_of("listen-failed"), language="")
    assert ended.err.endswith(block.text.replace("8080", port))


@pytest.mark.parametrize("slug", sorted(SLUGS))
def test_what_a_page_quotes_stands_in_the_code(slug: str) -> None:
    """Words of messages in double quotes; what is filled in differs."""
    code = "".join(path.read_text() for path in FOLDER.parent.rglob("*.py"))
    code = re.sub(r'"\s*f?"', "", re.sub(r"\{[^}]*\}", "", code))  # texts over several lines
    for quoted in QUOTED.findall(page_of(slug).read_text()):
        for part in FILLED_IN.split("".join(quoted)):
            assert part in code, part


@pytest.mark.parametrize("slug", sorted(SLUGS))
def test_a_page_says_how_to_see_why_and_what_to_do(slug: str) -> None:
    text = page_of(slug).read_text()
    order = [text.index(part) for part in ("## How to see why", "## Causes", "\n1. ", "\n2. ")]
    assert order == sorted(order)
