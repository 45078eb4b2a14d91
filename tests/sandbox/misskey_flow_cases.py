"""Recorded cases of flows: MiAuth, the legacy app flow, uploads, handshakes, CORS, nodeinfo."""

from __future__ import annotations

from misskey_api_cases import API_CASES, GOOD
from misskey_client import Exchange
from misskey_exchanges import (
    BAD_16,
    BAD_32,
    JSON_TYPE,
    Case,
    bare,
    get,
    handshake,
    post,
    preflight,
    raw,
)
from misskey_uploads import UPLOADS

SESSION = "859b06af-c284-4096-a6d9-a20f9564f7fe"
OTHER_SESSION = "5490df46-bdb6-48ac-9daf-b67ba87a584a"


def generate(session: str | None, permission: list[str]) -> Exchange:
    """MiAuth's acceptance."""
    body = {"i": "{native}", "session": session, "name": "T", "permission": permission}
    return post("miauth/gen-token", body)


def check(session: str) -> Exchange:
    """MiAuth's question for the token, without content."""
    return bare(f"/api/miauth/{session}/check")


_MIAUTH = {
    "3b check before gen (unknown session)": Case(check(SESSION)),
    "3c miauth/gen-token": Case(generate(SESSION, ["write:notes", "nonsense:perm"])),
    "3c2 gen-token with no i": Case(
        post("miauth/gen-token", {"session": SESSION, "permission": ["write:notes"]})
    ),
    "3c3 gen-token with app token (secure)": Case(
        post("miauth/gen-token", {"i": "{notes}", "session": SESSION, "permission": []})
    ),
    "3d check 1 (POST, no body, no content-type)": Case(
        check(SESSION), before=(generate(SESSION, ["write:notes"]),)
    ),
    "3d2 check 2": Case(check(SESSION), before=(generate(SESSION, []), check(SESSION))),
    "3d3 check unknown": Case(check(OTHER_SESSION), before=(generate(SESSION, []),)),
    "3d4 check GET": Case(get(f"/api/miauth/{SESSION}/check")),
    "3d5 check with JSON body {}": Case(post(f"miauth/{SESSION}/check")),
    "3d6 check with empty body but application/json": Case(
        raw(f"/api/miauth/{SESSION}/check", None)
    ),
    "3d7 check with bad bearer": Case(post(f"miauth/{SESSION}/check", bearer=BAD_16)),
    "3d8 check urlencoded": Case(
        raw(
            f"/api/miauth/{SESSION}/check",
            "a=b",
            content_type="application/x-www-form-urlencoded",
        )
    ),
    "3j gen-token read:account": Case(generate(SESSION, ["read:account"])),
    "3j2 gen-token empty permission": Case(generate(SESSION, [])),
    "3j4 gen-token session null": Case(generate(None, ["write:notes"])),
    "3j5 gen-token session reuse (same session string)": Case(
        generate(SESSION, ["write:notes"]), before=(generate(SESSION, ["read:account"]),)
    ),
    "3j6 check of reused session": Case(
        check(SESSION), before=(generate(SESSION, []), generate(SESSION, []))
    ),
    "3j7 check of reused session again": Case(
        check(SESSION), before=(generate(SESSION, []), generate(SESSION, []), check(SESSION))
    ),
}

_CREATE_APP = post(
    "app/create",
    {
        "name": "Legacy",
        "description": "d",
        "permission": ["write:notes", "notes-write", "read:account", "nonsense"],
        "callbackUrl": "http://127.0.0.1:9999/cb",
    },
)
_BEGIN = (_CREATE_APP, post("auth/session/generate", {"appSecret": "{secret}"}))
_ACCEPT = post("auth/accept", {"i": "{native}", "token": "{token}"})
_USER_KEY = post("auth/session/userkey", {"appSecret": "{secret}", "token": "{token}"})
_SIGNED_IN = (*_BEGIN, _ACCEPT, _USER_KEY)

_LEGACY = {
    "8a app/create, no i": Case(_CREATE_APP),
    "8a2 app/create without callbackUrl": Case(
        post("app/create", {"name": "L2", "description": "", "permission": []})
    ),
    "8a3 app/create with i": Case(
        post(
            "app/create",
            {"i": "{native}", "name": "L3", "description": "", "permission": ["notes/write"]},
        )
    ),
    "8a4 app/create missing permission": Case(
        post("app/create", {"name": "L3", "description": ""})
    ),
    "8b session/generate": Case(_BEGIN[1], before=_BEGIN[:1]),
    "8b2 session/generate bad secret": Case(post("auth/session/generate", {"appSecret": "nope"})),
    "8b3 session/show": Case(post("auth/session/show", {"token": "{token}"}), before=_BEGIN),
    "8c userkey pending": Case(_USER_KEY, before=_BEGIN),
    "8c2 userkey bad token": Case(
        post("auth/session/userkey", {"appSecret": "{secret}", "token": OTHER_SESSION}),
        before=_BEGIN,
    ),
    "8c3 userkey bad secret": Case(
        post("auth/session/userkey", {"appSecret": "x", "token": "{token}"}), before=_BEGIN
    ),
    "8d auth/accept with app token": Case(
        post("auth/accept", {"i": "{notes}", "token": "{token}"}), before=_BEGIN
    ),
    "8d2 auth/accept native": Case(_ACCEPT, before=_BEGIN),
    "8d3 auth/accept again": Case(_ACCEPT, before=(*_BEGIN, _ACCEPT)),
    "8e userkey": Case(_USER_KEY, before=(*_BEGIN, _ACCEPT)),
    "8e2 userkey second": Case(_USER_KEY, before=_SIGNED_IN),
    "8f i=sha256(accessToken+secret)": Case(
        post("notes/create", {"i": "{digest}", "text": "legacy"}), before=_SIGNED_IN
    ),
    "8f2 upper-case hash": Case(
        post("notes/create", {"i": "{DIGEST}", "text": "legacy"}), before=_SIGNED_IN
    ),
    "8f3 raw accessToken as i": Case(
        post("notes/create", {"i": "{accessToken}", "text": "legacy"}), before=_SIGNED_IN
    ),
    "8f4 hash as Bearer": Case(
        post("notes/create", {"text": "legacy"}, bearer="{digest}"), before=_SIGNED_IN
    ),
    "8f5 perm denied": Case(post("drive", {"i": "{digest}"}), before=_SIGNED_IN),
    "8f6 hash on i (read:account granted)": Case(post("i", {"i": "{digest}"}), before=_SIGNED_IN),
    "8g second session, accept": Case(_ACCEPT, before=(*_SIGNED_IN, _BEGIN[1])),
    "8g2 userkey second session: same accessToken?": Case(
        _USER_KEY, before=(*_SIGNED_IN, _BEGIN[1], _ACCEPT)
    ),
    "8h GET /auth/<token> page": Case(get("/auth/{token}"), before=_BEGIN),
}

_HANDSHAKES = {
    "7a no token": Case(handshake("/streaming")),
    "7b i good native": Case(handshake("/streaming?i={native}")),
    "7c i bad 16": Case(handshake(f"/streaming?i={BAD_16}")),
    "7c2 i bad 32": Case(handshake(f"/streaming?i={BAD_32}")),
    "7c3 i empty": Case(handshake("/streaming?i=")),
    "7c4 ?i (no =)": Case(handshake("/streaming?i")),
    "7d app token w/o read:account": Case(handshake("/streaming?i={notes}")),
    "7e app token with read:account": Case(handshake("/streaming?i={account}")),
    "7f header good": Case(handshake("/streaming", authorization="Bearer {native}")),
    "7f2 header bad": Case(handshake("/streaming", authorization=f"Bearer {BAD_16}")),
    "7f3 header good, query bad": Case(
        handshake(f"/streaming?i={BAD_16}", authorization="Bearer {native}")
    ),
    "7f4 header bad, query good": Case(
        handshake("/streaming?i={native}", authorization=f"Bearer {BAD_16}")
    ),
    "7f5 header lower-case bearer + no query": Case(
        handshake("/streaming", authorization="bearer {native}")
    ),
    "7f6 query i twice bad,good": Case(handshake(f"/streaming?i={BAD_16}&i={{native}}")),
    "7f7 query i twice good,bad": Case(handshake(f"/streaming?i={{native}}&i={BAD_16}")),
    "7g other path upgrade": Case(handshake("/nonsense?i={native}")),
    "7g2 other path upgrade /api/meta": Case(handshake("/api/meta")),
    "7h plain GET /streaming without Upgrade": Case(get("/streaming")),
    "7h2 plain POST /streaming without Upgrade": Case(raw("/streaming", b"", content_type=None)),
    "7i with Sec-WebSocket-Protocol": Case(handshake("/streaming", Sec_WebSocket_Protocol="foo")),
    "7i2 permessage-deflate offered": Case(
        handshake("/streaming", Sec_WebSocket_Extensions="permessage-deflate")
    ),
    "7i3 foreign Origin": Case(handshake("/streaming", Origin="http://evil.example")),
    "7i4 version 12": Case(handshake("/streaming?i={native}", Sec_WebSocket_Version="12")),
    "10c4 suspended user: streaming": Case(handshake("/streaming?i={suspended}")),
}

_SITE = {
    "9a OPTIONS preflight notes/create": Case(preflight("/api/notes/create")),
    "9a2 OPTIONS preflight unknown endpoint": Case(preflight("/api/no/such")),
    "9a3 OPTIONS without preflight headers": Case(bare("/api/notes/create", method="OPTIONS")),
    "9a4 OPTIONS miauth check": Case(preflight("/api/miauth/x/check")),
    "9a5 OPTIONS drive/files/create": Case(preflight("/api/drive/files/create")),
    "9a6 OPTIONS /streaming": Case(preflight("/streaming")),
    "9a7 OPTIONS nodeinfo": Case(preflight("/nodeinfo/2.1")),
    "9b POST with Origin": Case(post("meta", Origin="http://app.example")),
    "9b2 415 with Origin: has ACAO?": Case(
        raw("/api/meta", "{}", content_type="application/octet-stream", Origin="http://a.example")
    ),
    "9c well-known nodeinfo": Case(get("/.well-known/nodeinfo")),
    "9c2 nodeinfo 2.1": Case(get("/nodeinfo/2.1")),
    "9c3 nodeinfo 2.0": Case(get("/nodeinfo/2.0")),
    "9c4 well-known nodeinfo other Host": Case(
        get("/.well-known/nodeinfo", Host="proxy.example:8080")
    ),
    "9d meta with other Host": Case(post("meta", Host="proxy.example:8080")),
    "9e server header on / html": Case(get("/")),
    "9i 413 Expect": Case(post("meta", Expect="100-continue")),
    "9j gzip?": Case(post("meta", {"detail": True}, Accept_Encoding="gzip, br")),
    "9k HTTP/1.0": Case(Exchange("POST", "/api/meta", JSON_TYPE, (b"{}",), http="1.0")),
    "9l well-known nodeinfo after federation=all": Case(
        get("/.well-known/nodeinfo"), federation=True
    ),
    "9l2 well-known nodeinfo other Host, federation=all": Case(
        get("/.well-known/nodeinfo", Host="proxy.example:8080"), federation=True
    ),
}


CASES: dict[str, Case] = {
    **API_CASES,
    **_MIAUTH,
    **_LEGACY,
    **_HANDSHAKES,
    **_SITE,
    **{name: Case(exchange) for name, exchange in UPLOADS.items()},
    "6l2 same content twice second": Case(
        UPLOADS["6l same content twice (dedupe) first"],
        before=(UPLOADS["6l same content twice (dedupe) first"],),
    ),
    "6n2 GET file url without token": Case(get("{path}"), before=(UPLOADS["6n PNG"],)),
    "6n3 GET file url + /x": Case(get("{path}/x"), before=(UPLOADS["6n PNG"],)),
    "6o drive/files/delete": Case(
        post("drive/files/delete", {"i": "{account}", "fileId": "{id}"}),
        before=(UPLOADS["6n PNG"],),
    ),
    "6k JSON body to drive/files/create": Case(raw("/api/drive/files/create", GOOD)),
    "6k2 no body": Case(bare("/api/drive/files/create")),
    "6k3 GET": Case(get("/api/drive/files/create")),
    "9c5 oauth metadata": Case(get("/.well-known/oauth-authorization-server")),
}
