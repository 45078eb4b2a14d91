"""The harness of the hostile cases, and what loads a hostile configuration."""

from config_fixtures import issues, load_text, password, wrong_password
from hostile_fixtures import attack, hostile, transport
from lane_fixtures import count

__all__ = [
    "attack",
    "count",
    "hostile",
    "issues",
    "load_text",
    "password",
    "transport",
    "wrong_password",
]
