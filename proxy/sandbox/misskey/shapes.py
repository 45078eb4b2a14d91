"""The JSON of users, notes, files and of the server, with the keys in the server's order."""

from __future__ import annotations

from proxy.sandbox.misskey.accounts import App, AuthSession, User
from proxy.sandbox.misskey.drive import DriveFile
from proxy.sandbox.misskey.notes import Note
from proxy.sandbox.misskey.release import Release

Json = dict[str, object]

REPOSITORY = "https://github.com/misskey-dev/misskey"
# Decoding pictures is no part of the sandbox: every image has the blurhash of one grey pixel.
_BLURHASH = "e409dghVfQhVfQhVfjfQfjfQfQfQfQfQfQhVfjfQfjfQfQfQfQfQfQ"
_NEW_USER_KEYS = frozenset(
    ("avatarDecorations", "verifiedLinks", "followersVisibility", "followingVisibility")
) | {"chatScope", "canChat"}
_NEW_NOTE_KEYS = frozenset(("reactionCount",))
_NEW_META_KEYS = frozenset(
    ("providesTarball", "shortName", "impressumUrl", "privacyPolicyUrl", "inquiryUrl")
)


def user_lite(user: User, origin: str, release: Release) -> Json:
    """A user as it stands inside a note."""
    host = origin.partition("://")[2]
    shape: Json = {
        "id": user.user_id,
        "name": None,
        "username": user.username,
        "host": None,
        "avatarUrl": f"{origin}/identicon/{user.username}@{host}",
        "avatarBlurhash": None,
        "avatarDecorations": [],
        "isBot": False,
        "isCat": False,
        "emojis": {},
        "onlineStatus": "unknown",
        "badgeRoles": [],
    }
    return _known(shape, _NEW_USER_KEYS, release)


def user_detailed(user: User, notes_count: int, origin: str, release: Release) -> Json:
    """A user as anyone may see it."""
    shape: Json = {
        **user_lite(user, origin, release),
        **dict.fromkeys(("url", "uri", "movedTo", "alsoKnownAs")),
        "createdAt": user.created_at,
        **dict.fromkeys(("updatedAt", "lastFetchedAt", "bannerUrl", "bannerBlurhash")),
        "isLocked": False,
        "isSilenced": False,
        "isSuspended": user.suspended,
        **dict.fromkeys(("description", "location", "birthday", "lang")),
        "fields": [],
        "verifiedLinks": [],
        "followersCount": 0,
        "followingCount": 0,
        "notesCount": notes_count,
        "pinnedNoteIds": [],
        "pinnedNotes": [],
        "pinnedPageId": None,
        "pinnedPage": None,
        "publicReactions": True,
        "followersVisibility": "public",
        "followingVisibility": "public",
        "chatScope": "mutual",
        "canChat": True,
        "roles": [],
        "memo": None,
    }
    return _known(shape, _NEW_USER_KEYS, release)


def note(note: Note, files: list[DriveFile], origin: str, release: Release) -> Json:
    """A note with its author and files."""
    counts: dict[str, int] = {}
    for emoji in note.reactions.values():
        counts[emoji] = counts.get(emoji, 0) + 1
    shape: Json = {
        "id": note.note_id,
        "createdAt": note.created_at,
        "userId": note.user.user_id,
        "user": user_lite(note.user, origin, release),
        "text": note.text,
        "cw": note.cw,
        "visibility": note.visibility,
        "localOnly": False,
        "reactionAcceptance": None,
        "renoteCount": 0,
        "repliesCount": 0,
        "reactionCount": len(note.reactions),
        "reactions": counts,
        "reactionEmojis": {},
        "fileIds": list(note.file_ids),
        "files": [drive_file(file, origin) for file in files],
        "replyId": None,
        "renoteId": None,
    }
    return _known(shape, _NEW_NOTE_KEYS, release)


def drive_file(file: DriveFile, origin: str) -> Json:
    """A file of the drive; its URLs are absolute."""
    return {
        "id": file.file_id,
        "createdAt": file.created_at,
        "name": file.name,
        "type": file.media_type,
        "md5": file.upload.md5,
        "size": file.upload.size,
        "isSensitive": file.sensitive,
        "blurhash": _BLURHASH if file.is_image else None,
        "properties": file.properties,
        "url": f"{origin}/files/{file.key}",
        "thumbnailUrl": f"{origin}/files/thumbnail-{file.key}" if file.is_image else None,
        "comment": file.comment,
        **dict.fromkeys(("folderId", "folder", "userId", "user")),
    }


def app(app: App) -> Json:
    """A registered app, without its secret."""
    return {
        "id": app.app_id,
        "name": app.name,
        "callbackUrl": app.callback_url,
        "permission": list(app.permission),
    }


def auth_session(session: AuthSession) -> Json:
    """A session of the legacy flow."""
    return {"id": session.session_id, "app": app(session.app), "token": session.token}


def meta(origin: str, release: Release) -> Json:
    """What the server says about itself."""
    shape: Json = {
        "maintainerName": None,
        "maintainerEmail": None,
        "version": release.version,
        "providesTarball": False,
        "name": None,
        "shortName": None,
        "uri": origin,
        "description": None,
        "langs": [],
        "tosUrl": None,
        "repositoryUrl": REPOSITORY,
        "feedbackUrl": f"{REPOSITORY}/issues/new",
        **dict.fromkeys(("impressumUrl", "privacyPolicyUrl", "inquiryUrl")),
        "disableRegistration": True,
        "emailRequiredForSignup": False,
        "maxNoteTextLength": 3000,
    }
    return _known(shape, _NEW_META_KEYS, release)


def nodeinfo(version: str, release: Release) -> Json:
    """The document of nodeinfo 2.0 or 2.1."""
    new = release.modern_shapes
    homepage = {"homepage": REPOSITORY} if new else {}
    repository = {"repository": REPOSITORY} if version == "2.1" else {}
    return {
        "version": version,
        "software": {"name": "misskey", "version": release.version, **homepage, **repository},
        "protocols": ["activitypub"],
        "services": {"inbound": [], "outbound": ["atom1.0", "rss2.0"]},
        "openRegistrations": not new,
        "usage": {
            "users": {"total": 0, "activeHalfyear": None, "activeMonth": None},
            "localPosts": 0,
            "localComments": 0,
        },
        "metadata": {"nodeName": None, "nodeDescription": None},
    }


def _known(shape: Json, new_keys: frozenset[str], release: Release) -> Json:
    """Leave out what an old release does not know yet."""
    if release.modern_shapes:
        return shape
    return {key: value for key, value in shape.items() if key not in new_keys}
