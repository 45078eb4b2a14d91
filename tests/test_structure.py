"""The shape of the house: who may import whom, how long a file may be, what must be documented."""

from __future__ import annotations

import ast
import dataclasses
import io
import itertools
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
import structlog
from case_list import CASES

from proxy import errors, events, refusals
from proxy.credentials.providers import AnyProvider
from proxy.credentials.redaction import Redaction
from proxy.errors import ConfigError, SidekeyError
from proxy.gateway.problems import problem
from proxy.observe.logs import configure, log_observer

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "proxy"
MODULES = sorted(PACKAGE.rglob("*.py"))
RUNGS = {  # the longest matching prefix counts
    "proxy": 1,
    "proxy.cli": 8,
    "proxy.__main__": 8,
    "proxy.app": 7,
    "proxy.face": 7,
    "proxy.listeners": 7,
    "proxy.reload": 7,
    "proxy.tending": 7,
    "proxy.upstreams": 7,
    "proxy.workers": 7,
    "proxy.gateway": 6,
    "proxy.observe": 6,
    "proxy.sandbox": 6,
    "proxy.credentials": 1,
    "proxy.credentials.source": 5,
    "proxy.sources": 5,
    "proxy.stores": 5,
    "proxy.credentials.renewal": 5,
    "proxy.credentials.lifetime": 5,
    "proxy.credentials.resources": 5,
    "proxy.credentials.shelf": 5,
    "proxy.credentials.login": 5,
    "proxy.credentials.exchange": 4,
    "proxy.credentials.identity": 4,
    "proxy.credentials.stores": 4,
    "proxy.config": 4,
    "proxy.background": 4,
    "proxy.clock": 4,
    "proxy.hardening": 4,
    "proxy.mistakes": 4,
    "proxy.connections": 4,
    "proxy.credentials.providers": 3,
    "proxy.injection": 3,
    "proxy.credentials.token": 2,
    "proxy.credentials.entry": 2,
    "proxy.credentials.attempts": 2,
    "proxy.credentials.schedule": 1,
    "proxy.credentials.backoff": 1,
    "proxy.gateway.target": 2,
    "proxy.gateway.fields": 2,
    "proxy.gateway.echo": 2,
    "proxy.gateway.location": 2,
    "proxy.gateway.cookies": 2,
    "proxy.events": 2,
    "proxy.pathglob": 1,
    "proxy.placeholders": 1,
    "proxy.notation": 1,
    "proxy.errors": 1,
    "proxy.refusals": 1,
    "proxy.credentials.secret": 1,
}
ERRORS = [
    value
    for module in (errors, refusals)
    for value in vars(module).values()
    if isinstance(value, type) and value.__module__ == module.__name__
]
IMPURE = {
    "aiohttp",
    "asyncio",
    "logging",
    "os",
    "random",
    "socket",
    "structlog",
    "threading",
    "time",
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def rung(module: str) -> int:
    known = [prefix for prefix in RUNGS if module == prefix or module.startswith(f"{prefix}.")]
    return RUNGS[max(known, key=len)]


def imports(path: Path) -> Iterator[str]:
    """Every imported module, also inside functions; `from proxy import x` counts as `proxy.x`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if is_module(name) else str(node.module) for name in names)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_down_the_ladder_only(path: Path) -> None:
    module = module_name(path)
    climbing = [
        name for name in imports(path) if name.startswith("proxy") and rung(name) > rung(module)
    ]
    assert not climbing, f"{module} (rung {rung(module)}) imports {climbing}"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if rung(module_name(path)) <= 3], ids=module_name
)
def test_providers_injectors_target_and_fields_are_pure(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & IMPURE


def test_only_the_demo_command_knows_the_sandbox() -> None:
    knowing = {
        module_name(path)
        for path in MODULES
        if any(name.startswith("proxy.sandbox") for name in imports(path))
    }
    assert {name for name in knowing if not name.startswith("proxy.sandbox")} == {"proxy.cli.demo"}


def test_only_one_module_looks_for_near_names() -> None:
    looking = {module_name(path) for path in MODULES if "difflib" in imports(path)}
    assert looking == {"proxy.nearest"}


def test_no_file_is_over_400_lines() -> None:
    long = {module_name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert not {name: lines for name, lines in long.items() if lines > 400}


def test_secrets_are_revealed_only_where_they_leave_for_the_wire_or_the_store() -> None:
    """`sidekey token` prints one, because it was asked to; `proxy.cli.local` shows who calls.

    `proxy.observe.pages` has a token that opens nothing but the proxy's own pages.
    `proxy.cli.variables` tells a client its phantom key, and `proxy.cli.places` is where the
    answers to `sidekey init` go.
    """
    revealing = {module_name(path) for path in MODULES if ".reveal()" in path.read_text()}
    allowed = (
        "proxy.credentials.",
        "proxy.injection",
        "proxy.cli.token",
        "proxy.cli.local",
        "proxy.observe.pages",
        "proxy.cli.variables",
        "proxy.cli.places",
        "proxy.sandbox",
    )
    assert all(name.startswith(allowed) for name in revealing), revealing


@pytest.mark.parametrize(
    "kind", [cls.model_fields["type"].annotation for cls in get_args(get_args(AnyProvider)[0])]
)
def test_every_provider_is_in_the_example_and_in_the_readme(kind: object) -> None:
    name = get_args(kind)[0]
    assert f"type: {name}" in (ROOT / "config.example.yaml").read_text()
    assert f"`{name}`" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_stands_in_the_picture_of_the_module(error: type) -> None:
    assert issubclass(error, SidekeyError)
    name = error.__name__
    assert name == "ContentTypeNotInjectable" or re.search(rf"\b{name}\b", errors.__doc__ or "")


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_a_problem_with_a_slug_and_a_status(error: type[SidekeyError]) -> None:
    if error is ConfigError:
        return  # ends in exit code 2, before there is anybody to answer
    answer = problem(error("why", upstream="api"), "0123")
    assert isinstance(answer.body, bytes)
    members = json.loads(answer.body)
    assert members["type"] == f"/_sidekey/problems/{answer.headers['Sidekey-Error']}"
    assert (members["status"], members["detail"]) == (answer.status, "why")
    assert 400 <= answer.status <= 599
    assert "{" not in members.get("fix", "")


@pytest.mark.parametrize(
    "event",
    [
        value
        for value in vars(events).values()
        if isinstance(value, type) and issubclass(value, events.Event) and value is not events.Event
    ],
)
def test_every_event_is_logged_under_its_own_name(
    event: type[events.Event], log: io.StringIO
) -> None:
    facts = {field.name: sample(str(field.type)) for field in dataclasses.fields(event)}
    log_observer()(event(**facts))
    line = json.loads(log.getvalue())
    assert line["event"] == re.sub(r"(?<=.)([A-Z])", r".\1", event.__name__).lower()
    assert facts.keys() <= line.keys()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure(stream, redaction=Redaction())
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def sample(kind: str) -> object:
    """A value of the type that an event's field has, and that says something."""
    samples = {"int": 7, "float": 7.5, "bool": True, "tuple[str, ...]": ("a",)}
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return samples.get(kind, moment if kind.startswith("datetime") else "said")


def test_each_surprise_of_real_upstreams_is_named_by_a_test() -> None:
    """22 things that upstreams do and adapters stumble over; the list is in ARCHITECTURE.md."""
    named: set[int] = set()
    tests = (ROOT / "tests").rglob("test_*.py")
    for words in itertools.chain.from_iterable(map(named_by_tests, tests)):
        for found in re.findall(r"[Ss]urprises?[ _](\d+(?:(?:, | and |_and_)\d+)*)", words):
            named |= {int(number) for number in re.findall(r"\d+", found)}
    assert named >= set(range(1, 23)), sorted(set(range(1, 23)) - named)


def named_by_tests(path: Path) -> Iterator[str]:
    """The name and the text of every test, no comment and no other function."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, functions) and node.name.startswith("test_"):
            yield f"{node.name} {ast.get_docstring(node) or ''}"


def test_what_the_security_page_promises_is_shown_by_tests_that_exist() -> None:
    """Every line of its first table names cases, or files of tests."""
    page = (ROOT / "SECURITY.md").read_text().partition("## What is changed")[0]
    names = {path.name for path in (ROOT / "tests").rglob("*")}
    rows = [line for line in page.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 15
    for row in rows:
        shown = row.rsplit("|", 2)[1]
        ids = set(re.findall(r"\b[BPFXRTSKWDO]\d\d\b", shown))
        files = {name.rpartition("/")[2] for name in re.findall(r"`([\w./]+)`", shown)}
        assert ids | files, row
        assert ids <= CASES.keys(), row
        assert files <= names, row
