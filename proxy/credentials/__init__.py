"""How a token is had and kept."""
