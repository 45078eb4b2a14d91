"""The harness of the hostile cases, and what loads a hostile configuration."""

from config_fixtures import issues, load_text, password, wrong_password
from hostile_fixtures import attack, hostile, transport

__all__ = [
    "attack",
    "hostile",
    "issues",
    "load_text",
    "password",
    "transport",
    "wrong_password",
]
