"""A conversation as it is shown: messages grouped and dated, each with what may be done. Pure."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import UTC, date, datetime, timedelta

from services.console.domain.messages import Message, is_web_address
from services.console.domain.thread_words import (
    Fact,
    Status,
    SystemLine,
    status_of,
    system_line,
    why,
)

TOGETHER = timedelta(minutes=2)
"""Messages of the same hand that close together stand under one name."""

QUOTED_CHARACTERS = 120

_ADDRESS = re.compile(r"https?://[^\s<>\"“”„«»]+", re.IGNORECASE)
_AFTER_ADDRESS = ".,;:!?'*_~)]}…"


@dataclass(frozen=True)
class Piece:
    """A stretch of a text; `link`: an address, and to be made one."""

    text: str = field(repr=False)
    link: str | None = field(default=None, repr=False)
    is_found: bool = False


@dataclass(frozen=True)
class Part:
    """A part as the sender's list has it: what may be decided about it."""

    state: str
    generation: int = 0


@dataclass(frozen=True)
class Hands:
    """What decides about sending something again: who has the conversation, and the window."""

    is_human: bool
    assistant_may: bool
    human_may: bool


@dataclass(frozen=True)
class Choice:
    """What somebody may do about a message that was not sent, or perhaps was."""

    send_id: str
    generation: int
    is_held: bool
    may_send_again: bool
    why_not: str = ""


@dataclass(frozen=True)
class Item:
    """One message or line of the conversation."""

    message: Message
    opens_day: str | None
    opens_group: bool
    pieces: tuple[Piece, ...] = ()
    quote: str | None = field(default=None, repr=False)
    status: Status | None = None
    facts: tuple[Fact, ...] = ()
    choice: Choice | None = None
    line: SystemLine | None = None

    @property
    def revision(self) -> str:
        """Another one as soon as anything about it reads otherwise."""
        texts = [(each.text, each.link, each.is_found) for each in self.pieces]
        line = astuple(self.line) if self.line else None
        rest = (self.opens_group, texts, self.quote, self.status, self.facts, self.choice, line)
        read = f"{self.message.model_dump_json()}{rest!r}"
        return hashlib.sha256(read.encode("utf-8", "replace")).hexdigest()[:12]


@dataclass(frozen=True)
class Known:
    """What is known besides the messages themselves."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    """By send id: what was held or has failed, and is not settled."""
    hands: Hands | None = None
    """None: nobody can tell at the moment, so nothing is offered."""
    own_app_id: str | None = None
    find: str = field(default="", repr=False)


def items_of(messages: Sequence[Message], known: Known, today: date) -> tuple[Item, ...]:
    """From the oldest to the newest.

    Args:
        messages: oldest first.
        today: in UTC; browsers put days of their own zone in place of ours.
    """
    by_mid = {each.mid: each for each in messages if each.mid}
    items: list[Item] = []
    before: Item | None = None
    for message in messages:
        item = _item(message, before, known, by_mid, today)
        if item is not None:
            items.append(item)
            before = item
    return tuple(items)


def _item(
    message: Message,
    before: Item | None,
    known: Known,
    by_mid: Mapping[str, Message],
    today: date,
) -> Item | None:
    day = message.at.astimezone(UTC).date()
    is_new_day = before is None or before.message.at.astimezone(UTC).date() != day
    opens_day = day_words(day, today) if is_new_day else None
    if message.kind == "system":
        line = system_line(message, known.own_app_id)
        return None if line is None else Item(message, opens_day, True, line=line)
    part = known.parts.get(message.send_id or "")
    quoted = by_mid.get(message.reply_to_mid or "")
    return Item(
        message,
        opens_day,
        is_new_day or before is None or not _is_together(before.message, message),
        pieces=pieces_of(message.text or "", known.find),
        quote=quote_of(quoted) if quoted else None,
        status=status_of(message, is_again=part is not None and part.state == "again"),
        facts=why(message) if message.is_ours else (),
        choice=choice_of(message, part, known.hands),
    )


def _is_together(before: Message, message: Message) -> bool:
    same = before.side == message.side and before.by == message.by
    return same and message.at - before.at < TOGETHER


def day_words(day: date, today: date) -> str:
    if day == today:
        return "Today"
    if day == today - timedelta(days=1):
        return "Yesterday"
    return f"{day:%A, %-d %B}" if day.year == today.year else f"{day:%A, %-d %B %Y}"


def quote_of(message: Message) -> str:
    """The beginning of what somebody replies to, in one line."""
    text = " ".join((message.text or "").split())
    if not text:
        return "An attachment" if message.attachments else "A message"
    return text if len(text) <= QUOTED_CHARACTERS else f"{text[: QUOTED_CHARACTERS - 1]}…"


def choice_of(message: Message, part: Part | None, hands: Hands | None) -> Choice | None:
    """None: there is nothing to decide, or nobody can tell."""
    if part is None or part.state not in ("held", "failed") or message.send_id is None:
        return None
    if hands is None or message.status not in ("held", "failed"):
        return None
    why_not = ""
    if message.side == "assistant" and hands.is_human:
        why_not = "The assistant wrote this, and a human has the conversation."
    elif not (hands.human_may if message.side == "human" else hands.assistant_may):
        why_not = "Nothing may be sent to the person at the moment."
    return Choice(
        message.send_id, part.generation, part.state == "held", not why_not, why_not=why_not
    )


def pieces_of(text: str, find: str = "") -> tuple[Piece, ...]:
    """The text with its web addresses as links, and with what was searched for marked."""
    pieces: list[Piece] = []
    place = 0
    for match in _ADDRESS.finditer(text):
        address = _trimmed(match.group())
        if not is_web_address(address):
            continue
        pieces += _marked(text[place : match.start()], find)
        pieces.append(Piece(address, link=address))
        place = match.start() + len(address)
    pieces += _marked(text[place:], find)
    return tuple(pieces)


def _trimmed(address: str) -> str:
    """Without the punctuation of the sentence; a bracket stays if it was opened inside."""
    end, unopened = len(address), address.count(")") - address.count("(")
    while end and address[end - 1] in _AFTER_ADDRESS:
        if address[end - 1] == ")":
            if unopened <= 0:
                break
            unopened -= 1
        end -= 1
    return address[:end]


def _marked(text: str, find: str) -> Iterable[Piece]:
    if not find:
        return [Piece(text)] if text else []
    split = re.split(f"({re.escape(find)})", text, flags=re.IGNORECASE)
    return [Piece(each, is_found=index % 2 == 1) for index, each in enumerate(split) if each]


def silence(
    messages: Sequence[Message], *, paused: bool, who: str | None, ours: bool
) -> str | None:
    """Why the person's latest message has no answer, where that is known.

    Args:
        messages: oldest first.
        paused: the assistant is switched off for the Page.
        who: the human who has the conversation.
        ours: no other app has it at Facebook.
    """
    said = [each for each in messages if each.kind != "system"]
    if not said or said[-1].direction != "in":
        return None
    if not ours:
        return "No answer: another app has this conversation at Facebook."
    if who is not None:
        return f"No answer from the assistant: {who} has the conversation."
    if paused:
        return "No answer: the assistant is paused on this Page."
    return None


def newest_at(messages: Sequence[Message]) -> datetime | None:
    return max((each.at for each in messages), default=None)
