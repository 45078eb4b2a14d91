"""Credentials in content: which content can take one, and urlencoded forms."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from injection_samples import PLAIN, TOKEN, post, request, rule
from multidict import CIMultiDict

from proxy.injection import OutgoingRequest, content_limit, inject
from proxy.refusals import ContentTooLarge, ContentTypeNotInjectable

RULES = [rule("body", "i")]
OWN = b'{"i":"%s"}' % PLAIN.reveal().encode()
FORM = "application/x-www-form-urlencoded"


def streaming(content_type: str | None, method: str = "POST") -> OutgoingRequest:
    fields = CIMultiDict([] if content_type is None else [("Content-Type", content_type)])
    return OutgoingRequest(method, "", "/items", "", fields, has_content=True)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_request_without_content_gets_an_object_and_its_content_type(method: str) -> None:
    """Surprise 13: real Misskey refuses an empty POST, even with a good header."""
    sent = inject(request(method), RULES, PLAIN)
    assert sent.content == OWN
    assert sent.has_content
    assert sent.headers == {"Content-Type": "application/json"}


@pytest.mark.parametrize("content_type", [None, "application/json", FORM, "text/plain"])
def test_content_of_no_bytes_counts_as_none(content_type: str | None) -> None:
    """Surprise 13: curl's `-d ''` says it is a form, but there is nothing in it."""
    sent = inject(post(b"", content_type), RULES, PLAIN)
    assert sent.content == OWN
    assert sent.headers == {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/octet-stream", "image/png", "multipart/mixed; boundary=b"],
)
def test_other_content_is_refused_with_the_types_that_can_carry_it(
    content_type: str | None,
) -> None:
    with pytest.raises(ContentTypeNotInjectable) as refusal:
        inject(post(b'{"a":1}', content_type), RULES, PLAIN)
    assert refusal.value.status == 415
    assert "multipart/form-data" in str(refusal.value.fix)


@pytest.mark.parametrize(
    "content_type", ["application/json", FORM, "multipart/form-data;boundary=b"]
)
def test_compressed_content_is_refused(content_type: str) -> None:
    """Surprise 13: nothing can be put into gzip without undoing it."""
    sent = post(b"\x1f\x8b", content_type)
    sent.headers["Content-Encoding"] = "gzip"
    with pytest.raises(ContentTypeNotInjectable, match="Content-Encoding"):
        inject(sent, RULES, PLAIN)


def test_the_coding_identity_is_no_coding() -> None:
    sent = post(b"{}")
    sent.headers["Content-Encoding"] = "Identity"
    assert inject(sent, RULES, PLAIN).content == OWN


def test_content_at_the_limit_passes_and_one_byte_more_is_too_large() -> None:
    """Surprise 13: over 1 MiB, unless the rule says otherwise."""
    most = b'{"a":"' + b"x" * (2**20 - 8) + b'"}'
    assert len(most) == content_limit(post(most), RULES)
    assert inject(post(most), RULES, PLAIN).content is not None
    with pytest.raises(ContentTooLarge) as refusal:
        inject(post(most + b" "), RULES, PLAIN)
    assert refusal.value.status == 413


def test_the_length_that_the_client_stated_is_dropped() -> None:
    assert "Content-Length" not in inject(post(b'{"a":1}'), RULES, PLAIN).headers


def test_content_must_be_at_hand_for_json_and_forms_only() -> None:
    assert content_limit(streaming("application/json"), RULES) == 2**20
    assert content_limit(streaming("application/ld+json; charset=utf-8"), RULES) == 2**20
    assert content_limit(streaming(FORM), RULES) == 2**20
    assert content_limit(streaming("multipart/form-data; boundary=b"), RULES) is None
    assert content_limit(streaming("image/png"), RULES) is None
    assert content_limit(streaming("application/json", "GET"), RULES) is None
    assert content_limit(request("POST"), RULES) is None


def test_content_need_not_be_at_hand_on_paths_without_a_body_rule() -> None:
    rules = [rule("body", "i", paths=["/api/**"])]
    assert content_limit(streaming("application/json"), rules) is None


def test_content_that_was_not_gathered_never_leaves_without_its_credential() -> None:
    with pytest.raises(ValueError, match="at hand"):
        inject(streaming("application/json"), RULES, PLAIN)


def test_ours_is_the_first_field_of_a_form_and_the_clients_own_is_gone() -> None:
    """Surprise 8: the dummy of the client is replaced, every other byte stays."""
    sent = inject(post(b"a=1&%69=dummy&&b=+%20\xff&i", FORM), RULES, TOKEN)
    assert sent.content == b"i=s3cr%2Ft%20%2B%26%3D%C3%A9&a=1&&b=+%20\xff"
    assert parse_qsl(sent.content.decode("latin-1"))[0] == ("i", TOKEN.reveal())


def test_a_form_of_nothing_but_the_clients_credential_becomes_ours() -> None:
    assert inject(post(b"i=dummy", FORM), RULES, PLAIN).content == f"i={PLAIN.reveal()}".encode()


def test_two_body_rules_put_two_members_in() -> None:
    rules = [rule("body", "app", format="fixed"), rule("body", "i")]
    sent = inject(request("POST"), rules, PLAIN)
    assert sent.content == b'{"i":"%s","app":"fixed"}' % PLAIN.reveal().encode()
