"""Webhook events: the elements of `entry[].messaging` and `entry[].standby`.

Source: Messenger Platform, Webhook Events reference pages; Conversation Routing.
"""

from typing import Any, Literal

from simulator.world.model import Message, Page, Thread
from simulator.world.units import Milliseconds

Channel = Literal["messaging", "standby"]
Handover = Literal["pass", "take"]


def envelope(
    page_id: str, element: dict[str, Any], now: Milliseconds, channel: Channel = "messaging"
) -> dict[str, Any]:
    """One event as a whole webhook; `time` is when it was sent, not when it happened."""
    return {
        "object": "page",
        "entry": [{"id": page_id, "time": now, channel: [element]}],
    }


def overheard(element: dict[str, Any]) -> dict[str, Any]:
    """The event as an app is told of it that does not have the thread: no payload of a button."""
    if "postback" not in element:
        return element
    told = {name: value for name, value in element["postback"].items() if name != "payload"}
    return {**element, "postback": told}


def handover(
    page: Page, psid: str, how: Handover, before: str, after: str, now: Milliseconds
) -> dict[str, Any]:
    """The thread went from one app to another (field `messaging_handovers`)."""
    change = {"previous_owner_app_id": before, "new_owner_app_id": after}
    return {**_from_person(page, psid, now), f"{how}_thread_control": change}


def request_for_control(page: Page, psid: str, app_id: str, now: Milliseconds) -> dict[str, Any]:
    """Another app asks for the thread (field `messaging_handovers`); its id is a number here."""
    wish = {"requested_owner_app_id": int(app_id)}
    return {**_from_person(page, psid, now), "request_thread_control": wish}


def message(page: Page, psid: str, said: Message) -> dict[str, Any]:
    """The person wrote (field `messages`)."""
    content: dict[str, Any] = {"mid": said.mid}
    if said.text is not None:
        content["text"] = said.text
    if said.quick_reply is not None:
        content["quick_reply"] = {"payload": said.quick_reply}
    if said.reply_to is not None:
        content["reply_to"] = {"mid": said.reply_to}
    if said.attachments:
        content["attachments"] = said.attachments
    return {**_from_person(page, psid, said.at), "message": content}


def postback(page: Page, psid: str, tapped: Message) -> dict[str, Any]:
    """The person tapped a button (field `messaging_postbacks`)."""
    content = {"mid": tapped.mid, "title": tapped.text, "payload": tapped.postback}
    return {**_from_person(page, psid, tapped.at), "postback": content}


def echo(page: Page, psid: str, sent: Message) -> dict[str, Any]:
    """The Page wrote, whoever did it (field `message_echoes`); `app_id` is a number here."""
    content: dict[str, Any] = {"is_echo": True}
    if sent.app_id is not None:
        content["app_id"] = int(sent.app_id)
    if sent.metadata is not None:
        content["metadata"] = sent.metadata
    content["mid"] = sent.mid
    if sent.text is not None:
        content["text"] = sent.text
    if sent.attachments:
        content["attachments"] = sent.attachments
    return {
        "sender": {"id": page.id},
        "recipient": {"id": psid},
        "timestamp": sent.at,
        "message": content,
    }


def delivery(page: Page, psid: str, sent: Message, now: Milliseconds) -> dict[str, Any]:
    """The person's device has the message and all before it (field `message_deliveries`)."""
    content = {"mids": [sent.mid], "watermark": sent.at}
    return {**_from_person(page, psid, now), "delivery": content}


def read(page: Page, psid: str, thread: Thread, now: Milliseconds) -> dict[str, Any]:
    """The person has seen everything up to the watermark (field `message_reads`)."""
    return {**_from_person(page, psid, now), "read": {"watermark": thread.read_watermark}}


def reaction(
    page: Page, psid: str, mid: str, kind: str, emoji: str | None, now: Milliseconds
) -> dict[str, Any]:
    """The person reacted to a message, or took it back: no emoji (field `message_reactions`)."""
    content = {"reaction": kind, "action": "react" if emoji else "unreact", "mid": mid}
    if emoji:
        content["emoji"] = emoji
    return {**_from_person(page, psid, now), "reaction": content}


def _from_person(page: Page, psid: str, at: Milliseconds) -> dict[str, Any]:
    return {"sender": {"id": psid}, "recipient": {"id": page.id}, "timestamp": at}
