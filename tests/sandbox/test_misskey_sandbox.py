"""What the Misskey sandbox offers to tests, and what no recording holds."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp
from misskey_client import Answer, Exchange, send
from misskey_exchanges import post, raw
from misskey_uploads import file_part, i_part, upload

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

NORMAL_FIELDS = {
    "access-control-allow-origin": "*",
    "cache-control": "private, max-age=0, must-revalidate",
    "connection": "keep-alive",
    "keep-alive": "timeout=72",
}


async def ask(origin: str, exchange: Exchange) -> Answer:
    answer = await send(origin, exchange)
    assert answer is not None
    return answer


async def test_every_answer_of_the_api_has_the_recorded_fields() -> None:
    async with serve(MisskeySandbox().application()) as origin:
        headers = (await ask(origin, post("meta"))).headers
    assert headers.items() >= NORMAL_FIELDS.items()
    unlike = set(headers) - set(NORMAL_FIELDS)
    assert unlike == {"content-type", "content-length", "date"}


async def test_a_204_has_neither_type_nor_length() -> None:
    sandbox = MisskeySandbox()
    body = {"i": sandbox.native_token, "token": sandbox.issue_token([])}
    async with serve(sandbox.application()) as origin:
        answer = await ask(origin, post("i/revoke-token", body))
    assert answer.status == 204
    assert set(answer.headers) == {*NORMAL_FIELDS, "date"}


async def test_an_unknown_endpoint_has_no_cors_fields() -> None:
    async with serve(MisskeySandbox().application()) as origin:
        answer = await ask(origin, post("no/such"))
    assert answer.status == 404
    assert "access-control-allow-origin" not in answer.headers
    assert "cache-control" not in answer.headers


async def test_an_anonymous_get_may_be_cached_and_another_not() -> None:
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        path = "/api/get-online-users-count"
        anonymous = await ask(origin, raw(path, None, method="GET", content_type=None))
        known = await ask(
            origin,
            raw(path, None, method="GET", content_type=None, bearer=sandbox.native_token),
        )
    assert anonymous.field("cache-control") == "public, max-age=60"
    assert known.field("cache-control") == NORMAL_FIELDS["cache-control"]


async def test_the_released_13_13_2_answers_a_bad_token_with_403() -> None:
    sandbox = MisskeySandbox("13.13.2", old_bad_token_status=403)
    async with serve(sandbox.application()) as origin:
        answer = await ask(origin, post("meta", {"i": "bad"}))
    assert answer.status == 403
    assert "AUTHENTICATION_FAILED" in answer.body


async def test_a_revoked_token_is_a_bad_token() -> None:
    sandbox = MisskeySandbox()
    token = sandbox.issue_token(["read:account"])
    async with serve(sandbox.application()) as origin:
        assert (await ask(origin, post("i", {"i": token}))).status == 200
        sandbox.revoke(token)
        assert (await ask(origin, post("i", {"i": token}))).status == 401


async def test_an_approved_session_is_told_once() -> None:
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        check = raw("/api/miauth/s-1/check", None, content_type=None)
        assert (await ask(origin, check)).body == '{"ok":false}'
        token = sandbox.approve_miauth("s-1", permission=["read:account"])
        assert (await ask(origin, check)).json()["token"] == token
        assert (await ask(origin, check)).body == '{"ok":false}'


async def test_the_ready_app_leads_to_a_token() -> None:
    sandbox = MisskeySandbox()
    secret = {"appSecret": sandbox.app_secret}
    async with serve(sandbox.application()) as origin:
        session = (await ask(origin, post("auth/session/generate", secret))).json()
        assert session["url"] == f"{origin}/auth/{session['token']}"
        sandbox.approve_session(session["token"])
        key = {**secret, "token": session["token"]}
        answer = await ask(origin, post("auth/session/userkey", key))
    assert len(answer.json()["accessToken"]) == 32


async def test_urls_have_the_configured_origin_whatever_the_host_field_says() -> None:
    sandbox = MisskeySandbox(origin="https://misskey.example")
    async with serve(sandbox.application()) as origin:
        answer = await ask(origin, post("meta", Host="elsewhere.example"))
    assert answer.json()["uri"] == "https://misskey.example"


async def test_what_arrived_is_recorded_as_it_was_sent() -> None:
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        await ask(origin, raw("/api/notes%2Fcreate?a=%41", "{ }", X_One="1"))
        await ask(origin, post("meta"))
    assert sandbox.calls == {"/api/notes%2Fcreate": 1, "/api/meta": 1}
    arrived = sandbox.requests[0]
    assert (arrived.method, arrived.target) == ("POST", "/api/notes%2Fcreate?a=%41")
    assert ("X-One", "1") in arrived.headers
    assert arrived.body == b"{ }"


async def test_only_the_first_64_kib_of_a_body_are_kept() -> None:
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        await ask(origin, post("meta", {"x": "y" * 100_000}))
    assert len(sandbox.requests[0].body) == 64 * 1024


async def test_a_request_without_an_answer_ends_when_the_client_leaves() -> None:
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        assert await send(origin, post("i", {"i": 5}), patience=0.1) is None
        assert (await ask(origin, post("meta"))).status == 200
    assert [request.target for request in sandbox.requests] == ["/api/i", "/api/meta"]


async def test_an_upload_larger_than_memory_should_hold_is_served_back_whole() -> None:
    sandbox = MisskeySandbox("13.13.2")
    size = 16 * 1024 * 1024
    content = bytes(size)
    async with serve(sandbox.application()) as origin:
        form = upload(i_part(sandbox.native_token), file_part(content, "zeros.bin"))
        created = await ask(origin, form)
        async with aiohttp.request("GET", created.json()["url"]) as response:
            assert response.headers["Content-Length"] == str(size)
            assert await response.read() == content


async def test_a_form_that_breaks_off_inside_the_file_is_no_upload() -> None:
    sandbox = MisskeySandbox()
    form = upload(i_part(sandbox.native_token), file_part(b"half of it"))
    body = form.body[0].partition(b"of it")[0]
    broken = Exchange(form.method, form.target, form.headers, (body,))
    async with serve(sandbox.application()) as origin:
        answer = await ask(origin, broken)
        files = await ask(origin, post("drive/files", {"i": sandbox.native_token}))
    assert answer.status == 500
    assert files.body == "[]"


async def test_an_upload_that_its_client_gives_up_leaves_nothing_behind() -> None:
    sandbox = MisskeySandbox()
    form = upload(i_part(sandbox.native_token), file_part(bytes(3_000_000)))
    head, body = form.pieces("127.0.0.1")
    async with serve(sandbox.application()) as origin:
        parts = urlsplit(origin)
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(head + body[:2_000_000])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        files = await ask(origin, post("drive/files", {"i": sandbox.native_token}))
    assert files.body == "[]"
    assert sandbox.calls["/api/drive/files/create"] == 1


async def test_limits_are_kept_per_user_and_off_unless_asked_for() -> None:
    for rate_limits, status in ((False, 400), (True, 429)):
        sandbox = MisskeySandbox(rate_limits=rate_limits)
        call = post("notes/delete", {"i": sandbox.native_token, "noteId": "x"})
        async with serve(sandbox.application()) as origin:
            await ask(origin, call)
            assert (await ask(origin, call)).status == status


async def test_faults_strike_as_often_as_asked_for() -> None:
    sandbox = MisskeySandbox()
    sandbox.faults.fail_next(2, 502)
    async with serve(sandbox.application()) as origin:
        statuses = [(await ask(origin, post("meta"))).status for _ in range(3)]
    assert statuses == [502, 502, 200]


async def test_a_delay_holds_every_answer_back() -> None:
    sandbox = MisskeySandbox()
    sandbox.faults.delay = 3600.0
    async with serve(sandbox.application()) as origin:
        assert await send(origin, post("meta"), patience=0.1) is None


async def test_a_client_that_stops_reading_its_stream_does_not_hold_up_others() -> None:
    sandbox = MisskeySandbox()
    token = sandbox.native_token
    async with (
        serve(sandbox.application()) as origin,
        aiohttp.ClientSession(origin) as session,
        session.ws_connect("/streaming", params={"i": token}) as socket,
    ):
        await socket.send_json(
            {"type": "connect", "body": {"channel": "main", "id": "1", "pong": True}}
        )
        await socket.send_json({"type": "connect", "body": {"channel": "homeTimeline", "id": "2"}})
        await socket.receive_json()
        note = post("notes/create", {"i": token, "text": "x" * 900_000})
        answers = await asyncio.gather(*(ask(origin, note) for _ in range(16)))
    assert {answer.status for answer in answers} == {200}


async def test_a_sandbox_can_be_served_a_second_time() -> None:
    sandbox = MisskeySandbox()
    for _ in range(2):
        async with serve(sandbox.application()) as origin:
            answer = await ask(origin, post("i", {"i": sandbox.native_token}))
            assert answer.status == 200
