"""The world as the control API and the chat page see it."""

from typing import Any

from simulator.world.facebook import App, User
from simulator.world.model import INBOX_APP_ID, Message, Page, Person, Thread, ThreadOwner
from simulator.world.units import Milliseconds

_OPTIONAL = (
    "attachments",
    "quick_replies",
    "quick_reply",
    "postback",
    "reply_to",
    "messaging_type",
    "tag",
    "metadata",
    "app_id",
    "reaction",
)


def message(said: Message) -> dict[str, Any]:
    """A message of a thread; what does not apply is missing. `at` is in milliseconds."""
    shown: dict[str, Any] = {
        "mid": said.mid,
        "from": said.who,
        "text": said.text,
        "at": said.at,
        "reported": said.reported,
    }
    for name in _OPTIONAL:
        if (value := getattr(said, name)) is not None:
            shown[name] = value
    return shown


def thread(talk: Thread, now: Milliseconds, *, newest: int | None = None) -> dict[str, Any]:
    """A thread, oldest message first: the truth that tests compare with.

    `typing` is the Page's dots; `seen` whether the Page has marked the person's last message as
    seen; `read` whether the person has seen the Page's last message. The person's device has what
    was written up to `delivered_watermark`, and they have seen it up to `read_watermark`. Moments
    are in milliseconds.
    `omitted` counts the older messages that are not among the `newest` ones. `owner` is who may
    write: `ours`, Meta's `inbox`, or some `other` app.
    """
    last = {said.who: said.at for said in talk.messages}
    kept = talk.messages if newest is None else talk.messages[-newest:]
    return {
        "messages": [message(said) for said in kept],
        "omitted": len(talk.messages) - len(kept),
        "typing": talk.typing_until > now,
        "typing_fades_in_ms": max(0, talk.typing_until - now),
        "seen": "person" in last and talk.seen_at >= last["person"],
        "seen_at": talk.seen_at,
        "read": "page" in last and talk.read_watermark >= last["page"],
        "delivered_watermark": talk.delivered_watermark,
        "read_watermark": talk.read_watermark,
        "last_user_action_at": talk.last_user_action_at,
        "owner": owner(talk),
    }


def owner(talk: Thread) -> ThreadOwner:
    """Which kind of app has the thread."""
    if talk.owner is None:
        return "ours"
    return "inbox" if talk.owner == INBOX_APP_ID else "other"


def page(facebook_page: Page) -> dict[str, Any]:
    """A Page, with the token that connecting it would give."""
    return {
        "id": facebook_page.id,
        "name": facebook_page.name,
        "access_token": facebook_page.access_token,
        "token_state": facebook_page.token_state,
        "subscribed_fields": list(facebook_page.subscribed_fields),
        "messenger_profile": facebook_page.messenger_profile,
    }


def user(somebody: User) -> dict[str, Any]:
    """Somebody who can log in, with what they gave the app. `roles` are by Page id."""
    return {
        "id": somebody.id,
        "name": somebody.name,
        "app_role": somebody.app_role,
        "roles": somebody.roles,
        "permissions": somebody.permissions,
        "chosen_pages": somebody.chosen_pages,
    }


def app(dashboard: App) -> dict[str, Any]:
    """What the app's dashboard says; addresses are added by who knows the usual ones."""
    return {
        "name": dashboard.name,
        "mode": dashboard.mode,
        "reviewed": list(dashboard.reviewed),
        "redirect_uris": list(dashboard.redirect_uris),
    }


def person(somebody: Person, talk: Thread | None) -> dict[str, Any]:
    """A person as a Page's list shows them, with the last message of the thread."""
    shown: dict[str, Any] = {
        "psid": somebody.psid,
        "first_name": somebody.first_name,
        "last_name": somebody.last_name,
        "profile_pic": somebody.profile_pic,
        "blocked": somebody.blocked,
        "has_role": somebody.has_role,
        "profile": somebody.profile,
    }
    if talk is not None and talk.messages:
        shown["last_message"] = message(talk.messages[-1])
    return shown
