"""Users, their tokens, and the apps and sessions that lead to tokens."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.sandbox.misskey.identifiers import new_id, new_token, now
from proxy.sandbox.misskey.permissions import modern_spelling

NATIVE_TOKEN_LENGTH = 16


@dataclass(slots=True)
class User:
    """A local account; its native token has every right and is what the front-end uses."""

    user_id: str
    username: str
    native_token: str
    created_at: str = field(default_factory=now)
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class App:
    """A registered app of the legacy flow."""

    app_id: str
    name: str
    permission: tuple[str, ...]
    callback_url: str | None
    secret: str


@dataclass(slots=True)
class AccessToken:
    """A token that an app holds; `digest` is the lower-case form that is looked up as well."""

    token_id: str
    value: str
    digest: str
    user: User
    permission: tuple[str, ...]
    session: str | None = None
    app: App | None = None
    fetched: bool = False


@dataclass(slots=True)
class AuthSession:
    """One run of the legacy flow; `user` is who accepted."""

    session_id: str
    token: str
    app: App
    user: User | None = None


class Accounts:
    """Everything that a token can be looked up in."""

    def __init__(self, id_length: int) -> None:
        self._id_length = id_length
        self.users: dict[str, User] = {}
        self.tokens: list[AccessToken] = []
        self.apps: dict[str, App] = {}
        self.auth_sessions: dict[str, AuthSession] = {}

    def add_user(self, username: str) -> User:
        """A new account with a fresh native token of 16 characters."""
        user = User(new_id(self._id_length), username, new_token(NATIVE_TOKEN_LENGTH))
        self.users[username] = user
        return user

    def user_of_native_token(self, value: str) -> User | None:
        """Who owns this native token."""
        return next((user for user in self.users.values() if user.native_token == value), None)

    def find_token(self, value: str) -> AccessToken | None:
        """The token with this value, or with this digest in any letter case."""
        for token in self.tokens:
            if value == token.value or value.lower() == token.digest:
                return token
        return None

    def issue(
        self, user: User, permission: Iterable[str], *, session: str | None = None
    ) -> AccessToken:
        """A token of 32 characters, issued through MiAuth or by hand; any name is stored."""
        value = new_token()
        token = AccessToken(
            new_id(self._id_length), value, value, user, tuple(permission), session=session
        )
        self.tokens.append(token)
        return token

    def revoke(self, token: AccessToken) -> None:
        """The token is unknown from now on."""
        self.tokens.remove(token)

    def fetch(self, session: str) -> AccessToken | None:
        """The token of a MiAuth session, the first time that it is asked for.

        A session that was used for two tokens shows its first one only.
        """
        token = next((token for token in self.tokens if token.session == session), None)
        if token is None or token.fetched:
            return None
        token.fetched = True
        return token

    def create_app(self, name: str, permission: Iterable[str], callback_url: str | None) -> App:
        """Register an app of the legacy flow."""
        app_id = new_id(self._id_length)
        app = App(app_id, name, modern_spelling(permission), callback_url, new_token())
        self.apps[app.secret] = app
        return app

    def begin_session(self, app: App) -> AuthSession:
        """Start the legacy flow."""
        session = AuthSession(new_id(self._id_length), str(uuid.uuid4()), app)
        self.auth_sessions[session.token] = session
        return session

    def accept(self, session: AuthSession, user: User) -> None:
        """The user accepts; a second session of the same app and user shares one token."""
        session.user = user
        if self.app_token(session.app, user) is not None:
            return
        value = new_token()
        digest = hashlib.sha256((value + session.app.secret).encode()).hexdigest()
        self.tokens.append(
            AccessToken(
                new_id(self._id_length),
                value,
                digest,
                user,
                session.app.permission,
                app=session.app,
            )
        )

    def app_token(self, app: App, user: User) -> AccessToken | None:
        """The one token of this app and user."""
        for token in self.tokens:
            if token.app is app and token.user is user:
                return token
        return None
