"""Whether the configuration that stands in the file is the one in use."""

from __future__ import annotations

from typing import Any

from proxy.events import ConfigRefused, ConfigReloaded, Event


class Reloads:
    """Remembers why the last change of the configuration was refused. An observer."""

    def __init__(self) -> None:
        self.refused: tuple[str, ...] | None = None

    def observe(self, event: Event) -> None:
        """Note what became of a reload."""
        if isinstance(event, ConfigRefused):
            self.refused = event.issues
        elif isinstance(event, ConfigReloaded):
            self.refused = None

    def members(self) -> dict[str, Any]:
        """Return what there is to tell, ready for JSON: nothing while all is well."""
        return {} if self.refused is None else {"refused": list(self.refused)}
