"""Web pages in a real Chromium try to use a running sidekey, or to read what it says.

A page stands on another port of this machine (for the browser the same site), or on another site
whose name leads to this machine. Every try has to reach sidekey: a browser that gave up by itself
would show nothing about us.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from threading import Thread
from typing import Any

import pytest
import pytest_asyncio
from browser import NEEDS_CHROMIUM, chromium
from hostile_fixtures import ON_TCP, Attack
from hostile_harness import Hostile
from raw_upstream import OK, response

from proxy.events import RequestRefused

pytestmark = [NEEDS_CHROMIUM, ON_TCP, pytest.mark.asyncio(loop_scope="module")]

EVIL = "evil.test"
PLACES = ["127.0.0.1", EVIL]
PATHS = ["/r/a", "/_sidekey/status"]
BLANK = "<!doctype html><title>quiet</title><body></body>"

READ = "answer => answer.text()"
ELEMENT = """url => new Promise(done => {
    const element = document.createElement('%s');
    Object.assign(element, {rel: 'stylesheet', onerror: () => done('')});
    element.onload = () => done('loaded');
    element[element.tagName == 'LINK' ? 'href' : 'src'] = url;
    document.body.append(element);
})"""
FRAME = """url => new Promise(done => {
    const frame = document.createElement('iframe');
    frame.onload = () => done(frame.contentDocument?.body?.innerText ?? '');
    frame.src = url;
    document.body.append(frame);
})"""
FORM = """url => {
    document.body.innerHTML = '<form method=post enctype=text/plain><input name=a value=b></form>';
    document.forms[0].action = url;
    document.forms[0].submit();
}"""
LINK = """url => {
    document.body.innerHTML = '<a>here</a>';
    document.querySelector('a').href = url;
    document.querySelector('a').click();
}"""
WINDOW = """async url => {
    const opened = window.open(url);
    await new Promise(done => setTimeout(done, 300));
    return opened.document.body.innerText;
}"""
EVENTS = """url => new Promise(done => {
    const source = new EventSource(url, {withCredentials: true});
    source.onmessage = event => done(event.data);
    source.onerror = () => { source.close(); done(''); };
})"""
WEBSOCKET = """url => new Promise(done => {
    const socket = new WebSocket(url.replace('http:', 'ws:'));
    socket.onopen = () => done('open');
    socket.onerror = () => done('');
})"""
OPAQUE = """url => new Promise(done => {
    addEventListener('message', event => done(event.data));
    const frame = document.createElement('iframe');
    frame.sandbox = 'allow-scripts';
    frame.srcdoc = `<script>
        fetch('${url}').then(answer => answer.text()).catch(() => '')
            .then(text => parent.postMessage(text, '*'));
    </` + 'script>';
    document.body.append(frame);
})"""
JSON = "{method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'}"
TRIES = [
    pytest.param(f"url => fetch(url).then({READ})", id="fetch", marks=pytest.mark.case("B14")),
    pytest.param(
        f"url => fetch(url, {{credentials: 'include'}}).then({READ})", id="fetch with cookies"
    ),
    pytest.param(
        f"url => fetch(url, {{mode: 'no-cors', credentials: 'include'}}).then({READ})",
        id="fetch without CORS",
    ),
    pytest.param(
        f"url => fetch(url, {{method: 'POST', body: 'a=b'}}).then({READ})",
        id="fetch that posts text",
        marks=pytest.mark.case("B11"),
    ),
    pytest.param(
        f"url => fetch(url, {JSON}).then({READ})",
        id="fetch that posts JSON",
        marks=pytest.mark.case("B16"),
    ),
    pytest.param(
        f"url => fetch(url, {{method: 'DELETE'}}).then({READ})",
        id="fetch that deletes",
        marks=pytest.mark.case("B16"),
    ),
    pytest.param(
        "url => navigator.sendBeacon(url, 'a=b') && ''", id="beacon", marks=pytest.mark.case("B11")
    ),
    pytest.param(OPAQUE, id="fetch of an opaque origin", marks=pytest.mark.case("B13")),
    pytest.param(ELEMENT % "img", id="image", marks=pytest.mark.case("B12")),
    pytest.param(ELEMENT % "script", id="script"),
    pytest.param(ELEMENT % "link", id="style sheet"),
    pytest.param(FRAME, id="frame"),
    pytest.param(EVENTS, id="event source"),
    pytest.param(WEBSOCKET, id="websocket", marks=pytest.mark.case("W01")),
    pytest.param(WINDOW, id="window"),
]
LEAVING = [
    pytest.param(FORM, id="form post", marks=pytest.mark.case("B11")),
    pytest.param(LINK, id="link", marks=pytest.mark.case("B15")),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    """A browser for which `EVIL` is this machine, and that does not know to keep pages from it."""
    resolving = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"
    async with chromium(resolving, "--disable-features=LocalNetworkAccessChecks") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Any) -> AsyncIterator[Any]:
    tab = await browser.new_page()
    yield tab
    await tab.context.close()


class _Page(BaseHTTPRequestHandler):
    """Answers every GET with an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(BLANK.encode())

    def log_message(self, *arguments: object) -> None:
        pass  # it would speak to stderr


@pytest.fixture(scope="module")
def neighbour() -> Iterator[int]:
    """The port of a server in a thread of its own: its connections are no stray tasks of ours."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


async def attempt(page: Any, script: str, url: str) -> str:
    """Run `script`, and return what the page could read; an error is nothing."""
    tried = f"url => Promise.resolve(url).then({script}).catch(() => '')"
    return str(await page.evaluate(tried, url) or "")


async def refused(hostile: Hostile, path: str) -> RequestRefused:
    """Wait until a request for `path` was refused."""
    async with asyncio.timeout(10):
        while True:
            for event in hostile.proxy.told(RequestRefused):
                if isinstance(event, RequestRefused) and event.path == path:
                    return event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("script", TRIES)
async def test_a_page_of_another_origin_causes_nothing_and_reads_nothing(
    page: Any, neighbour: int, attack: Attack, script: str
) -> None:
    async with attack() as hostile:
        for place, path in product(PLACES, PATHS):
            hostile.proxy.events.clear()
            await page.goto(f"http://{place}:{neighbour}/")
            assert await attempt(page, script, hostile.proxy.address + path) == ""
            assert (await refused(hostile, path)).slug == "cross-site-refused"
            assert hostile.arrived == []


@pytest.mark.parametrize("script", LEAVING)
async def test_a_page_that_leads_its_reader_away_causes_nothing(
    page: Any, neighbour: int, attack: Attack, script: str
) -> None:
    async with attack(listen="browser_navigation: true") as hostile:
        for place in PLACES:
            hostile.proxy.events.clear()
            await page.goto(f"http://{place}:{neighbour}/")
            await attempt(page, script, f"{hostile.proxy.address}/r/a")
            await page.wait_for_url("**/r/a")
            assert (await refused(hostile, "/r/a")).slug == "cross-site-refused"
            assert hostile.arrived == []


REBOUND = [
    pytest.param(f"url => fetch(url).then({READ})", id="get"),
    pytest.param(f"url => fetch(url, {JSON}).then({READ})", id="post"),
    pytest.param(FRAME, id="frame"),
    pytest.param(WEBSOCKET, id="websocket"),
]


@pytest.mark.case("B18")
@pytest.mark.parametrize("script", REBOUND)
async def test_a_page_whose_name_was_rebound_to_us_is_refused(
    page: Any, attack: Attack, script: str
) -> None:
    """For the browser page and sidekey are one origin, so what it can read is our refusal."""
    async with attack() as hostile:
        origin = f"http://{EVIL}:{hostile.proxy.port}"
        await page.route(
            f"{origin}/page", lambda route: route.fulfill(body=BLANK, content_type="text/html")
        )
        await page.goto(f"{origin}/page")
        for path in PATHS:
            read = await attempt(page, script, origin + path)
            assert read == "" or '"/_sidekey/problems/host-refused"' in read
            assert "control" not in read  # the name of a route
            assert (await refused(hostile, path)).slug == "host-refused"
            assert hostile.arrived == []


@pytest.mark.case("B15")
@pytest.mark.parametrize("wanted", [False, True])
async def test_the_address_bar_opens_an_upstream_only_where_that_is_wanted(
    page: Any, attack: Attack, wanted: bool
) -> None:
    async with attack(listen=f"browser_navigation: {str(wanted).lower()}") as hostile:
        answer = await page.goto(f"{hostile.proxy.address}/r/a")
        assert answer.status == (200 if wanted else 403)
        assert [request.target for request in hostile.arrived] == ["/base/v1/a"] * wanted


async def test_a_page_of_our_own_may_read_and_call(page: Any, attack: Attack) -> None:
    async with attack() as hostile:
        address = hostile.proxy.address
        answer = await page.goto(f"{address}/_sidekey/status")
        assert answer.status == 200
        read = f"url => fetch(url).then({READ})"
        assert '"upstreams"' in await attempt(page, read, f"{address}/_sidekey/status")
        post = f"url => fetch(url, {JSON}).then({READ})"
        assert await attempt(page, post, f"{address}/r/a") == "ok"
        assert [(r.method, r.target, r.content) for r in hostile.arrived] == [
            ("POST", "/base/v1/a", b"{}")
        ]


@pytest.mark.case("B16", "B17")
async def test_only_a_page_of_an_allowed_origin_may_call_and_read(
    page: Any, neighbour: int, attack: Attack
) -> None:
    allowed = f"http://127.0.0.1:{neighbour}"
    async with attack(listen=f"allowed_origins: ['{allowed}']") as hostile:
        hostile.upstream.answer = lambda request: response(
            "200 OK", b"ok", "Access-Control-Allow-Origin: *"
        )
        post = f"url => fetch(url, {JSON}).then({READ})"
        await page.goto(f"{allowed}/")
        assert await attempt(page, post, f"{hostile.proxy.address}/r/a") == "ok"
        assert [request.method for request in hostile.arrived] == ["POST"]
        await page.goto(f"http://{EVIL}:{neighbour}/")
        assert await attempt(page, post, f"{hostile.proxy.address}/r/b") == ""
        assert (await refused(hostile, "/r/b")).method == "OPTIONS"
        assert len(hostile.arrived) == 1


ACTIVE = {
    "text/html": b"""<!doctype html><title>quiet</title>
        <script>document.title = 'ran'; fetch('/control/script');</script>
        <img src="/control/image" onerror="fetch('/control/handler')">
        <iframe src="/control/frame"></iframe>
        <form action="/control/form" method="post"></form>
        <script>document.forms[0].submit();</script>""",
    "application/xhtml+xml": b"""<html xmlns="http://www.w3.org/1999/xhtml"><head><script>
        document.title = 'ran'; fetch('/control/script');</script></head><body/></html>""",
    "image/svg+xml": b"""<svg xmlns="http://www.w3.org/2000/svg"><script>
        document.documentElement.id = 'ran'; fetch('/control/script');</script></svg>""",
}


@pytest.mark.case("B25")
@pytest.mark.parametrize("media_type", ACTIVE)
async def test_active_content_of_an_upstream_does_nothing(
    page: Any, attack: Attack, media_type: str
) -> None:
    """All upstreams share our origin: its scripts would pass for a page of our own."""
    content = response("200 OK", ACTIVE[media_type], f"Content-Type: {media_type}")
    async with attack(listen="browser_navigation: true") as hostile:
        hostile.upstream.answer = lambda asked: content if asked.path.endswith("/page") else OK
        opened = await page.goto(f"{hostile.proxy.address}/r/page")
        assert opened.status == 200
        await page.wait_for_timeout(300)  # a script would have run by then
        assert "ran" not in await page.evaluate("document.title + document.documentElement.id")
        assert [request.target for request in hostile.upstream.requests] == ["/base/v1/page"]
