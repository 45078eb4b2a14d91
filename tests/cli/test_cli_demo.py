"""`sidekey demo`: sandbox upstreams and a proxy, with nothing else needed."""

from __future__ import annotations

import json
import signal

from command_line import Home

from proxy.sandbox.demonstration import SAMPLES


async def test_demo_once_shows_every_upstream_right(home: Home) -> None:
    ended = await home.run("demo", "--once")
    assert (ended.code, ended.err) == (0, "")
    rows = ended.out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [sample.upstream for sample in SAMPLES]
    assert all(row.endswith("right") for row in rows)
    assert not home.state.exists()


async def test_the_curl_lines_of_the_demo_work_in_bash_until_ctrl_c(home: Home) -> None:
    async with home.started("demo") as demo:
        await demo.out.shows("/kabu/.+\n")
        lines = [line for line in demo.out.text.splitlines() if line.startswith("curl ")]
        answers = await home.shell("\n".join(f"{line} -sS -w '\\n'" for line in lines))
        ended = await demo.stopped(signal.SIGINT)
    assert len(lines) == len(SAMPLES)
    assert answers.err == ""
    for answer, sample in zip(answers.out.splitlines(), SAMPLES, strict=True):
        assert sample.expects in json.dumps(json.loads(answer)), sample.upstream
    assert ended.code == 0
    assert "Traceback" not in ended.err
    for secret in ("demo-password", "demo-api-key", "demo-secondary-key", "demo-client-secret"):
        assert secret not in ended.said


async def test_two_demos_at_once_take_two_ports(home: Home) -> None:
    async with home.started("demo") as first, home.started("demo") as second:
        ports = {
            (await demo.out.shows(r"http://127\.0\.0\.1:(\d+)/jquants/"))[1]
            for demo in (first, second)
        }
    assert len(ports) == 2
