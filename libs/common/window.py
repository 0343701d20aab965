"""May this message leave now, and as what? Decided at the moment of sending, never earlier.

Rules, in this order; the first that speaks decides:

| Rule | Decision |
|---|---|
| channel unknown, disconnected or switched off | refuse `channel_disabled` |
| assistant, and a human has or had the conversation since | refuse `superseded_by_human` |
| channel Expired or Revoked | wait for Reconnect |
| another app has the thread at Meta | refuse `thread_owned_by_other_app` |
| the person never wrote | refuse `no_user_message` |
| younger than 24 h (assistant: less a margin) | send as `RESPONSE` |
| human, younger than 7 days | send as `MESSAGE_TAG` / `HUMAN_AGENT` |
| otherwise | refuse `window_closed` |

What is superseded is refused even while the channel waits: an epoch never comes back, so waiting
could not help. The window is looked at after the wait, since the person may write in between.

Source: Messenger Platform, "Messaging window" and "Message tags". Whether the last instant counts
is not documented: closed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from libs.common.events.outcomes import Origin

if TYPE_CHECKING:  # the module reads the database; the rules need a name from it
    from libs.common.channels import ChannelStatus

STANDARD_WINDOW = timedelta(hours=24)
HUMAN_AGENT_WINDOW = timedelta(days=7)

ASSISTANT_MARGIN = timedelta(seconds=60)
"""Automated answers stop this long before the window closes by our clock: Meta's decides, and an
answer refused there is worth less than one shown as refused here. A human may try to the end."""

Mode = Literal["ai", "human"]
MessagingType = Literal["RESPONSE", "MESSAGE_TAG"]
Tag = Literal["HUMAN_AGENT"]
RefusalCode = Literal[
    "channel_disabled",
    "superseded_by_human",
    "thread_owned_by_other_app",
    "no_user_message",
    "window_closed",
]


@dataclass(frozen=True, slots=True)
class Send:
    """Send it now, with this type and tag; `window_expires_at` is the end of that permission."""

    messaging_type: MessagingType
    tag: Tag | None
    rule: str
    window_expires_at: datetime


@dataclass(frozen=True, slots=True)
class Refuse:
    """Never send it. `code` is stable; `explanation` and `advice` are for people."""

    code: RefusalCode
    rule: str
    explanation: str
    advice: str
    window_expired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Keep it, and its place in the queue, until the channel is reconnected."""

    rule: str


Decision = Send | Refuse | Wait


def decide(
    *,
    origin: Origin,
    channel_enabled: bool,
    channel_status: "ChannelStatus | None",
    mode_now: Mode,
    mode_epoch_now: int,
    command_epoch: int | None,
    last_user_message_at: datetime | None,
    now: datetime,
    thread_is_ours: bool = True,
) -> Decision:
    """Decide about one message at `now`.

    Args:
        origin: who wrote the text. Only a human's may carry a tag.
        channel_enabled: whether Messenger is switched on for the Page.
        channel_status: of the Page's connection; None if there is no such channel.
        mode_now: who has the conversation.
        mode_epoch_now: the conversation's takeover epoch.
        command_epoch: the epoch the assistant's turn began with; without one it may not send.
            Says nothing about a human's message.
        last_user_message_at: when the person last opened the window, timezone-aware. If it lies in
            the future of `now`, by however much, it counts as now: the clocks differ, the person
            has certainly written, and Meta's clock decides.
        now: the moment of sending, timezone-aware.
        thread_is_ours: False while another app has the thread (conversation routing): nobody of
            ours may write there, neither the assistant nor a human.
    """
    if not channel_enabled or channel_status is None or channel_status == "disconnected":
        return _CHANNEL_DISABLED
    if origin == "assistant" and (mode_now != "ai" or command_epoch != mode_epoch_now):
        return _SUPERSEDED
    if channel_status != "active":
        return Wait(f"channel_{channel_status}")
    if not thread_is_ours:
        return THREAD_OWNED
    if last_user_message_at is None:
        return _NO_USER_MESSAGE
    opened_at = min(last_user_message_at, now)
    if origin == "assistant":
        return _decide_for_assistant(opened_at, now)
    return _decide_for_human(opened_at, now)


def _decide_for_assistant(opened_at: datetime, now: datetime) -> Decision:
    closes_at = opened_at + STANDARD_WINDOW
    if now < closes_at - ASSISTANT_MARGIN:
        return Send("RESPONSE", None, "standard_window", closes_at)
    return Refuse(
        code="window_closed",
        rule="standard_window",
        explanation="Automated answers are allowed for 24 hours after the person's last message. "
        f"That window {_closes(closes_at, now)} at {_moment(closes_at)}.",
        advice="A person can still answer from the inbox up to 7 days after that message. The "
        "assistant answers again when the person writes.",
        window_expired_at=closes_at,
    )


def _decide_for_human(opened_at: datetime, now: datetime) -> Decision:
    standard_until, tagged_until = opened_at + STANDARD_WINDOW, opened_at + HUMAN_AGENT_WINDOW
    if now < standard_until:
        return Send("RESPONSE", None, "standard_window", standard_until)
    if now < tagged_until:
        return Send("MESSAGE_TAG", "HUMAN_AGENT", "human_agent_window", tagged_until)
    return Refuse(
        code="window_closed",
        rule="human_agent_window",
        explanation="Messages written by a person are allowed for 7 days after the other side's "
        f"last message. That window closed at {_moment(tagged_until)}.",
        advice="Wait until the person writes again, or reach them another way.",
        window_expired_at=tagged_until,
    )


def as_human_agent(decided: Send) -> Send:
    """A human's message that was to go as `RESPONSE`, where Meta says the 24 hours are over."""
    until = decided.window_expires_at - STANDARD_WINDOW + HUMAN_AGENT_WINDOW
    return Send("MESSAGE_TAG", "HUMAN_AGENT", "human_agent_window", until)


def _closes(closes_at: datetime, now: datetime) -> str:
    return "closed" if now >= closes_at else "is about to close"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


_CHANNEL_DISABLED = Refuse(
    code="channel_disabled",
    rule="channel_disabled",
    explanation="Messenger is switched off for this Page, or the Page is not connected.",
    advice="Switch Messenger on in the channel's settings, or connect the Page.",
)
_SUPERSEDED = Refuse(
    code="superseded_by_human",
    rule="takeover",
    explanation="A person took over the conversation after the assistant began this answer.",
    advice="Nothing to do: the person answers. Resume AI to let the assistant answer again.",
)
THREAD_OWNED = Refuse(
    code="thread_owned_by_other_app",
    rule="thread_control",
    explanation="Another app, or Meta's own inbox, has control of this conversation, and Facebook "
    "lets only one write.",
    advice="Answer there; or give control back there (in Meta's inbox: mark the conversation as "
    "done), then send again.",
)
_NO_USER_MESSAGE = Refuse(
    code="no_user_message",
    rule="no_user_message",
    explanation="This person has not written to the Page, and a Page may not write first.",
    advice="Wait until the person writes.",
)
