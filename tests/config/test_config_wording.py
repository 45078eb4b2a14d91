"""Whatever pydantic finds is told in our words: every key of every section with odd values."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from proxy.config.issues import KeyPath
from proxy.config.models import Settings
from proxy.config.shapes import key_of, shapes
from proxy.config.slips import value_at
from proxy.config.wording import issues_of

EVERY_SECTION = """
listen: {timeouts: {}}
clients: {header: {value: a-made-up-client-key}}
store: {}
upstreams: {a: {base_url: https://a.example, provider: {type: miauth}}}
---
upstreams:
  a:
    base_url: https://a.example
    provider: {type: api_key, keys: [k]}
    inject: [{in: header, name: k}, {in: query, name: k}, {in: cookie, name: k}]
    reject_on: [{status: 401}]
    allow: [{methods: [GET]}]
    local_answers: [{paths: [/x], json: {}}]
    timeouts: {}
    limits: {}
---
upstreams:
  a:
    base_url: https://a.example
    provider: {type: jquants, refresh_token: k}
    inject: [{in: body, name: k}, {in: path}]
---
upstreams:
  a:
    base_url: https://a.example
    provider:
      type: oauth2_client_credentials
      token_url: https://a.example
      client_id: k
      client_secret: k
---
upstreams:
  a:
    base_url: https://a.example
    provider:
      type: token_endpoint
      request: {url: https://a.example, auth: {basic: [a, b]}}
      response: {}
      success: {}
---
upstreams: {a: {base_url: https://a.example, provider: {type: misskey_app, app_secret: k}}}
"""
ODD: list[Any] = [
    *(None, True, 5, -1, 0, 10**30, 1.5, float("nan"), float("inf")),
    *("", "x", "5", "9" * 5000, "\0", "\ud800"),
    *([], [None], [5], ["x"], [[]], ["x", "x", "x"]),
    *({}, {"x": 1}, {"x": None}, {"x": ["\ud800"]}),
]
PYDANTICS = re.compile(
    "(?i)input|boolean|dictionary|integer|string|tuple|instance|attribute|required|permitted"
    "|greater|less than|at least 1 |error|unable|valid"
)
OURS = {"is required"}


def wrong(settings: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Yield what pydantic calls each thing that is wrong, and what is said of it."""
    try:
        Settings.model_validate(settings)
    except ValidationError as error:
        kinds = " ".join(sorted({entry["type"] for entry in error.errors(include_url=False)}))
        for issue in issues_of(error, settings, Settings):
            yield kinds, issue.text


@pytest.fixture(scope="module")
def texts() -> set[tuple[str, str]]:
    """Return what is said of the odd values."""
    return {
        said
        for whole in yaml.safe_load_all(EVERY_SECTION)
        for place, kind in list(shapes(whole, Settings))
        if issubclass(kind, BaseModel)
        for changed in with_odd_values(whole, place, kind)
        for said in wrong(changed)
    }


def with_odd_values(
    whole: dict[str, object], place: KeyPath, kind: type[BaseModel]
) -> Iterator[dict[str, object]]:
    """Yield the settings with each odd value at each key of the section at `place`."""
    for name in kind.model_fields:
        for odd in ODD:
            changed = copy.deepcopy(whole)
            section = value_at(changed, place)
            assert isinstance(section, dict)
            section[key_of(kind, name)] = odd
            yield changed


def test_no_text_is_pydantics(texts):
    assert [text for _, text in texts if PYDANTICS.search(text) and text not in OURS] == []


def test_the_odd_values_provoke_whatever_may_be_wrong(texts):
    kinds = {kind for kinds, _ in texts for kind in kinds.split()}
    assert len(kinds) > 20
    assert kinds >= {"bool_parsing", "bool_type", "greater_than", "int_parsing_size", "too_long"}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("listen: {browser_navigation: maybe}", "expected true or false"),
        ("listen: {front_proxy: 5}", "expected true or false"),
        ("listen: {front_proxy: [true]}", "expected true or false"),
        (
            f"upstreams: {{a: {{limits: {{content: '{'9' * 5000}'}}}}}}",
            "expected a size such as 64KiB, 10MB or 65536",
        ),
        (
            f"upstreams: {{a: {{limits: {{rate: {'9' * 5000}/s}}}}}}",
            "expected a rate such as 10/s, 120/m or 1000/h",
        ),
        (
            "upstreams: {a: {preset: misskey, inject: {in: body, name: i, max_size: 0}}}",
            "must be more than 0",
        ),
    ],
)
def test_what_pydantic_calls_otherwise_is_told_in_plain_words(section, said, issues):
    assert any(line.endswith(f": {said}") for line in issues(section))
