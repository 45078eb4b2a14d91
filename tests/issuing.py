"""An API with a token endpoint of its own, as raw bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from raw_upstream import OK, Answer, RawRequest, json_response, response

REJECTION = json_response("401 Unauthorized", b'{"message":"no"}', "WWW-Authenticate: Bearer")


@dataclass
class Issuer:
    """Answers for `raw_upstream.answering`: tokens at /oauth/token, and `answer` to good ones.

    Only tokens in `good` are accepted; every issued one is in it until `revoke`.
    """

    answer: Answer = OK
    rejection: bytes = REJECTION
    token_answer: bytes | None = None
    issued: int = 0
    good: set[str] = field(default_factory=set)

    def __call__(self, request: RawRequest) -> bytes:
        if request.target == "/oauth/token":
            return self._issue()
        if not any(request.field("Authorization") == [f"Bearer {token}"] for token in self.good):
            return self.rejection
        return self.answer if isinstance(self.answer, bytes) else self.answer(request)

    def revoke(self) -> None:
        """Make every token that was issued so far invalid."""
        self.good.clear()

    def _issue(self) -> bytes:
        if self.token_answer is not None:
            return self.token_answer
        self.issued += 1
        token = f"canary-token-{self.issued}"
        self.good.add(token)
        content = {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
        return json_response("200 OK", json.dumps(content).encode())


def to_the_api(requests: list[RawRequest]) -> list[RawRequest]:
    """Return the requests that did not go to the token endpoint."""
    return [request for request in requests if request.target != "/oauth/token"]


def first_time(first: bytes, then: Answer) -> Callable[[RawRequest], bytes]:
    """Return an answer that is `first` once."""
    left = [first]

    def answer(request: RawRequest) -> bytes:
        if left:
            return left.pop()
        return then if isinstance(then, bytes) else then(request)

    return answer


NOT_FOUND = response("404 Not Found", b"no")
