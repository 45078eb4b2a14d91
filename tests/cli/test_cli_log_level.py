"""`SIDEKEY_LOG_LEVEL`, as a process sees it."""

from __future__ import annotations

from command_line import Home

CONFIG = """\
listen: {port: 0}
store: {type: memory}
upstreams:
  api: {base_url: "http://127.0.0.1:9", provider: {type: api_key, keys: "${KEY}"}}
"""


async def test_debug_shows_what_asyncio_says_at_that_level(home: Home) -> None:
    home.environ |= {"KEY": "canary-of-this-test", "SIDEKEY_LOG_LEVEL": "debug"}
    home.configure(CONFIG)
    async with home.serving() as proxy:
        await proxy.err.shows("Using selector: ")
        said = (await proxy.stopped()).said
    assert '"level": "debug"' in said
    assert "canary-of-this-test" not in said


async def test_a_level_that_there_is_not_ends_with_exit_code_2(home: Home) -> None:
    home.environ |= {"KEY": "canary-of-this-test", "SIDEKEY_LOG_LEVEL": "chatty"}
    home.configure(CONFIG)
    ended = await home.run("run")
    assert ended.code == 2
    assert ended.said == "SIDEKEY_LOG_LEVEL: expected one of debug, info, warning, error\n"
