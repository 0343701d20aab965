"""The cards of a Page's settings, and what becomes of changes that cross each other. Pure.

All settings of a Page have one version, and each card knows at which version it was last changed.
Who saves says which version they saw: another card's change since then does no harm, one of the
same card has to be looked at first.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from libs.common.channels import Change
from libs.common.errors import PermanentError

Card = Literal["assistant", "greeting", "replies", "handover", "contacts", "limits"]
CARDS: tuple[Card, ...] = get_args(Card)

TITLES: Mapping[Card, str] = {
    "assistant": "Assistant",
    "greeting": "Greeting and Get Started",
    "replies": "Replies",
    "handover": "Hand-over",
    "contacts": "Contacts",
    "limits": "Limits",
}
FIELDS: Mapping[Card, tuple[str, ...]] = {
    "assistant": ("enabled", "assistant_id", "prompt_addition", "quiet_window_s"),
    "greeting": ("greeting", "get_started_payload", "welcome_prompt"),
    "replies": ("max_message_length", "text_only_reply", "fallback_text"),
    "handover": (
        "handover_text",
        "handover_languages",
        "handover_phrases",
        "notification_url",
        "notification_secret",
        "pause_on_facebook_reply",
        "auto_resume_minutes",
    ),
    "contacts": ("contact_matching", "auto_create_contacts"),
    "limits": (
        "daily_model_calls",
        "daily_model_tokens",
        "session_idle_s",
        "loop_turns",
        "loop_pause_s",
    ),
}
CARD_OF: Mapping[str, Card] = {name: card for card in CARDS for name in FIELDS[card]}
OF_THE_CHANNEL = frozenset({"enabled", "assistant_id"})
"""What stands in the channel itself; all else is below its `settings`."""
SECRET = frozenset({"notification_secret"})
HIDDEN = frozenset({"notification_url"})
"""Whoever knows such an address can post there: of it the log tells the host."""

SHOWN_CHARACTERS = 80


class CardChange(Change):
    """Who changed a card last, when, and at which version of the settings.

    `by` is empty for what was taken from Facebook.
    """

    version: int


@dataclass(frozen=True)
class Author:
    """Who changes something, and when."""

    id: str
    name: str
    at: datetime


class ChangedMeanwhileError(PermanentError):
    """Somebody else changed the same card since it was looked at."""

    code = "changed_meanwhile"

    def __init__(self, card: Card, change: CardChange) -> None:
        super().__init__(
            f"the card “{card}” was changed by {change.by_name} at {change.at:%Y-%m-%d %H:%M} UTC, "
            f"version {change.version}: read it again"
        )
        self.card = card
        self.change = change


@dataclass(frozen=True)
class CardState:
    """All settings of a Page, by name, and who changed what."""

    values: Mapping[str, Any]
    version: int = 0
    changed: Mapping[str, CardChange] = field(default_factory=dict)


def differing(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is given, what isn't so already."""
    return {name: value for name, value in given.items() if values[name] != value}


def changed(
    state: CardState, given: Mapping[str, Any], *, seen: int | None, author: Author
) -> CardState:
    """The settings with what is given; the same state if all of it is so already.

    Args:
        seen: the version that whoever saves has looked at; None: whatever is there.

    Raises:
        ChangedMeanwhileError: a card that this would change was changed after `seen`.
    """
    new = differing(state.values, given)
    if not new:
        return state
    cards = cards_of(new)
    if seen is not None:
        for card in cards:
            if card in state.changed and state.changed[card].version > seen:
                raise ChangedMeanwhileError(card, state.changed[card])
    version = state.version + 1
    stamp = CardChange(version=version, by=author.id, by_name=author.name, at=author.at)
    return CardState(
        {**state.values, **new}, version, {**state.changed, **dict.fromkeys(cards, stamp)}
    )


def cards_of(names: Collection[str]) -> tuple[Card, ...]:
    """The cards that these settings stand on."""
    return tuple(card for card in CARDS if set(names) & set(FIELDS[card]))


def document_changes(before: CardState, after: CardState) -> dict[str, Any]:
    """What is to be set in the channel's document, by its path there."""
    changes: dict[str, Any] = {
        name if name in OF_THE_CHANNEL else f"settings.{name}": value
        for name, value in differing(before.values, after.values).items()
    }
    changes["settings_version"] = after.version
    for card, change in after.changed.items():
        if before.changed.get(card) != change:
            changes[f"changed.{card}"] = change.model_dump()
    return changes


def told(values: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Each change in a few words, for the audit log: no secret, long texts cut."""
    return {name: _told(name, values[name], value) for name, value in new.items()}


def in_words(name: str, value: object) -> str:
    """A setting's value for people, whole."""
    if name in SECRET:
        return "stored" if value else "none"
    if name in HIDDEN:
        return host_of(str(value)) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def host_of(url: str) -> str:
    """Where an address leads, without what only the two sides should know."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]


def _told(name: str, before: object, after: object) -> str:
    if name in SECRET:
        return ("replaced" if before else "stored") if after else "removed"
    return f"{_cut(in_words(name, before))} → {_cut(in_words(name, after))}"


def _cut(words: str) -> str:
    one_line = " ".join(words.split())
    return one_line if len(one_line) <= SHOWN_CHARACTERS else f"{one_line[: SHOWN_CHARACTERS - 1]}…"
