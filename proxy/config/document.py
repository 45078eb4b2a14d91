"""YAML text -> plain values with the position of each key. Nothing here knows what keys mean.

YAML is held short on purpose: only mappings, lists and scalars, text as keys, few aliases. The
limits stop alias bombs and deep nesting before PyYAML, which recurses in C, meets them.
No message repeats a value: an unquoted password may look like an alias, a tag or an anchor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from proxy.config.issues import Issue, KeyPath, Position

MAX_BYTES = 1024 * 1024
MAX_NODES = 10_000
MAX_DEPTH = 32
MAX_ALIASES = 64
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_QUOTED = re.compile(r"'([^']*)'")
_TAG = "tag:yaml.org,2002:"
_SCALARS = yaml.constructor.SafeConstructor()
_CONSTRUCTORS: dict[str, Callable[[yaml.ScalarNode], object]] = {
    _TAG + "str": lambda node: node.value,
    _TAG + "timestamp": lambda node: node.value,  # a date is text here; no key holds a date
    _TAG + "value": lambda node: node.value,
    _TAG + "null": _SCALARS.construct_yaml_null,
    _TAG + "bool": _SCALARS.construct_yaml_bool,
    _TAG + "int": _SCALARS.construct_yaml_int,
    _TAG + "float": _SCALARS.construct_yaml_float,
}


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a file; `value` is `None` where nothing could be read."""

    value: dict[str, object] | None
    positions: Mapping[KeyPath, Position] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()


class _Unreadable(Exception):
    """Reading has to stop here."""

    def __init__(self, text: str, position: Position) -> None:
        super().__init__(text)
        self.issue = Issue((), text, position)


def parse(content: bytes) -> Document:
    """Read one YAML document; what is wrong stands in `issues`, nothing is raised."""
    try:
        text = _decode(content)
        _scan(text)
        root = yaml.compose(text, Loader=_LOADER)
        if not isinstance(root, yaml.MappingNode):
            raise _Unreadable("expected keys such as `upstreams:` at the top", Position(1, 1))
        builder = _Builder()
        value = builder.build(root, ())
    except _Unreadable as unreadable:
        return Document(None, issues=(unreadable.issue,))
    except yaml.MarkedYAMLError as error:
        return Document(None, issues=(_syntax_issue(error, text),))
    if not isinstance(value, dict):
        return Document(None, builder.positions, tuple(builder.issues))
    return Document(value, builder.positions, tuple(builder.issues))


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _Unreadable("the file is larger than 1 MiB", Position(1, 1))
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        read = content[: error.start].decode()
        raise _Unreadable("the file is not UTF-8 here", _position_after(read)) from None
    if text.startswith("\ufeff"):
        raise _Unreadable(
            "the file begins with a byte order mark: save it as UTF-8 without BOM", Position(1, 1)
        )
    found = _UNPRINTABLE.search(text)
    if found is not None:
        position = _position_after(text[: found.start()])
        raise _Unreadable("a control character stands here", position)
    return text


def _position_after(text: str) -> Position:
    return Position(text.count("\n") + 1, len(text) - text.rfind("\n"))


def _at(mark: Any) -> Position:
    """Return the position of a mark; that of the C parser has a class of its own."""
    return Position(1, 1) if mark is None else Position(mark.line + 1, mark.column + 1)


def _scan(text: str) -> None:
    """Refuse what is too large, too deep or no single document, without building anything."""
    depth = documents = aliases = 0
    anchors: set[str] = set()
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        position = _at(event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if event.anchor not in anchors:
                raise _Unreadable(
                    "a value that starts with * is an alias of an anchor that is not there:"
                    " put it in quotes if it is text",
                    position,
                )
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            anchors.add(event.anchor)
        if documents > 1:
            raise _Unreadable("a second document begins here: only one is read", position)
        if depth > MAX_DEPTH:
            raise _Unreadable(TOO_DEEP, position)
        if aliases > MAX_ALIASES:
            raise _Unreadable(f"more than {MAX_ALIASES} aliases", position)
        if count > 2 * MAX_NODES:
            raise _Unreadable(f"more than {MAX_NODES} values", position)
    if not documents:
        raise _Unreadable("the file is empty", Position(1, 1))


def _syntax_issue(error: yaml.MarkedYAMLError, text: str) -> Issue:
    mark = error.problem_mark or error.context_mark
    problem = _QUOTED.sub(_unless_value, error.problem or "this is no YAML")
    if "maximum nesting depth" in problem:  # PyYAML 6.0.4 reads ahead and has a limit of its own
        problem = TOO_DEEP
    if "cannot start any token" in problem:
        is_tab = mark is not None and text[mark.index : mark.index + 1] == "\t"
        problem = (
            "a tab stands here: YAML is indented with spaces"
            if is_tab
            else "a value cannot start with this character: put the value in quotes"
        )
    return Issue((), problem, _at(mark))


def _unless_value(quoted: re.Match[str]) -> str:
    """Return what PyYAML quotes if it is punctuation or `<block end>`, not if it is a name."""
    return quoted[0] if len(quoted[1]) == 1 or quoted[1].startswith("<") else "it"


class _Builder:
    """Turns nodes into values, noting positions and what is wrong on the way."""

    def __init__(self) -> None:
        self.positions: dict[KeyPath, Position] = {}
        self.issues: list[Issue] = []
        self._count = 0

    def build(self, node: yaml.Node, path: KeyPath) -> object:
        self._count += 1
        position = _at(node.start_mark)
        self.positions.setdefault(path, position)
        if self._count > MAX_NODES:
            raise _Unreadable(f"more than {MAX_NODES} values, aliases included", position)
        if len(path) > MAX_DEPTH:
            raise _Unreadable(TOO_DEEP, position)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _CONSTRUCTORS:
            return self._scalar(node, path)
        self.issues.append(
            Issue(path, "a tag (!) is not allowed: put the value in quotes if it is text", position)
        )
        return None

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> object:
        try:
            return _CONSTRUCTORS[node.tag](node)
        except (ValueError, KeyError, IndexError):  # such as `!!int x`, `0b_`, 5,000 digits
            self.issues.append(Issue(path, "expected a number or text", _at(node.start_mark)))
            return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        mapping: dict[str, object] = {}
        for key_node, value_node in node.value:
            key, position = self._key(key_node, path), _at(key_node.start_mark)
            if key is None:
                continue
            if key in mapping:
                first = self.positions[(*path, key)].line
                text = f"duplicate key, first written in line {first}"
                self.issues.append(Issue((*path, key), text, position))
                continue
            self.positions[(*path, key)] = position
            mapping[key] = self.build(value_node, (*path, key))
        return mapping

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "str":
            return str(node.value)
        text = "a key must be text: put it in quotes"
        if node.tag == _TAG + "merge":
            text = "merge keys (<<) are not read: write the keys out"
        self.issues.append(Issue(path, text, _at(node.start_mark)))
        return None
