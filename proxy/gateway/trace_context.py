"""W3C Trace Context: to which trace of the client's a request belongs. Pure."""

from __future__ import annotations

import re

from multidict import CIMultiDictProxy

TRACE_FIELD = "traceparent"
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


def trace_of(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the `traceparent` of a request, `None` if there is none or it is malformed."""
    fields = headers.getall(TRACE_FIELD, [])
    return fields[0] if len(fields) == 1 and _TRACEPARENT.fullmatch(fields[0]) else None
