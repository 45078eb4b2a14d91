"""What every injector has. Pure."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from proxy.credentials.secret import Secret
from proxy.errors import CredentialError
from proxy.injection.request import OutgoingRequest
from proxy.notation import Frozen
from proxy.pathglob import PathGlob, matches

PLACEHOLDER = "{token}"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PLACEHOLDERS = re.compile(r"\{\w+\}")
_TOKEN_TEXT = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check_text(value: str) -> str:
    """Return `value`, or raise `ValueError` if it holds control characters."""
    if _CONTROL.search(value):
        raise ValueError("control characters, such as line breaks, cannot be sent")
    return value


def check_format(value: str) -> str:
    """Return `value`, or raise `ValueError` if it has another placeholder than `{token}`."""
    if set(_PLACEHOLDERS.findall(value)) - {PLACEHOLDER}:
        raise ValueError("the only placeholder is {token}")
    return check_text(value)


def check_name(value: str) -> str:
    """Return the name of a parameter or member, or raise `ValueError` if nothing can bear it."""
    if not value or '"' in value:
        raise ValueError('expected a name, without " in it')
    return check_text(value)


def check_field_name(value: str) -> str:
    """Return the name of a field or cookie, or raise `ValueError` (RFC 9110 5.6.2, `token`)."""
    if not _TOKEN_TEXT.fullmatch(value):
        raise ValueError("expected a name of letters, digits and !#$%&'*+-.^_`|~")
    return value


Name = Annotated[str, AfterValidator(check_name)]
FieldName = Annotated[str, AfterValidator(check_field_name)]


class Injector(Frozen):
    """Puts the token, or a fixed value, into one place of the request; fields are YAML keys.

    `format` is sent with `{token}` replaced; without `{token}` it is a fixed value, which may be a
    secret of its own. `paths` are globs for the path at the upstream; none at all means every path.
    """

    format: Annotated[str, AfterValidator(check_format)] = Field(default=PLACEHOLDER, repr=False)
    """What is sent, with `{token}` replaced; without `{token}` it is a fixed value."""
    paths: tuple[PathGlob, ...] = ()
    """Globs on the path at the upstream, that of base_url included; every path, if absent."""

    @property
    def uses_token(self) -> bool:
        """Whether the token is part of what is injected."""
        return PLACEHOLDER in self.format

    def covers(self, request: OutgoingRequest) -> bool:
        """Tell whether the rule is meant for the path of `request`."""
        return not self.paths or matches(request.full_path, self.paths)

    def formatted(self, token: Secret | None) -> str:
        """Return the value to inject; raise `ValueError` if it takes a token and there is none."""
        if not self.uses_token:
            return self.format
        if token is None:
            raise ValueError("a rule with {token} needs a token")
        return self.format.replace(PLACEHOLDER, token.reveal())

    def fits(self, request: OutgoingRequest) -> bool:
        """Tell whether a request of this method has the place at all."""
        return True

    def strip(self, request: OutgoingRequest) -> OutgoingRequest:
        """Return `request` without what the client sent in the place."""
        return request

    def values(self, request: OutgoingRequest) -> list[str]:
        """Return what the client sent in the place, decoded, as far as it is at hand."""
        return []

    def apply(self, request: OutgoingRequest, value: str) -> OutgoingRequest:
        """Return the stripped `request` with the formatted `value` in the place."""
        raise NotImplementedError


def sendable(value: str, place: str, excluded: str = "") -> str:
    """Return `value`, or raise `CredentialError` if it would break out of its `place`."""
    if _CONTROL.search(value) or any(c in excluded for c in value):
        raise unsendable(place)
    return value


def unsendable(place: str) -> CredentialError:
    """Return the error for a credential that would break out of its `place`."""
    return CredentialError(
        f"the credential holds characters that no {place} can carry",
        fix="look for a line break or a stray character in the configured credential",
    )
