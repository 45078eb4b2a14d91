"""Refusals of a Misskey server: its own envelope, and the shape of the Fastify beneath it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """One error of Misskey's API; the id is what client libraries compare."""

    message: str
    code: str
    error_id: str
    status: int = 400
    kind: str = "client"


class ApiError(Exception):
    """An endpoint or the way to it refused; answered with Misskey's `{"error": ...}` envelope."""

    def __init__(
        self, spec: ErrorSpec, *, info: dict[str, object] | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(spec.code)
        self.spec = spec
        self.info = info
        self.retry_after = retry_after


class FastifyError(Exception):
    """The HTTP framework refused before Misskey saw the request."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


class NeverAnsweredError(Exception):
    """A real server leaves this request without an answer: a token that is not a string."""


def invalid_param(param: str, reason: str) -> ApiError:
    """The validator's refusal; `param` is the path of the schema rule that was broken."""
    return ApiError(INVALID_PARAM, info={"param": param, "reason": reason})


CREDENTIAL_REQUIRED = ErrorSpec(
    "Credential required.", "CREDENTIAL_REQUIRED", "1384574d-a912-4b81-8601-c7b1c4085df1", 401
)
AUTHENTICATION_FAILED = ErrorSpec(
    "Authentication failed. Please ensure your token is correct.",
    "AUTHENTICATION_FAILED",
    "b0a7f5f8-dc2f-4171-b91f-de88ad238e14",
    401,
)
PERMISSION_DENIED = ErrorSpec(
    "Your app does not have the necessary permissions to use this endpoint.",
    "PERMISSION_DENIED",
    "1370e5b7-d4eb-4566-bb1d-7748ee6a1838",
    403,
    "permission",
)
ACCESS_DENIED = ErrorSpec("Access denied.", "ACCESS_DENIED", "56f35758-7dd5-468b-8439-5d6fb8ec9b8e")
ROLE_PERMISSION_DENIED = ErrorSpec(
    "You are not assigned to a moderator role.",
    "ROLE_PERMISSION_DENIED",
    "d33d5333-db36-423d-a8f9-1a2b9549da41",
    403,
    "permission",
)
SUSPENDED = ErrorSpec(
    "Your account has been suspended.",
    "YOUR_ACCOUNT_SUSPENDED",
    "a8c724b3-6e9c-4b46-b1a8-bc3ed6258370",
    403,
    "permission",
)
RATE_LIMIT_EXCEEDED = ErrorSpec(
    "Rate limit exceeded. Please try again later.",
    "RATE_LIMIT_EXCEEDED",
    "d5826d14-3982-4d2e-8011-b9e9f02499ef",
    429,
)
INVALID_PARAM = ErrorSpec("Invalid param.", "INVALID_PARAM", "3d81ceae-475f-4600-b2a8-2bc116157532")
UNCASTABLE_PARAM = ErrorSpec(
    "Invalid param.", "INVALID_PARAM", "0b5f1631-7c1a-41a6-b399-cce335f34d85"
)
UNKNOWN_API_ENDPOINT = ErrorSpec(
    "Unknown API endpoint.", "UNKNOWN_API_ENDPOINT", "2ca3b769-540a-4f08-9dd5-b5a825b6d0f1", 404
)
INTERNAL_ERROR = ErrorSpec(
    "Internal error occurred. Please contact us if the error persists.",
    "INTERNAL_ERROR",
    "5d37dbcb-891e-41ca-a3d6-e690c97775ac",
    500,
    "server",
)
