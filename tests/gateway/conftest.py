"""How many exchanges took the fast lane, and an authority that upstreams speak TLS with."""

from lane_fixtures import count
from tls_fixtures import trusted

__all__ = ["count", "trusted"]
