"""A variable that is not set is told where it stands, and nothing is told of what follows."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_text()
VARIABLES = re.findall(r"\$\{(\w+)\}", re.sub("#.*", "", EXAMPLE))
UNSET = "the environment variable UNSET is not set"
SERVER = "base_url: https://misskey.example"
MISSPELT = "unknown key (did you mean 'token'?)"


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of every value, whether it holds others or not."""
    entries = enumerate(value) if isinstance(value, list) else dict(value).items()
    for key, item in entries:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def test_wherever_a_variable_is_not_set_that_alone_is_told(issues):
    whole = yaml.safe_load(EXAMPLE)
    environ = dict.fromkeys(VARIABLES, "k" * 32)
    found = list(places(whole))
    assert len(found) > 150
    for *parents, last in found:
        changed = copy.deepcopy(whole)
        parent = changed
        for part in parents:
            parent = parent[part]
        parent[last] = "${UNSET}"
        (issue,) = issues(json.dumps(changed), environ)
        assert issue.endswith(f"{last}: {UNSET}" if isinstance(last, str) else f"[{last}]: {UNSET}")


def test_the_example_tells_of_variables_only_while_none_is_set(issues):
    told = [line.partition(": the environment variable ")[2] for line in issues(EXAMPLE)]
    assert told == [f"{name} is not set" for name in VARIABLES]
    assert len(told) > 10


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ('{token: "${UNSET}"}', f"provider.token: {UNSET}"),
        ('{token: "${EMPTY}"}', "provider.token: must not be empty"),
        ("{token: }", "provider.token: expected text: put the value in quotes"),
        ("{}", "provider.token: is required"),
        ("{tokn: abc}", f"provider.tokn: {MISSPELT}"),
    ],
)
def test_the_key_that_a_preset_fills_in_is_not_blamed_for_what_was_written(issues, provider, told):
    text = f"upstreams: {{a: {{preset: misskey-token, {SERVER}, provider: {provider}}}}}"
    (line,) = issues(text, {"EMPTY": ""})
    assert line.partition(": upstreams.a.")[2] == told
