"""What loads a configuration in the tests of what it may hold."""

from config_fixtures import issues, load_text, password, wrong_password

__all__ = ["issues", "load_text", "password", "wrong_password"]
