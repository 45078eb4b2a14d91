"""Secrets in the system's keyring: real keyring, made-up backends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked

from proxy.config.references import keyring as reference


class Kept(KeyringBackend):
    """A backend that keyring recommends."""

    priority = 5.0

    def get_password(self, service: str, username: str) -> str | None:
        if service == "locked":
            raise KeyringLocked("canary")
        return {("a/portal", "me"): "kept"}.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


class PlaintextKeyring(Kept):
    """Named as that of keyrings.alt, whatever priority it claims."""


class Discouraged(Kept):
    priority = 0.6


class Hanging(Kept):
    def get_password(self, service: str, username: str) -> str | None:
        threading.Event().wait(20)
        return None


class Chain(Kept):
    """As keyring's own chain, which takes in backends that it does not recommend."""

    priority = 10.0
    backends = (Discouraged(), PlaintextKeyring(), NoKeyring(), Kept())


@pytest.fixture(autouse=True)
def own_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(Kept())
    yield
    keyring.set_keyring(before)


def test_a_keyring_is_asked_for_service_and_user(password, wrong_password):
    assert password("${keyring:a/portal/me}") == "kept"
    said = "the keyring holds no password of you for portal"
    assert wrong_password("${keyring:portal/you}") == said


def test_a_keyring_that_fails_is_said_without_its_own_words(wrong_password):
    said = "the keyring cannot be read: KeyringLocked"
    assert wrong_password("${keyring:locked/me}") == said


@pytest.mark.parametrize("backend", [NoKeyring, Discouraged, PlaintextKeyring])
def test_a_keyring_that_keeps_no_secret_is_refused(backend, wrong_password):
    keyring.set_keyring(backend())
    name = f"{backend.__module__}.{backend.__name__}"
    assert wrong_password("${keyring:a/portal/me}") == (
        f"the keyring is none that keeps a secret: {name}; use another reference"
    )


def test_of_a_chain_only_the_backends_that_keep_secrets_are_asked(password):
    keyring.set_keyring(Chain())
    assert password("${keyring:a/portal/me}") == "kept"


def test_a_keyring_that_hangs_is_left_behind(wrong_password, monkeypatch):
    monkeypatch.setattr(reference, "TIMEOUT", 0.2)
    keyring.set_keyring(Hanging())
    said = "the keyring did not answer within 0.2 seconds"
    assert wrong_password("${keyring:a/portal/me}") == said


def test_without_the_extra_a_keyring_reference_says_what_to_install(wrong_password, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert wrong_password("${keyring:portal/me}") == (
        "the keyring is not installed: pip install 'sidekey[keyring]'"
    )
