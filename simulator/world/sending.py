"""The Send API's checks, in the order in which Meta's are believed to come.

Order: recipient, message or action, content, Page restricted, person unavailable, thread control,
tag, window; the token comes before and the limits after, see `simulator.graph.messages`. Source:
Send API Reference, Send a Message (messaging window), Conversation Routing, Common Error Codes.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from simulator.world import refusals
from simulator.world.model import Page, Person
from simulator.world.units import Milliseconds

TEXT_LIMIT = 2000
METADATA_LIMIT = 1000
QUICK_REPLIES_LIMIT = 13
QUICK_REPLY_TITLE_LIMIT = 20
PAYLOAD_LIMIT = 1000
ATTACHMENTS_LIMIT = 30
STANDARD_WINDOW_MS = 24 * 3_600_000
HUMAN_AGENT_WINDOW_MS = 7 * 24 * 3_600_000

SenderAction = Literal["typing_on", "typing_off", "mark_seen"]
MessagingType = Literal["RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY"]
_ATTACHMENT_TYPES = frozenset({"image", "audio", "video", "file", "template"})


@dataclass(frozen=True, slots=True)
class Send:
    """A request to `/{page}/messages` that Meta accepts."""

    person: Person
    action: SenderAction | None = None
    text: str | None = None
    attachments: list[dict[str, Any]] | None = None
    quick_replies: list[dict[str, Any]] | None = None
    reply_to: str | None = None
    metadata: str | None = None
    messaging_type: str | None = None
    tag: str | None = None


def check_send(
    page: Page, params: dict[str, Any], now: Milliseconds, *, app_is_open: bool = True
) -> Send:
    """What is to be sent. `app_is_open`: to people without a role on the app as well.

    Raises:
        Refusal: the first rule that the request breaks.
    """
    person = _recipient(page, params.get("recipient"))
    _check_role(page, person, app_is_open)
    message, action = params.get("message"), params.get("sender_action")
    if (message is None) == (action is None):
        raise refusals.message_and_action()
    send = _action(person, action) if message is None else _message(person, message, params)
    if page.behaviour.restricted:
        raise refusals.page_restricted()
    if person.blocked:
        raise refusals.person_unavailable()
    _check_control(page, person)
    if send.action is None:
        _check_window(page, send, now)
    return send


def is_reachable(page: Page, person: Person, *, app_is_open: bool = True) -> bool:
    """An app that is not live and reviewed exists only for people with a role on it."""
    is_public = page.behaviour.published and not page.behaviour.dev_mode
    return person.has_role or (app_is_open and is_public)


def utf16_length(text: str) -> int:
    """Meta leaves open what it counts; this is the strictest of the likely units."""
    return len(text) + sum(character > "\uffff" for character in text)


def _check_role(page: Page, person: Person, app_is_open: bool) -> None:
    if not is_reachable(page, person, app_is_open=app_is_open):
        raise refusals.no_app_role()


def _recipient(page: Page, recipient: object) -> Person:
    if not isinstance(recipient, dict) or not recipient:
        raise refusals.invalid("The parameter recipient is required")
    psid = recipient.get("id")
    if isinstance(psid, int):
        psid = str(psid)
    person = page.people.get(psid) if isinstance(psid, str) else None
    if person is None:
        raise refusals.unknown_recipient()
    return person


def _action(person: Person, action: object) -> Send:
    allowed = get_args(SenderAction)
    if action not in allowed:
        raise refusals.invalid(f"Param sender_action must be one of {{{', '.join(allowed)}}}")
    return Send(person, action=cast("SenderAction", action))


def _message(person: Person, message: object, params: dict[str, Any]) -> Send:
    if not isinstance(message, dict):
        raise refusals.invalid("Param message must be an object")
    text = _text(message)
    attachments = _attachments(message)
    if text is None and not attachments:
        raise refusals.empty_message()
    if text is not None and attachments:
        raise refusals.invalid("Message can contain only one of text and attachment")
    reply_to = params.get("reply_to")
    return Send(
        person,
        text=text,
        attachments=attachments,
        quick_replies=_quick_replies(message),
        reply_to=reply_to.get("mid") if isinstance(reply_to, dict) else None,
        metadata=_string(message, "metadata", METADATA_LIMIT),
        messaging_type=_messaging_type(params),
        tag=_string(params, "tag", 100),
    )


def _text(message: dict[str, Any]) -> str | None:
    text = _string(message, "text", TEXT_LIMIT)
    if text is not None and not text.strip():
        raise refusals.empty_message()
    return text


def _string(values: dict[str, Any], name: str, limit: int) -> str | None:
    value = values.get(name)
    if value is None:
        return None
    param = name if name == "tag" else f"message[{name}]"
    if not isinstance(value, str):
        raise refusals.invalid(f"Param {param} must be a string")
    if utf16_length(value) > limit:
        raise refusals.too_long(param, limit)
    return value


def _attachments(message: dict[str, Any]) -> list[dict[str, Any]] | None:
    one, several = message.get("attachment"), message.get("attachments")
    given = [one] if one is not None else several
    if given is None:
        return None
    if not isinstance(given, list) or not 0 < len(given) <= ATTACHMENTS_LIMIT:
        raise refusals.invalid(f"Param message[attachments] must have 1 to {ATTACHMENTS_LIMIT}")
    for attachment in given:
        if not isinstance(attachment, dict) or attachment.get("type") not in _ATTACHMENT_TYPES:
            kinds = ", ".join(sorted(_ATTACHMENT_TYPES))
            raise refusals.invalid(f"Param message[attachment][type] must be one of {{{kinds}}}")
        if not isinstance(attachment.get("payload"), dict):
            raise refusals.invalid("Param message[attachment][payload] must be an object")
    return given


def _quick_replies(message: dict[str, Any]) -> list[dict[str, Any]] | None:
    given = message.get("quick_replies")
    if given is None:
        return None
    if not isinstance(given, list) or len(given) > QUICK_REPLIES_LIMIT:
        raise refusals.invalid(f"Param message[quick_replies] has at most {QUICK_REPLIES_LIMIT}")
    for reply in given:
        if not isinstance(reply, dict):
            raise refusals.invalid("Param message[quick_replies] must hold objects")
        _limit(reply, "title", QUICK_REPLY_TITLE_LIMIT)
        _limit(reply, "payload", PAYLOAD_LIMIT)
    return given


def _limit(reply: dict[str, Any], name: str, limit: int) -> None:
    if utf16_length(str(reply.get(name, ""))) > limit:
        raise refusals.too_long(f"message[quick_replies][{name}]", limit)


def _messaging_type(params: dict[str, Any]) -> str:
    """Documented as required; Meta takes RESPONSE where it is missing."""
    given = params.get("messaging_type", "RESPONSE")
    allowed = get_args(MessagingType)
    if given not in allowed:
        raise refusals.invalid(f"Param messaging_type must be one of {{{', '.join(allowed)}}}")
    return cast("str", given)


def _check_control(page: Page, person: Person) -> None:
    thread = page.threads.get(person.psid)
    if thread is not None and thread.owner is not None:
        raise refusals.not_thread_owner()


def _check_window(page: Page, send: Send, now: Milliseconds) -> None:
    if send.messaging_type == "UTILITY":
        raise refusals.permission_missing("pages_utility_messaging")
    thread = page.threads.get(send.person.psid)
    tagged = send.messaging_type == "MESSAGE_TAG"
    if tagged and send.tag != "HUMAN_AGENT":
        raise refusals.dead_tag() if send.tag else refusals.invalid("Param tag is required")
    if not tagged and send.tag is not None:
        raise refusals.invalid("Param tag is allowed only with messaging_type MESSAGE_TAG")
    if tagged and page.behaviour.human_agent == "not_granted":
        raise refusals.tag_not_approved("HUMAN_AGENT")
    window = HUMAN_AGENT_WINDOW_MS if tagged else STANDARD_WINDOW_MS
    last = thread.last_user_action_at if thread else None
    if last is None or now - last >= window:
        raise refusals.window_closed()
