"""`${VAR}` and its relatives in the values of a configuration.

Only text values are read, after parsing and never in keys, so that what a variable holds can
neither become YAML nor another reference. No message repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.config.issues import CONTROL, Issue, KeyPath
from proxy.config.literals import refers_to_secret
from proxy.config.references import Unresolved, file, keyring, program
from proxy.config.trust import check_programs
from proxy.config.versions import Versions, version_at
from proxy.credentials.secret import Secret

_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<inner>[^}]*)(?P<end>\}?))", re.DOTALL)
_UNBRACED = re.compile(r"\$[A-Za-z_]\w*")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?", re.DOTALL)
_COPY = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::\?[^}]*)?\}")
_PLACEHOLDER = re.compile(r"\{\w+\}")  # such as {refresh_token}, which a provider fills in
_FORMS = (
    "${VAR}, ${VAR:-default}, ${VAR:?message}, ${file:/path}, ${credential:name},"
    " ${keyring:service/user}, ${exec:program arguments}"
)


@dataclass(slots=True)
class Expansion:
    """Replaces references, and notes what was read on the way.

    `literals` are the places of texts that stand for themselves, `unbraced` those among them that
    were probably meant for references, `references` the printable references by their place,
    `exposed` the files that others can read, by the place of the reference, `variables` the
    environment variables, `copies` those whose value is a whole text, by its place, and `files` the
    versions of the files, `None` for one that is not there. `hidden` is what came from a place that
    keeps secrets, or from a variable that is named like one, wherever it went, be it a base URL.
    Relative paths start at the folder of `config`, the file that is read. Unless `is_trusted`, it
    may run no programs.
    """

    environ: Mapping[str, str]
    config: Path
    is_trusted: bool = True
    literals: set[KeyPath] = field(default_factory=set)
    unbraced: set[KeyPath] = field(default_factory=set)
    references: dict[KeyPath, str] = field(default_factory=dict)
    exposed: dict[KeyPath, Path] = field(default_factory=dict)
    variables: set[str] = field(default_factory=set)
    copies: dict[KeyPath, str] = field(default_factory=dict)
    hidden: set[Secret] = field(default_factory=set)
    files: Versions = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    _printed: dict[str, str | Unresolved] = field(default_factory=dict)

    def expand(self, value: object, path: KeyPath = ()) -> object:
        """Return `value` with every reference replaced; what cannot be becomes an empty text."""
        if isinstance(value, dict):
            return {key: self.expand(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.expand(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        if "${" not in value.replace("$$", "") and not _PLACEHOLDER.fullmatch(value):
            self.literals.add(path)
        if _UNBRACED.fullmatch(value):
            self.unbraced.add(path)
        if references := references_in(value):
            self.references[path] = references
        if copy := _COPY.fullmatch(value):
            self.copies[path] = copy[1]
        return _REFERENCE.sub(lambda found: self._replaced(found, path), value)

    def _replaced(self, found: re.Match[str], path: KeyPath) -> str:
        if found["dollar"]:
            return "$"
        try:
            if not found["end"]:
                raise Unresolved("'${' without '}': write $${ for these characters themselves")
            return self._noted(self._resolved(found["inner"], path), found["inner"])
        except Unresolved as unresolved:
            issue = Issue(path, str(unresolved))
            if self.issues[-1:] != [issue]:  # `${X}${X}` is told once
                self.issues.append(issue)
            return ""

    def _noted(self, value: str, inner: str) -> str:
        kind, separator, _ = inner.partition(":")
        if value and refers_to_secret(kind, is_place=bool(separator)):
            self.hidden.add(Secret(value))
        return value

    def _resolved(self, inner: str, path: KeyPath) -> str:
        kind, separator, rest = inner.partition(":")
        if kind == "exec" and separator and not self.is_trusted:
            check_programs(self.config)
        if separator:
            match kind:
                case "file":
                    return self._file(self.config.parent / rest, path)
                case "credential":
                    return self._credential(rest, path)
                case "keyring":
                    return keyring.password(rest)
                case "exec":
                    return self._output(rest)
        return self._variable(inner)

    def _variable(self, inner: str) -> str:
        variable = _VARIABLE.fullmatch(inner)
        if variable is None:
            raise Unresolved(f"unknown kind of reference: write {_FORMS}, or $$ for a dollar sign")
        name, operator, rest = variable.groups()
        self.variables.add(name)
        value = self.environ.get(name)
        if operator == ":-":
            return value or rest
        if operator == ":?" and not value:
            raise Unresolved(f"the environment variable {name} is not set: {rest}")
        if value is None:
            raise Unresolved(f"the environment variable {name} is not set")
        return value

    def _file(self, file_path: Path, path: KeyPath) -> str:
        self.files[file_path] = version_at(file_path)  # before it is read: no change is missed
        opened = file.read(file_path, self.environ)
        if opened.exposed:
            self.exposed[path] = file_path
        return opened.text

    def _credential(self, name: str, path: KeyPath) -> str:
        places = file.credential_places(name, self.environ)
        for place in places:
            self.files[place] = version_at(place)
            if self.files[place] is not None:
                return self._file(place, path)
        looked = " and ".join(str(place) for place in places)
        raise Unresolved(f"no such credential; looked at {looked}")

    def _output(self, command: str) -> str:
        """Return what a command prints; the same one runs once, since it may cost a touch."""
        if command not in self._printed:
            try:
                self._printed[command] = program.run(command, self.environ, self.config.parent)
            except Unresolved as unresolved:
                self._printed[command] = unresolved
        printed = self._printed[command]
        if isinstance(printed, Unresolved):
            raise printed
        return printed


def unbraced_issue(path: KeyPath) -> Issue:
    """Return what is said of `$VAR`; without the name, since a password may begin with `$` too."""
    return Issue(path, "$VAR is no reference (did you mean ${VAR}?); write $$ for a dollar sign")


def references_in(text: str) -> str:
    """Return the references of a text as written, but for what may be secret in one.

    That is a default, and the arguments of a program. Empty if there is no reference.
    """
    found = _REFERENCE.finditer(text)
    return CONTROL.sub(" ", " ".join(_shown(one["inner"]) for one in found if not one["dollar"]))


def _shown(inner: str) -> str:
    kind, separator, rest = inner.partition(":")
    if separator and kind == "exec":
        rest = " ".join([*rest.split()[:1], *(["..."] if rest.split()[1:] else [])])
    elif rest.startswith("-"):
        rest = "-..."
    return f"${{{kind}{separator}{rest}}}"
