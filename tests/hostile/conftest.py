"""The harness of the hostile cases."""

from hostile_fixtures import attack, hostile, transport

__all__ = ["attack", "hostile", "transport"]
