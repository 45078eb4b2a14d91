"""Which programs may call: the shared header, and phantom keys in the place of the real key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from multidict import CIMultiDictProxy

from proxy.config import models
from proxy.credentials.secret import Secret
from proxy.errors import SidekeyError
from proxy.gateway.content import ClientContent, gathered
from proxy.injection import Body, Injector, OutgoingRequest, client_values, content_limit
from proxy.refusals import ClientHeaderRequired, ClientKeyRequired, TooManyRequests

PEEK = 64 * 1024  # bytes of multipart content within which a phantom key has to stand
ROOM = 16 * 2**20  # bytes of content that all strangers together may keep waiting


class Clients:
    """Compares what clients show with what the configuration asks for, in constant time."""

    def __init__(self, settings: models.Clients | None) -> None:
        self._taken = 0
        self.change(settings)

    def change(self, settings: models.Clients | None) -> None:
        """Ask for what `settings` say from now on."""
        self._header = settings.header if settings is not None else None
        self._keys = settings.keys if settings is not None else ()

    @property
    def header(self) -> str | None:
        """Name of the shared header: a secret of ours, that no upstream may see."""
        return self._header.name if self._header is not None else None

    def shown_by_header(self, headers: CIMultiDictProxy[str]) -> bool:
        """Tell whether the client may call; false if it sends no header.

        It may then show a phantom key yet, or open a page that everybody may see: `refusal` is for
        what it may not. Raises `ClientHeaderRequired` if the header is wrong or doubled.
        """
        if self._header is None:
            return not self._keys
        shown = headers.getall(self._header.name, [])
        if not shown:
            return False
        if len(shown) > 1:
            raise _header_required(self._header, "the request has more than one {name}")
        if Secret(shown[0]) != self._header.value:
            raise _header_required(self._header, "{name} has another value than clients.header")
        return True

    def has_key(self, values: Iterable[str]) -> bool:
        """Tell whether one of `values` is a phantom key, alone or after a scheme (`Bearer key`)."""
        found = False
        for value in values:
            bare = Secret(value.strip().rpartition(" ")[2])
            for key in self._keys:
                found |= bare == key  # every key is compared, so that time tells nothing
        return found

    def key_in_head(self, received: OutgoingRequest, rules: Sequence[Injector]) -> bool:
        """Tell whether a phantom key stands where a credential goes, or in `Authorization`."""
        if not self._keys:
            return False
        bearer = received.headers.getall("Authorization", [])
        return self.has_key([*client_values(received, rules), *bearer])

    def key_may_follow(self, received: OutgoingRequest, rules: Sequence[Injector]) -> bool:
        """Tell whether a phantom key may stand in the content."""
        return bool(self._keys) and any(
            isinstance(rule, Body) and rule.may_replace(received) for rule in rules
        )

    async def check_content(
        self, received: OutgoingRequest, rules: Sequence[Injector], content: ClientContent
    ) -> OutgoingRequest:
        """Return the request, with the content that was read to find a phantom key in it.

        Raises `ClientKeyRequired` if there is none, and `TooManyRequests` where strangers fill the
        memory that there is for them. Nothing has gone to the upstream before.
        """
        limit = content_limit(received, rules)
        with self._room(min(content.length or limit or PEEK, limit or PEEK)):
            if limit is not None:
                received = await gathered(received, rules, content)
                if self.has_key(client_values(received, rules)):
                    return received
                raise self.refusal()
            async for beginning in content.beginnings(PEEK):
                if self.has_key(client_values(replace(received, content=beginning), rules)):
                    return received
            raise self.refusal()

    @contextmanager
    def _room(self, size: int) -> Iterator[None]:
        """Take `size` bytes of the memory for content of strangers while the block runs."""
        if self._taken + size > ROOM:
            raise TooManyRequests(
                "too much content is waiting that nobody has shown a key for", retry_after=1.0
            )
        self._taken += size
        try:
            yield
        finally:
            self._taken -= size

    def refusal(self) -> SidekeyError:
        """Return the error for a client that has shown nothing."""
        if self._header is None or self._keys:
            return ClientKeyRequired("clients have to show one of their keys")
        return _header_required(self._header, "clients have to show {name}: the request has none")


def _header_required(header: models.ClientHeader, why: str) -> ClientHeaderRequired:
    return ClientHeaderRequired(why.format(name=header.name), header=header.name)
