"""What differs between the Misskey releases that the sandbox can play."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release, as it was recorded on the wire in production mode.

    The words "new" and "old" in the comments mean 2025.11.1 and 13.13.2.
    """

    version: str
    reads_authorization: bool  # Bearer tokens: from 13.14 on, commit 1b1f82a2e2
    tells_authentication_scheme: bool  # WWW-Authenticate on 400, 401 and 403
    bad_token_status: int  # 401; 403 up to the released 13.13.2
    tells_retry_after: bool  # Retry-After and `info` on 429
    account_needs_scope: bool  # read:account on /api/i and /streaming, GHSA-7pxq
    names_json_errors: bool  # FST_ERR_CTP_INVALID_JSON_BODY instead of the parser's own text
    varies_by_origin: bool
    revokes_by_value: bool  # i/revoke-token takes `token`; the old one takes `tokenId` only
    online_count_by_get: bool
    recognises_text: bool  # old: a text file becomes an octet-stream named `.unknown`
    refuses_unknown_files: bool  # UNALLOWED_FILE_TYPE
    redirects_file_subpaths: bool  # /files/<key>/x
    modern_shapes: bool  # keys and documents that came between the two releases
    id_length: int  # aidx has 16 characters, aid has 10


NEW = Release(
    version="2025.11.1",
    reads_authorization=True,
    tells_authentication_scheme=True,
    bad_token_status=401,
    tells_retry_after=True,
    account_needs_scope=True,
    names_json_errors=True,
    varies_by_origin=False,
    revokes_by_value=True,
    online_count_by_get=True,
    recognises_text=True,
    refuses_unknown_files=True,
    redirects_file_subpaths=True,
    modern_shapes=True,
    id_length=16,
)

OLD = Release(
    version="13.13.2",
    reads_authorization=False,
    tells_authentication_scheme=False,
    bad_token_status=401,
    tells_retry_after=False,
    account_needs_scope=False,
    names_json_errors=False,
    varies_by_origin=True,
    revokes_by_value=False,
    online_count_by_get=False,
    recognises_text=False,
    refuses_unknown_files=False,
    redirects_file_subpaths=False,
    modern_shapes=False,
    id_length=10,
)

RELEASES = {release.version: release for release in (NEW, OLD)}
