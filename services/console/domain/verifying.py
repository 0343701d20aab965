"""Whether a Page works that was just connected: what was seen so far, line by line. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from services.console.domain.connection import ConnectionState

LineState = Literal["ok", "pending", "failed", "unknown"]
Subscribed = Literal["yes", "no", "unknown"]

_SENT = frozenset({"sent", "delivered", "read"})


@dataclass(frozen=True)
class Line:
    """One line of the list. `cure`: what to do about one that failed or waits for long."""

    key: str
    title: str
    state: LineState
    words: str
    cure: str = ""


@dataclass(frozen=True)
class Traffic:
    """What went to and fro since the Page was connected, in the conversation that was last.

    Args:
        received_at: when the first message of a person came.
        reply: the status of the assistant's first answer after it, as the archive has it.
        reason: why it was not sent, for people.
        echoed: whether Facebook has told us of that answer.
        paused: nobody is answered there: a human has the conversation.
    """

    received_at: datetime | None = None
    reply: str | None = None
    reason: str = ""
    echoed: bool = False
    paused: bool = False


def lines(
    state: ConnectionState, subscribed: Subscribed, traffic: Traffic | None, why: str = ""
) -> tuple[Line, ...]:
    """All lines, in the order in which they come true.

    Args:
        why: nobody knows whether the app is subscribed, for people.
        traffic: None: the conversation service gave no answer.
    """
    found = [_connected(state), _subscribed(state, subscribed, why)]
    if traffic is None:
        away = "The conversation service doesn't answer. It is asked again."
        titles = (("message", _MESSAGE), ("reply", _REPLY), ("echo", _ECHO))
        return (*found, *(Line(key, title, "unknown", away) for key, title in titles))
    return (*found, _message(traffic), _reply(traffic), _echo(traffic))


def all_good(found: Sequence[Line]) -> bool:
    return all(line.state == "ok" for line in found)


def traffic_of(
    messages: Sequence[Mapping[str, Any]], since: datetime, *, paused: bool = False
) -> Traffic:
    """What a conversation shows of the way there and back.

    Args:
        messages: as the conversation service lists them, in any order.
        since: what came earlier belongs to an earlier connection.
    """
    in_order = sorted(
        (each for each in messages if each.get("at") and each.get("kind") != "system"),
        key=lambda each: datetime.fromisoformat(each["at"]),
    )
    received = [each for each in in_order if _is_received(each, since)]
    if not received:
        return Traffic()
    received_at = datetime.fromisoformat(received[0]["at"])
    replies = [
        each
        for each in in_order
        if each.get("direction") == "out"
        and each.get("origin") == "assistant"
        and datetime.fromisoformat(each["at"]) >= received_at
    ]
    if not replies:
        return Traffic(received_at, paused=paused)
    reply = next((each for each in replies if each.get("status") in _SENT), replies[-1])
    return Traffic(
        received_at,
        str(reply.get("status")),
        str(reply.get("explanation") or ""),
        echoed=bool(reply.get("echoed")),
        paused=paused,
    )


def _is_received(message: Mapping[str, Any], since: datetime) -> bool:
    return message.get("direction") == "in" and datetime.fromisoformat(message["at"]) >= since


_MESSAGE = "A message arrives"
_REPLY = "The assistant answers"
_ECHO = "Facebook confirms the answer"


def _connected(state: ConnectionState) -> Line:
    title = "The Page is connected"
    if state.shown == "active":
        return Line("connected", title, "ok", "The token works and is stored encrypted.")
    if state.shown == "paused":
        cure = "Switch the assistant on for this Page."
        return Line("connected", title, "failed", state.words, cure)
    return Line("connected", title, "failed", state.words, "Connect the Page again.")


def _subscribed(state: ConnectionState, subscribed: Subscribed, why: str) -> Line:
    title = "Facebook tells us what people write"
    if state.shown in ("expired", "revoked", "disconnected"):
        return Line("subscribed", title, "unknown", "Without a connection this can't be asked.")
    if subscribed == "yes":
        words = "The app is subscribed to the Page's messages, as Facebook says."
        return Line("subscribed", title, "ok", words)
    if subscribed == "no":
        words = "The app is not subscribed to all of the Page's messages."
        cure = "It is subscribed again within 15 minutes, or at once if you connect the Page again."
        return Line("subscribed", title, "failed", words, cure)
    return Line("subscribed", title, "unknown", why or "Facebook is asked again.")


def _message(traffic: Traffic) -> Line:
    if traffic.received_at is None:
        return Line("message", _MESSAGE, "pending", "Write “hi” to the Page now.")
    return Line("message", _MESSAGE, "ok", "A message came through the webhook.")


def _reply(traffic: Traffic) -> Line:
    if traffic.received_at is None:
        return Line("reply", _REPLY, "pending", "Waits for the message.")
    if traffic.reply in _SENT:
        return Line("reply", _REPLY, "ok", "Facebook has taken the answer.")
    if traffic.reply == "failed":
        words = traffic.reason or "Facebook refused the answer."
        return Line("reply", _REPLY, "failed", words, "Put it right, then write once more.")
    if traffic.reply == "held":
        words = traffic.reason or "It is not clear whether the answer arrived."
        return Line("reply", _REPLY, "failed", words, "Look at the chat, then write once more.")
    if traffic.paused:
        words = "A human has this conversation, so that the assistant is silent in it."
        return Line("reply", _REPLY, "failed", words, "Hand it back, or write as somebody else.")
    return Line("reply", _REPLY, "pending", "The assistant is writing.")


def _echo(traffic: Traffic) -> Line:
    if traffic.echoed:
        return Line("echo", _ECHO, "ok", "Its echo came back: the history is complete.")
    if traffic.reply in _SENT:
        return Line("echo", _ECHO, "pending", "Waits for the echo, which takes a few seconds.")
    return Line("echo", _ECHO, "pending", "Waits for the answer.")
