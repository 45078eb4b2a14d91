"""Recorded cases of single API calls: where the token stands, content types, errors, limits."""

from __future__ import annotations

import json

from misskey_client import Exchange
from misskey_exchanges import BAD_16, BAD_32, JSON_TYPE, Case, bare, get, post, raw
from misskey_uploads import i_part, upload

GOOD = '{"i": "{native}"}'
NOTE = post("notes/create", {"i": "{native}", "text": "hello"})
DELETE_NOTE = post("notes/delete", {"i": "{native}", "noteId": "{note}"})
REACT = post("notes/reactions/create", {"i": "{native}", "noteId": "{note}", "reaction": "👍"})
UNREACT = post("notes/reactions/delete", {"i": "{native}", "noteId": "{note}"})
AP_SHOW = {"uri": "http://127.0.0.1:3000/notes/xx"}
AP_SHOW_31 = (post("ap/show", {"i": "{native}", **AP_SHOW}),) * 31

_TOKENS = {
    "1a meta no token": Case(post("meta", {"detail": False})),
    "1b meta bad i (16)": Case(post("meta", {"i": BAD_16})),
    "1b2 meta bad i (32)": Case(post("meta", {"i": BAD_32})),
    "1c meta i null": Case(post("meta", {"i": None})),
    "1d meta bearer good": Case(post("meta", bearer="{native}")),
    "1e meta bearer bad": Case(post("meta", bearer=BAD_16)),
    "1e2 meta lower-case bearer bad": Case(post("meta", Authorization=f"bearer {BAD_16}")),
    "1e3 meta Basic header": Case(post("meta", Authorization="Basic Zm9vOmJhcg==")),
    "1e4 meta Bearer with two spaces": Case(post("meta", Authorization="Bearer  {native}")),
    "1e5 meta Bearer empty (curl trims)": Case(post("meta", Authorization="Bearer ")),
    "1f meta header good + body bad": Case(post("meta", {"i": BAD_16}, bearer="{native}")),
    "1g meta header bad + body good": Case(post("meta", {"i": "{native}"}, bearer=BAD_16)),
    "1h meta GET": Case(get("/api/meta")),
    "1i meta GET query bad i": Case(get(f"/api/meta?i={BAD_16}")),
    "1j meta GET with JSON body bad i + query none": Case(
        raw("/api/meta", json.dumps({"i": BAD_16}), method="GET")
    ),
    "1k meta POST query bad i, body {}": Case(post(f"meta?i={BAD_16}")),
    "2a i no token": Case(post("i")),
    "2b i bad": Case(post("i", {"i": BAD_16})),
    "2c i good body": Case(raw("/api/i", GOOD)),
    "2d i good header": Case(post("i", bearer="{native}")),
    "2d2 i good header, no body at all": Case(bare("/api/i", bearer="{native}")),
    "2e i GET query": Case(get("/api/i?i={native}")),
    "2f i POST with query i, body {}": Case(post("i?i={native}")),
    "2g i header lower-case bearer": Case(post("i", Authorization="bearer {native}")),
    "2h i PUT body": Case(raw("/api/i", GOOD, method="PUT")),
    "2h2 i DELETE body": Case(raw("/api/i", GOOD, method="DELETE")),
    "2h3 i PATCH body": Case(raw("/api/i", GOOD, method="PATCH")),
    "2i HEAD i": Case(bare("/api/i", method="HEAD")),
    "2i2 HEAD meta": Case(bare("/api/meta", method="HEAD")),
    "3a notes/create body i": Case(NOTE),
    "3a2 notes/create header": Case(post("notes/create", {"text": "x"}, bearer="{native}")),
    "3a3 notes/create no text": Case(post("notes/create", {"i": "{native}"})),
    "n2": Case(NOTE),
    "3e app token notes/create": Case(post("notes/create", {"i": "{notes}", "text": "x"})),
    "3e2 app token header notes/create": Case(
        post("notes/create", {"text": "x"}, bearer="{notes}")
    ),
    "3f app token lacking permission: i (read:account)": Case(post("i", {"i": "{notes}"})),
    "3f2 app token lacking permission: drive": Case(post("drive", bearer="{notes}")),
    "3g app token upper-cased": Case(post("notes/create", {"i": "{NOTES}", "text": "x"})),
    "3h secure endpoint with app token (i/regenerate-token)": Case(
        post("i/regenerate-token", {"i": "{notes}", "password": "x"})
    ),
    "3h2 secure endpoint w/out token": Case(post("i/regenerate-token", {"password": "x"})),
    "3i admin endpoint with app token": Case(post("admin/show-users", {"i": "{notes}"})),
    "3i2 admin endpoint with bob native": Case(post("admin/show-users", {"i": "{native}"})),
    "3j3 empty-permission token on meta": Case(post("meta", {"i": "{empty}"})),
    "3l revoke": Case(post("i/revoke-token", {"i": "{native}", "token": "{notes}"})),
    "3l2 revoked token use": Case(
        post("notes/create", {"i": "{notes}", "text": "x"}),
        before=(post("i/revoke-token", {"i": "{native}", "token": "{notes}"}),),
    ),
}

_CONTENT = {
    "4a JSON body without Content-Type": Case(raw("/api/i", GOOD, content_type=None)),
    "4b JSON body as text/plain": Case(raw("/api/i", GOOD, content_type="text/plain")),
    "4c urlencoded i=": Case(
        raw("/api/i", "i={native}", content_type="application/x-www-form-urlencoded")
    ),
    "4d octet-stream": Case(raw("/api/i", GOOD, content_type="application/octet-stream")),
    "4e no body, no CT, no token": Case(bare("/api/i")),
    "4e2 no body, no CT, no token, meta": Case(bare("/api/meta")),
    "4e3 no body, no CT, bearer, meta": Case(bare("/api/meta", bearer="{native}")),
    "4e4 no body, no CT, header, i": Case(bare("/api/i", bearer="{native}")),
    "4e5 no body, no CT, header, endpoint stats": Case(bare("/api/stats", bearer="{native}")),
    "4f empty body with application/json": Case(raw("/api/i", None)),
    "4f2 empty body with application/json + header": Case(raw("/api/i", None, bearer="{native}")),
    "4f3 empty body octet-stream content-length 0 (aiohttp default)": Case(
        raw("/api/meta", b"", content_type="application/octet-stream")
    ),
    "4f4 chunked empty body no CT": Case(Exchange("POST", "/api/meta", chunked=True)),
    "4g array body": Case(raw("/api/i", "[]")),
    "4g2 array body + header": Case(raw("/api/i", "[]", bearer="{native}")),
    "4g3 string body": Case(raw("/api/i", '"abc"')),
    "4g4 null body": Case(raw("/api/i", "null")),
    "4g5 number body": Case(raw("/api/i", "3")),
    "4h invalid JSON": Case(raw("/api/i", '{"i":')),
    "4h2 duplicate key i: bad then good": Case(raw("/api/i", '{"i":"bad","i":"{native}"}')),
    "4h3 duplicate key i: good then bad": Case(raw("/api/i", '{"i":"{native}","i":"bad"}')),
    "4h4 __proto__ key": Case(raw("/api/i", '{"__proto__":{"x":1},"i":"{native}"}')),
    "4h5 BOM before JSON": Case(raw("/api/i", "\ufeff" + GOOD)),
    "4h6 trailing whitespace/newline": Case(raw("/api/i", GOOD + "\n\n")),
    "4h7 Content-Type application/json; charset=utf-8": Case(
        raw("/api/i", GOOD, content_type="application/json; charset=utf-8")
    ),
    "4h8 Content-Type application/json;charset=shift_jis": Case(
        raw("/api/i", GOOD, content_type="application/json;charset=shift_jis")
    ),
    "4h9 Content-Type application/activity+json": Case(
        raw("/api/i", GOOD, content_type="application/activity+json")
    ),
    "4h10 Content-Type APPLICATION/JSON": Case(
        raw("/api/i", GOOD, content_type="APPLICATION/JSON")
    ),
    "4h11 JSON with gzip encoding header but plain": Case(
        raw("/api/i", GOOD, Content_Encoding="gzip")
    ),
    "4i i number": Case(post("i", {"i": 5})),
    "4i2 i number on meta": Case(post("meta", {"i": 5})),
    "4i3 i object": Case(post("i", {"i": {}})),
    "4i4 i false": Case(post("i", {"i": False})),
    "4i5 i number + header good": Case(post("i", {"i": 5}, bearer="{native}")),
    "4j i empty string": Case(post("i", {"i": ""})),
    "4j2 i empty string meta": Case(post("meta", {"i": ""})),
    "4k multipart on JSON endpoint": Case(upload(i_part(), target="/api/i")),
    "4l 1.1MB JSON": Case(post("notes/create", {"i": "{native}", "text": "x" * 1_100_000})),
    "4m i extra unknown param": Case(post("i", {"i": "{native}", "zzz": 1})),
    "4n header token plus body without i on ok endpoint, query string param": Case(
        post("i?limit=1&i=zzz", bearer="{native}")
    ),
    "10a JSON chunked": Case(Exchange("POST", "/api/i", JSON_TYPE, (GOOD.encode(),), chunked=True)),
}

_ERRORS = {
    "5a notes/delete": Case(DELETE_NOTE, before=(NOTE,)),
    "5a2 notes/delete again (NO_SUCH_NOTE)": Case(
        DELETE_NOTE, before=(NOTE, DELETE_NOTE), rate_limits=True
    ),
    "5a3 notes/reactions/create": Case(REACT, before=(NOTE,)),
    "10e notes/reactions/delete none (400?)": Case(UNREACT, before=(NOTE, REACT)),
    "10e2 same within minInterval": Case(UNREACT, before=(NOTE, REACT, UNREACT), rate_limits=True),
    "5b GET notes/create": Case(get("/api/notes/create")),
    "5b2 GET notes/create bad bearer": Case(get("/api/notes/create", Authorization="Bearer bad")),
    "5c POST unknown endpoint, good i": Case(raw("/api/no/such/endpoint", GOOD)),
    "5c2 POST unknown endpoint, no body, no CT": Case(bare("/api/no/such/endpoint")),
    "5c3 GET unknown endpoint": Case(get("/api/no/such/endpoint")),
    "5c4 PUT unknown": Case(raw("/api/no/such/endpoint", "{}", method="PUT")),
    "5c5 POST trailing slash": Case(post("meta/")),
    "5c6 POST double slash": Case(post("/meta")),
    "5c7 POST upper-case": Case(post("Meta")),
    "5c8 POST percent-encoded slash notes%2Fcreate": Case(
        post("notes%2Fcreate", {"i": "{native}", "text": "x"})
    ),
    "5c9 POST /api": Case(raw("/api", "{}")),
    "5c10 GET /api/": Case(get("/api/")),
    "5d allowGet: GET emojis": Case(get("/api/emojis")),
    "5d2 GET stats": Case(get("/api/stats")),
    "5d3 GET get-online-users-count": Case(get("/api/get-online-users-count")),
    "5d4 GET get-online-users-count?i=good": Case(get("/api/get-online-users-count?i={native}")),
    "5d5 GET get-online-users-count?i=bad": Case(get("/api/get-online-users-count?i=bad")),
    "5d6 GET get-online-users-count bearer good": Case(
        get("/api/get-online-users-count", Authorization="Bearer {native}")
    ),
    "5d7 GET ?i=a&i=b (array)": Case(get("/api/get-online-users-count?i=a&i=b")),
    "5d8 GET charts/notes?span=day&limit=1": Case(get("/api/charts/notes?span=day&limit=1")),
    "5e ap/show 429?": Case(AP_SHOW_31[0], before=AP_SHOW_31, rate_limits=True),
    "5e1b same, header token": Case(
        post("ap/show", AP_SHOW, bearer="{native}"), before=AP_SHOW_31, rate_limits=True
    ),
    "5e2 i/import? limited w/o perms app token": Case(
        post("ap/show", {"i": "{account}", **AP_SHOW}), before=AP_SHOW_31, rate_limits=True
    ),
    "10c2 suspended user: i": Case(post("i", {"i": "{suspended}"})),
    "10c3 suspended user: meta": Case(post("meta", {"i": "{suspended}"})),
    "10f string result endpoint? (admin/get-index-stats n/a) -> i/2fa?": Case(
        post("username/available", {"username": "zed"})
    ),
}


def _resets(name: str, addresses: list[str]) -> dict[str, Case]:
    """Anonymous calls, one after the other; the limit is kept per X-Forwarded-For."""
    body = {"username": "bob", "email": "a@b.example"}
    calls = [post("request-reset-password", body, X_Forwarded_For=a) for a in addresses]
    return {
        f"{name.replace('#', f'#{n}')}": Case(call, tuple(calls[: n - 1]), rate_limits=True)
        for n, call in enumerate(calls, 1)
    }


API_CASES: dict[str, Case] = {
    **_TOKENS,
    **_CONTENT,
    **_ERRORS,
    **_resets(
        "10d request-reset-password # different X-Forwarded-For",
        [f"203.0.113.{n}" for n in range(1, 6)],
    ),
    **_resets("10d2 request-reset-password # same X-Forwarded-For", ["203.0.113.77"] * 5),
}
