"""A configuration that changes while the proxy runs: all of it is taken over, or nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from command_line import until
from gateway_samples import keyed, tokened
from issuing import Issuer, to_the_api
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import ask, message, raw_client
from raw_upstream import Conversation, RawUpstream, answering, conversing, response
from token_server import token_server

from proxy import reload as reloading_module
from proxy.config import Loaded, load
from proxy.config.versions import Versions
from proxy.credentials.stores.file import FileStore
from proxy.events import ConfigRefused, ConfigReloaded, Event, TokenAcquired, TokenDropped
from proxy.reload import Reload
from proxy.upstreams import Changes

ENVIRON = {"KEY": "made-up-key", "SECRET": "made-up-secret"}
PATIENCE = 30.0  # seconds until a reload that does not come counts as missing


class Changing:
    """A running proxy whose configuration changes."""

    def __init__(self, proxy: Sidekey, folder: Path, environ: dict[str, str]) -> None:
        self.proxy = proxy
        self.folder = folder
        self.path = folder / "sidekey.yaml"
        files: Versions = {}
        self._environ = environ
        self._load(files)
        self._told = asyncio.Event()
        self.asked = asyncio.Event()
        self.reload = Reload(self._load, files, self._change, self._observe, self.asked)

    def _load(self, files: Versions) -> Loaded:
        return load(self.path, environ=self._environ, files=files)

    def _change(self, loaded: Loaded) -> Changes:
        return self.proxy.running.change(loaded.settings)

    def _observe(self, event: Event) -> None:
        self.proxy.events.append(event)
        self._told.set()

    def write(self, upstreams: str, beginning: str = BEGINNING) -> None:
        """Write the configuration as editors do, into another file that takes its place."""
        indented = "".join(f"  {line}\n" for line in upstreams.strip("\n").splitlines())
        new = self.path.with_suffix(".new")
        new.write_text(f"{beginning}upstreams:\n{indented}")
        new.chmod(0o600)
        new.replace(self.path)

    async def told(self) -> Event:
        """Return what is told of the next loading."""
        async with asyncio.timeout(PATIENCE):
            await self._told.wait()
        self._told.clear()
        return self.proxy.events[-1]

    async def change(self, upstreams: str, beginning: str = BEGINNING) -> Event:
        """Write, ask for a reload and return what is told of it."""
        self.write(upstreams, beginning)
        self.asked.set()
        return await self.told()

    async def status(self, line: str, *fields: str) -> int:
        return (await ask(self.proxy, line, *fields)).status


@asynccontextmanager
async def changing(
    folder: Path, upstreams: str, *, beginning: str = BEGINNING, **kwargs: object
) -> AsyncIterator[Changing]:
    async with sidekey(folder, upstreams, environ=ENVIRON, beginning=beginning, **kwargs) as proxy:
        changing = Changing(proxy, folder, ENVIRON)
        task = asyncio.create_task(changing.reload.run())
        try:
            yield changing
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading_module, "INTERVAL", 0.05)


def two_tokens(origin: str, *, secret: str = "made-up-secret", more: str = "") -> str:
    """Two upstreams, `a` and `b`, with tokens of one issuer."""
    return "".join(
        f"""
{name}:
  base_url: {origin}/{name}
  provider:
    type: oauth2_client_credentials
    token_url: {origin}/oauth/token
    client_id: {name}
    client_secret: {own}
{extra}"""
        for name, own, extra in (("a", "made-up-secret", ""), ("b", secret, more))
    )


@asynccontextmanager
async def with_two_tokens(folder: Path) -> AsyncIterator[tuple[Changing, RawUpstream, Issuer]]:
    """Both have been asked once, and have a token."""
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        changing(folder, two_tokens(upstream.origin)) as proxy,
    ):
        assert await proxy.status("GET /a/x") == await proxy.status("GET /b/x") == 200
        assert issuer.issued == 2
        yield proxy, upstream, issuer


@pytest.mark.case("O04")
async def test_a_reload_without_a_change_keeps_tokens_and_connections(tmp_path: Path) -> None:
    async with with_two_tokens(tmp_path) as (proxy, upstream, issuer):
        connections = upstream.connections
        told = await proxy.change(two_tokens(upstream.origin))
        assert told == ConfigReloaded((), (), ())
        assert await proxy.status("GET /a/x") == await proxy.status("GET /b/x") == 200
        assert (issuer.issued, upstream.connections) == (2, connections)


@pytest.mark.case("O04")
async def test_rules_that_change_cost_no_token(tmp_path: Path) -> None:
    async with with_two_tokens(tmp_path) as (proxy, upstream, issuer):
        allow = "  allow: [{paths: [/b/y]}]\n"
        told = await proxy.change(two_tokens(upstream.origin, more=allow))
        assert told == ConfigReloaded(("b",), (), ())
        assert await proxy.status("GET /a/x") == await proxy.status("GET /b/y") == 200
        assert await proxy.status("GET /b/x") == 403
        assert issuer.issued == 2


@pytest.mark.case("O05")
async def test_one_secret_that_changes_costs_one_token(tmp_path: Path) -> None:
    async with with_two_tokens(tmp_path) as (proxy, upstream, issuer):
        kept = proxy.proxy.source("a")
        told = await proxy.change(two_tokens(upstream.origin, secret="another-secret"))
        assert told == ConfigReloaded(("b",), (), ())
        assert proxy.proxy.source("a") is kept
        assert await proxy.status("GET /a/x") == await proxy.status("GET /b/x") == 200
        assert issuer.issued == 3
        assert [event.upstream for event in proxy.proxy.told(TokenAcquired)] == ["a", "b", "b"]


@pytest.mark.case("O03")
@pytest.mark.parametrize(
    "text",
    ["", "upstreams: {}", "upstreams: {a: {base_url: 'http://127.0.0.1:9', pro", "a: !!binary x"],
)
async def test_a_file_that_cannot_be_used_changes_nothing(text: str, tmp_path: Path) -> None:
    async with with_two_tokens(tmp_path) as (proxy, upstream, issuer):
        proxy.path.write_text(text)
        proxy.asked.set()
        told = await proxy.told()
        assert isinstance(told, ConfigRefused)
        assert told.issues[0].startswith(f"{proxy.path}:")
        assert await proxy.status("GET /a/x") == await proxy.status("GET /b/x") == 200
        assert issuer.issued == 2
        told = await proxy.change(two_tokens(upstream.origin))
        assert told == ConfigReloaded((), (), ())


@pytest.mark.case("O03")
async def test_a_change_is_noticed_and_a_mistake_is_told_once(tmp_path: Path) -> None:
    async with with_two_tokens(tmp_path) as (proxy, upstream, _):
        proxy.write("a: {}")
        assert isinstance(await proxy.told(), ConfigRefused)
        await asyncio.sleep(0.5)
        proxy.write(two_tokens(upstream.origin, secret="another-secret"))
        assert await proxy.told() == ConfigReloaded(("b",), (), ())
        assert len(proxy.proxy.told(ConfigRefused)) == 1


async def test_what_is_refused_repeats_no_secret(tmp_path: Path) -> None:
    async with with_two_tokens(tmp_path) as (proxy, upstream, _):
        text = two_tokens(upstream.origin, secret="canary-secret").replace("client_id", "client")
        told = await proxy.change(text)
        assert isinstance(told, ConfigRefused)
        assert "canary" not in str(told)


async def test_upstreams_come_and_go(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        changing(tmp_path, keyed(upstream.origin, name="old")) as proxy,
    ):
        assert await proxy.status("GET /new/x") == 404
        told = await proxy.change(keyed(upstream.origin, name="new"))
        assert told == ConfigReloaded((), ("new",), ("old",))
        assert await proxy.status("GET /old/x") == 404
        assert await proxy.status("GET /new/x") == 200
        answer = await ask(proxy.proxy, "GET /_sidekey/status")
        assert b'"new"' in answer.content
        assert b'"old"' not in answer.content


async def test_host_names_of_upstreams_come_and_go_with_them(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        changing(tmp_path, keyed(upstream.origin, name="old")) as proxy,
    ):
        await proxy.change(keyed(upstream.origin, name="new"))
        for name, status in (("new", 200), ("old", 421)):
            sent = message("GET /x", host=f"{name}.localhost:{proxy.proxy.port}")
            async with raw_client(proxy.proxy.place) as client:
                await client.send(sent)
                assert (await client.answer()).status == status


async def test_requests_under_way_end_on_the_old_connections(tmp_path: Path) -> None:
    """Of an upstream that is gone too; the connections are closed after the last one."""
    over = asyncio.Event()
    left = asyncio.Event()

    async def slowly(peer: Conversation) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
        await over.wait()
        await peer.send(b"lf")
        await peer.reader.read()
        left.set()

    async with (
        conversing(slowly) as old,
        answering() as new,
        changing(tmp_path, keyed(old.origin, name="a")) as proxy,
        raw_client(proxy.proxy.place) as client,
        asyncio.timeout(PATIENCE),
    ):
        await client.send(message("GET /a/x", host=proxy.proxy.host))
        assert (await client.reader.readuntil(b"ha")).startswith(b"HTTP/1.1 200")
        await proxy.change(keyed(new.origin, name="a"))
        assert await proxy.status("GET /a/y") == 200
        assert new.last.target == "/y"
        metrics = (await ask(proxy.proxy, "GET /_sidekey/metrics")).content
        assert b'sidekey_requests_in_flight{upstream="a"} 1.0' in metrics
        await proxy.change(keyed(new.origin, name="b"))
        assert await proxy.status("GET /a/y") == 404
        assert not left.is_set()
        over.set()
        assert await client.reader.readexactly(2) == b"lf"
        await left.wait()


async def test_a_change_of_the_rules_leaves_the_token_and_its_renewal_alone(tmp_path: Path) -> None:
    async with token_server(fault=lambda: 0.5) as server:
        upstream = server.upstreams("r")
        async with changing(tmp_path, upstream) as proxy:
            asking = asyncio.create_task(proxy.status("GET /r/a"))
            await until(lambda: server.asked == 1)
            told = await proxy.change(f"{upstream[:-1]}, deny: [{{paths: [/api/secret]}}]}}")
            assert told == ConfigReloaded(("r",), (), ())
            assert await asking == 200
            await asyncio.sleep(0.1)  # what is replaced has ended its last request by now
            server.revoke()
            assert await proxy.status("GET /r/a") == 200
            assert await proxy.status("GET /r/secret") == 403
    assert server.calls == {"sign-in": 1, "renewal": 1}


async def test_a_secret_that_a_change_adds_is_masked_where_the_upstream_echoes_it(
    tmp_path: Path,
) -> None:
    added = "canary-added-secret"
    async with (
        token_server() as server,
        answering(response("200 OK", f"you sent {added}".encode())) as upstream,
    ):
        token = "{in: header, name: Authorization, format: 'Bearer {token}'}"
        more = f", {{in: header, name: X-Api-Key, format: {added}}}"
        start = (
            f"r: {{base_url: '{upstream.origin}', redact: content,"
            f" provider: {json.dumps(server.shape())}, inject: [{token}"
        )
        async with changing(tmp_path, f"{start}]}}") as proxy:
            source = proxy.proxy.source("r")
            assert await proxy.change(f"{start}{more}]}}") == ConfigReloaded(("r",), (), ())
            assert proxy.proxy.source("r") is source
            answer = await ask(proxy.proxy, "GET /r/a")
    assert answer.content == b"you sent " + b"*" * len(added)


async def test_token_endpoints_of_a_new_upstream_are_closed_to_the_others(tmp_path: Path) -> None:
    async with answering(Issuer()) as upstream:
        api = keyed(upstream.origin, name="a", more="reject_on: []")
        async with changing(tmp_path, api) as proxy:
            assert await proxy.status("POST /a/oauth/token") == 200
            source = proxy.proxy.source("a")
            told = await proxy.change(f"{api}\n" + tokened("http://127.0.0.1:9", upstream.origin))
            assert told == ConfigReloaded((), ("r",), ())
            assert await proxy.status("POST /a/oauth/token") == 403
            assert proxy.proxy.source("a") is source
            await proxy.change(api)
            assert await proxy.status("POST /a/oauth/token") == 200


@pytest.mark.parametrize(
    ("beginning", "issue"),
    [
        ("listen: {port: 1}\nstore: {type: memory}\n", "listen.port"),
        ("listen: {port: 0, host: localhost}\nstore: {type: memory}\n", "listen.host"),
        (
            "listen: {port: 0, max_connections: 5}\nstore: {type: memory}\n",
            "listen.max_connections",
        ),
        ("listen: {port: 0}\n", "store.type"),
    ],
)
async def test_what_cannot_change_while_running_is_refused_with_the_rest(
    beginning: str, issue: str, tmp_path: Path
) -> None:
    async with answering() as upstream:
        api = keyed(upstream.origin, name="a")
        async with changing(tmp_path, api) as proxy:
            told = await proxy.change(f"{api}\n" + keyed(upstream.origin, name="b"), beginning)
            assert told == ConfigRefused((f"{issue}: restart sidekey to change it",))
            assert await proxy.status("GET /b/x") == 404


async def test_a_port_of_its_own_is_opened_at_the_start_only(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        changing(tmp_path, keyed(upstream.origin, name="a")) as proxy,
    ):
        told = await proxy.change(keyed(upstream.origin, name="a", more="port: 1"))
        assert told == ConfigRefused(("upstreams.a.port: restart sidekey to change it",))


async def test_keys_of_clients_change_at_once(tmp_path: Path) -> None:
    def clients(key: str) -> str:
        return f"{BEGINNING}clients: {{keys: {key}}}\n"

    async with answering() as upstream:
        api = keyed(upstream.origin, name="a")
        old, new = "made-up-client-key-1", "made-up-client-key-2"
        async with changing(tmp_path, api, beginning=clients(old)) as proxy:
            assert await proxy.status("GET /a/x", f"Authorization: Bearer {old}") == 200
            assert await proxy.change(api, clients(new)) == ConfigReloaded((), (), ())
            assert await proxy.status("GET /a/x", f"Authorization: Bearer {old}") == 401
            assert await proxy.status("GET /a/x", f"Authorization: Bearer {new}") == 200


def from_file(origin: str, file: str) -> str:
    return f"a: {{base_url: {origin}, provider: {{type: api_key, keys: '${{file:{file}}}'}}}}"


def secret(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


async def test_a_secret_that_is_written_anew_is_read_again(tmp_path: Path) -> None:
    file = secret(tmp_path / "key", "first-key")
    async with (
        answering() as upstream,
        changing(tmp_path, from_file(upstream.origin, "key")) as proxy,
    ):
        assert await proxy.status("GET /a/x") == 200
        file.write_text("second-key")
        assert await proxy.told() == ConfigReloaded(("a",), (), ())
        assert await proxy.status("GET /a/x") == 200
        file.chmod(0o644)
        assert isinstance(await proxy.told(), ConfigRefused)
        file.chmod(0o600)
        assert await proxy.told() == ConfigReloaded((), (), ())
        file.unlink()
        assert isinstance(await proxy.told(), ConfigRefused)
        secret(file, "third-key")
        assert await proxy.told() == ConfigReloaded(("a",), (), ())
        assert await proxy.status("GET /a/x") == 200
    sent = [request.field("Authorization") for request in upstream.requests]
    assert sent == [["Bearer first-key"], ["Bearer second-key"], ["Bearer third-key"]]


async def test_a_volume_that_kubernetes_swaps_is_read_again(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    secret(volume / "..1" / "key", "first-key")
    secret(volume / "..2" / "key", "second-key")
    (volume / "..data").symlink_to("..1")
    (volume / "key").symlink_to("..data/key")
    async with (
        answering() as upstream,
        changing(tmp_path, from_file(upstream.origin, "volume/key")) as proxy,
    ):
        (volume / "..data_tmp").symlink_to("..2")
        (volume / "..data_tmp").replace(volume / "..data")
        assert await proxy.told() == ConfigReloaded(("a",), (), ())
        assert await proxy.status("GET /a/x") == 200
    assert upstream.last.field("Authorization") == ["Bearer second-key"]


async def test_a_file_that_a_refused_configuration_misses_is_waited_for(tmp_path: Path) -> None:
    secret(tmp_path / "old", "first-key")
    async with (
        answering() as upstream,
        changing(tmp_path, from_file(upstream.origin, "old")) as proxy,
    ):
        told = await proxy.change(from_file(upstream.origin, "new"))
        assert isinstance(told, ConfigRefused)
        secret(tmp_path / "new", "second-key")
        assert await proxy.told() == ConfigReloaded(("a",), (), ())


async def test_the_store_is_not_asked_about_an_upstream_that_keeps_nothing(tmp_path: Path) -> None:
    """There may be no place for one: keys stand in the configuration."""
    async with answering() as upstream:
        both = keyed(upstream.origin, name="a") + "\n" + keyed(upstream.origin, name="b")
        store = FileStore(tmp_path / "state")
        async with changing(tmp_path, both, store=store) as proxy:
            told = await proxy.change(keyed(upstream.origin, name="a"))
            assert told == ConfigReloaded((), (), ("b",))
            assert await proxy.status("GET /a/x") == 200
    assert not (tmp_path / "state").exists()


async def test_the_token_of_an_upstream_that_is_gone_leaves_the_store(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "state")
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        changing(tmp_path, two_tokens(upstream.origin), store=store) as proxy,
    ):
        assert await proxy.status("GET /a/x") == await proxy.status("GET /b/x") == 200
        assert store.version("b") is not None
        await proxy.change(keyed(upstream.origin, name="a"))
        await until(lambda: proxy.proxy.told(TokenDropped))
        assert store.version("b") is None
        assert [event.upstream for event in proxy.proxy.told(TokenDropped)] == ["b"]
        assert len(to_the_api(upstream.requests)) == 2
