"""Measurements of what sidekey costs; each module is a command, see README.md."""
