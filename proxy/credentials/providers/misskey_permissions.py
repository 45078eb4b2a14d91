"""What the rights of a Misskey token mean, in words. Pure.

The names: https://misskey-hub.net/en/docs/for-developers/api/permission.
"""

from __future__ import annotations

_SEE = {
    "account": "see your account, its settings included; needed for streaming",
    "blocks": "see whom you block",
    "channels": "see the channels that you follow",
    "clip-favorite": "see the clips that you like",
    "drive": "see your files",
    "favorites": "see your favorites",
    "federation": "see the servers that yours knows",
    "flash": "see your Plays",
    "flash-likes": "see the Plays that you like",
    "following": "see whom you follow, and who follows you",
    "gallery": "see your gallery",
    "gallery-likes": "see the gallery posts that you like",
    "invite-codes": "see your invitations",
    "messaging": "read your chats",
    "mutes": "see whom you mute",
    "notifications": "read your notifications",
    "page-likes": "see the Pages that you like",
    "pages": "see your Pages",
    "reactions": "see your reactions",
    "user-groups": "see your groups",
}
_CHANGE = {
    "account": "change your account and its settings",
    "blocks": "block and unblock",
    "channels": "change channels, and follow them",
    "clip-favorite": "like clips",
    "drive": "upload, change and delete files",
    "favorites": "add and remove favorites",
    "flash": "change your Plays",
    "flash-likes": "like Plays",
    "following": "follow and unfollow",
    "gallery": "change your gallery",
    "gallery-likes": "like gallery posts",
    "invite-codes": "make invitations",
    "messaging": "write and delete chat messages",
    "mutes": "mute and unmute",
    "notes": "post and delete notes",
    "notifications": "change your notifications",
    "page-likes": "like Pages",
    "pages": "change your Pages",
    "reactions": "react to notes",
    "report-abuse": "report people to the moderators",
    "user-groups": "change your groups",
    "votes": "vote in polls",
}


def meaning(permission: str) -> str:
    """Return what a right allows, an empty text for one that is not known."""
    kind, _, about = permission.partition(":")
    if about.startswith("admin:"):
        return "a right of administrators and moderators"
    return {"read": _SEE, "write": _CHANGE}.get(kind, {}).get(about, "")
