"""Answers of the reading endpoints: profiles and conversations.

Source: User Profile API, Conversations API. Times are ISO 8601 to the second here.
"""

from datetime import UTC, datetime
from typing import Any

from simulator.graph.fields import Wanted, parse_fields
from simulator.world import refusals
from simulator.world.model import DETAILED_MESSAGES, Message, Page, Person, Thread
from simulator.world.units import Milliseconds

PAGE_SIZE = 25
LARGEST_PAGE = 100

Fields = dict[str, Wanted]


def profile(person: Person, picture: str, params: dict[str, Any]) -> dict[str, Any]:
    """What the person lets apps see; `picture` is the one of those who have none of their own."""
    if person.profile == "none":
        raise refusals.invalid("No profile available for this user.", 2018218)
    if person.profile == "hidden":
        return {}
    known = {
        "first_name": person.first_name,
        "last_name": person.last_name,
        "name": person.name,
        "profile_pic": person.profile_pic or picture,
    }
    wanted = wanted_fields(params, "first_name,last_name,profile_pic")
    shown = {name: known[name] for name in wanted if known.get(name) is not None}
    return {**shown, "id": person.psid}


def page_facts(facebook_page: Page, base_url: str) -> dict[str, Any]:
    """What a Page's own token, or one of somebody with a role on it, may know."""
    picture = f"{base_url}/avatars/{facebook_page.id}.svg"
    return {
        "id": facebook_page.id,
        "name": facebook_page.name,
        "category": "Local business",
        "category_list": [{"id": "2500", "name": "Local business"}],
        "link": f"https://www.facebook.com/{facebook_page.id}",
        "picture": {"data": {"url": picture, "is_silhouette": False}},
        "is_published": facebook_page.behaviour.published,
    }


def conversations(facebook_page: Page, params: dict[str, Any]) -> dict[str, Any]:
    """One person's conversation (`user_id`), or all of them, newest first, page by page."""
    if params.get("platform", "messenger") != "messenger":
        raise refusals.invalid("Param platform must be messenger")
    wanted = wanted_fields(params, "id,updated_time")
    psids = _psids(facebook_page, params.get("user_id"))
    start, size = number(params, "after", 0), number(params, "limit", PAGE_SIZE)
    chosen = psids[start : start + min(size, LARGEST_PAGE)]
    data = [_conversation(facebook_page, psid, wanted) for psid in chosen]
    end = start + len(chosen)
    cursors = {"before": str(start), "after": str(end)}
    return {"data": data, "paging": {"cursors": cursors} if end < len(psids) else {}}


def conversation(facebook_page: Page, psid: str, params: dict[str, Any]) -> dict[str, Any]:
    return _conversation(facebook_page, psid, wanted_fields(params, "id,updated_time"))


def message(
    facebook_page: Page, psid: str, said: Message, params: dict[str, Any]
) -> dict[str, Any]:
    return _message(facebook_page, psid, said, wanted_fields(params, "id,created_time"))


def iso_time(at: Milliseconds) -> str:
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def wanted_fields(params: dict[str, Any], default: str) -> Fields:
    return parse_fields(str(params.get("fields") or default))


def number(params: dict[str, Any], name: str, default: int) -> int:
    given = str(params.get(name, default))
    if not given.isdecimal() or len(given) > 9:
        raise refusals.invalid(f"Param {name} must be an integer")
    return int(given)


def _psids(facebook_page: Page, user_id: object) -> list[str]:
    """Whose conversations are asked for; a thread without messages is none."""
    threads = facebook_page.threads
    if user_id is not None:
        thread = threads.get(str(user_id))
        return [str(user_id)] if thread and thread.messages else []
    with_messages = [psid for psid, thread in threads.items() if thread.messages]
    return sorted(with_messages, key=lambda psid: threads[psid].messages[-1].at, reverse=True)


def _conversation(facebook_page: Page, psid: str, wanted: Fields) -> dict[str, Any]:
    thread = facebook_page.threads[psid]
    shown: dict[str, Any] = {"id": thread.id}
    if "updated_time" in wanted and thread.messages:
        shown["updated_time"] = iso_time(thread.messages[-1].at)
    if "message_count" in wanted:
        shown["message_count"] = len(thread.messages)
    if "participants" in wanted:
        both = [_person(facebook_page, psid), _page_as_person(facebook_page)]
        shown["participants"] = {"data": both}
    if "messages" in wanted:
        shown["messages"] = _messages(facebook_page, psid, thread, wanted["messages"])
    return shown


def _messages(facebook_page: Page, psid: str, thread: Thread, wanted: Wanted) -> dict[str, Any]:
    """The newest first; of those beyond the newest twenty only id and time are told."""
    limit = min(wanted.limit or PAGE_SIZE, LARGEST_PAGE)
    fields = wanted.fields or parse_fields("id,created_time")
    bare = {name: each for name, each in fields.items() if name in ("id", "created_time")}
    newest = thread.messages[: -limit - 1 : -1]
    data = [
        _message(facebook_page, psid, said, fields if position < DETAILED_MESSAGES else bare)
        for position, said in enumerate(newest)
    ]
    return {"data": data, "paging": {}}


def _message(facebook_page: Page, psid: str, said: Message, wanted: Fields) -> dict[str, Any]:
    page_user, person = _page_as_person(facebook_page), _person(facebook_page, psid)
    from_page = said.who == "page"
    known: dict[str, Any] = {
        "created_time": iso_time(said.at),
        "message": said.text or "",
        "from": page_user if from_page else person,
        "to": {"data": [person if from_page else page_user]},
    }
    if said.attachments:
        known["attachments"] = {"data": [_attachment(each) for each in said.attachments]}
    if said.reply_to:
        known["reply_to"] = {"mid": said.reply_to}
    return {"id": said.mid} | {name: known[name] for name in wanted if name in known}


def _attachment(attachment: dict[str, Any]) -> dict[str, Any]:
    url = attachment.get("payload", {}).get("url")
    return {"mime_type": f"{attachment.get('type')}/*", "file_url": url}


def _person(facebook_page: Page, psid: str) -> dict[str, str]:
    name = facebook_page.people[psid].name
    return {"name": name, "email": f"{psid}@facebook.com", "id": psid}


def _page_as_person(facebook_page: Page) -> dict[str, str]:
    email = f"{facebook_page.id}@facebook.com"
    return {"name": facebook_page.name, "email": email, "id": facebook_page.id}
