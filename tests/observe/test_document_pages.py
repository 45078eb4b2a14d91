"""The documents, as browsers and programs get them from a running proxy."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import BEGINNING, sidekey
from raw_client import ask
from raw_upstream import answering

BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
GUARDED = f"{BEGINNING}clients: {{keys: canary-of-a-phantom-key}}\n"


@pytest.mark.parametrize("path", ["docs", "docs/", "docs/guides/misskey.ja", "problems/"])
async def test_a_browser_gets_a_page_and_a_program_markdown(tmp_path: Path, path: str) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        page = await ask(proxy, f"GET /_sidekey/{path}", BROWSER)
        text = await ask(proxy, f"GET /_sidekey/{path}", "Accept: */*")
    assert page.field("Content-Type") == ["text/html; charset=utf-8"]
    assert page.content.startswith(b"<!doctype html>")
    assert text.field("Content-Type") == ["text/markdown; charset=utf-8"]
    assert text.content.startswith(b"# ")


async def test_the_type_of_a_problem_leads_to_its_page(tmp_path: Path) -> None:
    """For a stranger too: a problem is all that it gets, so its page must be there."""
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=GUARDED) as proxy,
    ):
        problem = (await ask(proxy, "GET /r/a")).json()
        page = await ask(proxy, f"GET {problem['type']}")
    assert problem["type"] == "/_sidekey/problems/client-key-required"
    assert (page.status, page.content.splitlines()[0]) == (200, b"# client-key-required")


@pytest.mark.parametrize("path", ["docs/nope", "problems/nope", "docs/../../config/models.py"])
async def test_what_is_no_document_is_not_there(tmp_path: Path, path: str) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        assert (await ask(proxy, f"GET /_sidekey/{path}")).status == 404
