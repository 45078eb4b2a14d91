"""Faithful fake upstreams, for `sidekey demo` and for the tests.

Nothing in `proxy/` outside this package and the demo command knows them.
"""
