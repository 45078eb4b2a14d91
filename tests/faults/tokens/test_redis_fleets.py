"""Who shares what in Redis: keys, prefixes, access, and how long entries stay."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest
import trustme
from clocks import Clock
from command_line import Home
from redis_server import KEY, SKIP_WITHOUT_REDIS, RedisServer
from sources import Make
from token_server import TokenServer, token_server

from proxy.clock import utc_now
from proxy.config.store import Store
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores.redis import RedisStore
from proxy.credentials.token import Token
from proxy.errors import ConfigError, StoreError
from proxy.events import Event, TokenNotStored
from proxy.stores import open_store

pytestmark = [SKIP_WITHOUT_REDIS, pytest.mark.case("S15")]


async def test_nothing_in_the_server_can_be_read_without_the_key(
    make: Make, server: TokenServer, redis: RedisServer, store: RedisStore
) -> None:
    token = await make(server.provider(), store=store).token()
    await store.note(store.fingerprint("c"), await store.attempts(store.fingerprint("c")))
    await redis.command("SAVE")
    kept = b"".join(path.read_bytes() for path in redis.folder.glob("*.rdb"))
    assert b"sidekey" in kept
    for secret in (token.value, token.refresh_token, KEY):
        assert secret is not None
        assert secret.reveal().encode() not in kept


async def test_a_member_with_another_key_never_gets_the_fleets_token(
    make: Make, server: TokenServer, redis: RedisServer, store: RedisStore
) -> None:
    first = await make(server.provider(), store=store).token()
    stranger = RedisStore(Secret(redis.url), Secret("another-key-0123456789-0123456789"))
    async with aclosing(stranger):
        with pytest.raises(StoreError, match="another key") as caught:
            await make(server.provider(), store=stranger).token()
    assert "same store.key" in str(caught.value.fix)
    assert await make(server.provider(), store=store).token() == first
    assert server.calls == {"sign-in": 1}


async def test_a_member_with_another_key_replaces_nothing_of_the_fleets(
    make: Make, server: TokenServer, redis: RedisServer, store: RedisStore
) -> None:
    """It buys a token of its own where that is harmless, and says why it cannot keep it."""
    provider = server.provider(renews=False)
    first = await make(provider, store=store).token()
    events: list[Event] = []
    stranger = RedisStore(Secret(redis.url), Secret("another-key-0123456789-0123456789"))
    async with aclosing(stranger):
        assert await make(provider, store=stranger, events=events).token() != first
    [told] = [event for event in events if isinstance(event, TokenNotStored)]
    assert "another key" in told.detail
    assert await make(provider, store=store).token() == first


async def test_fleets_with_different_prefixes_share_nothing(
    make: Make, server: TokenServer, redis: RedisServer, store: RedisStore
) -> None:
    await make(server.provider(), store=store).token()
    other = RedisStore(Secret(redis.url), KEY, prefix="other")
    try:
        await make(server.provider(), store=other).token()
    finally:
        await other.aclose()
    assert server.calls == {"sign-in": 2}


async def test_entries_go_some_time_after_they_are_of_no_use(
    make: Make, server: TokenServer, clock: Clock, redis: RedisServer, store: RedisStore
) -> None:
    clock.time = utc_now()
    await make(server.provider(renews=False), name="bought", store=store).token()
    await make(server.provider(), name="renewed", store=store).token()
    bought = await redis.command("PTTL", "sidekey:entry:bought")
    renewed = await redis.command("PTTL", "sidekey:entry:renewed")
    assert 86_400_000 < bought <= 86_400_000 + 3_600_000
    assert renewed == -1, "nobody knows how long its refresh token lives"


async def test_tls_and_acls(redis: RedisServer, tmp_path: Path) -> None:
    authority, directory = trustme.CA(), tmp_path / "tls"
    directory.mkdir()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    port = redis.port
    rules = "on >canary-acl-password ~sidekey:* &sidekey:* +@all -@dangerous"
    await redis.start(
        *("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(directory / "server.pem")),
        *("--tls-key-file", str(directory / "server.pem")),
        *("--tls-ca-cert-file", str(directory / "ca.pem")),
        *("--user", "sidekey", *rules.split(), "--user", "default", "off"),
    )
    trusting = f"?ssl_ca_certs={directory / 'ca.pem'}"
    good = f"rediss://sidekey:canary-acl-password@127.0.0.1:{port}/0{trusting}"
    async with redis.store(good) as store:
        await store.save("api", store.fingerprint("mine"), Entry(Token(Secret("canary-t"))))
        assert await store.load("api", store.fingerprint("mine")) is not None
        async with store.lock(store.fingerprint("credential")):
            pass
    for bad in (
        good.replace("canary-acl-password", "canary-wrong-password"),
        good.replace(trusting, ""),
        good.replace("rediss://", "redis://").replace(trusting, ""),
    ):
        async with redis.store(bad) as store:
            with pytest.raises(StoreError) as caught:
                await store.load("api", store.fingerprint("mine"))
            assert "canary" not in f"{caught.value.detail} {caught.value.fix}"


@pytest.mark.parametrize("query", ["?ssl_ca_certs=/canary", "?canary=1", "?db=canary"])
def test_an_option_that_the_library_does_not_know_is_a_mistake_of_the_configuration(
    query: str,
) -> None:
    url = Secret(f"redis://127.0.0.1/{query}")
    with pytest.raises(ConfigError) as caught:
        open_store(Store(type="redis", url=url, key=KEY), {})
    assert caught.value.issues == ["store.url: an option in its query is unknown or wrong"]


async def test_logout_and_status_work_without_a_running_proxy(
    home: Home, redis: RedisServer
) -> None:
    await redis.start()
    store = "{type: redis, url: '${REDIS_URL}', key: '${STORE_KEY}'}"
    environ = {"REDIS_URL": redis.url, "STORE_KEY": KEY.reveal()}
    async with token_server() as server:
        home.configure(f"store: {store}\nupstreams:\n  {server.upstreams('r')}\n")
        token = await home.run("token", "r", **environ)
        keys = await redis.command("KEYS", "*")
        status = await home.run("status", **environ)
        forgotten = await home.run("logout", "r", **environ)
    assert (token.code, status.code, forgotten.code) == (0, 0, 0)
    assert keys == [b"sidekey:entry:r"]
    assert status.out.splitlines()[1].split()[:3] == ["r", "ready", "1"]
    assert "Traceback" not in token.err + status.err + forgotten.err
