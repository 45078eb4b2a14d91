"""What sidekey says itself, to clients and to people, holds no secret of any upstream."""

from __future__ import annotations

import json
from pathlib import Path

from gateway_samples import KEY, keyed, tokened
from issuing import Issuer
from proxying import sidekey
from raw_client import ask
from raw_upstream import answering, json_response


async def test_a_token_endpoint_that_quotes_another_upstream_s_key_does_not_give_it_away(
    tmp_path: Path,
) -> None:
    said = {"error": "invalid_grant", "error_description": f"use {KEY}, not this"}
    issuer = Issuer(token_answer=json_response("400 Bad Request", json.dumps(said).encode()))
    async with answering(issuer) as upstream:
        both = f"{tokened(upstream.origin, upstream.origin)}\n{keyed(upstream.origin, name='k')}"
        async with sidekey(tmp_path, both) as proxy:
            problem = await ask(proxy, "GET /r/a")
            status = await ask(proxy, "GET /_sidekey/status")
    for answer in (problem, status):
        assert b"use ***, not this" in answer.content
        assert KEY.encode() not in answer.content


async def test_a_secret_in_a_wrong_path_is_not_repeated(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, f"GET /_sidekey/{KEY}")
    assert answer.status == 404
    assert b"sidekey has no page /_sidekey/***" in answer.content
