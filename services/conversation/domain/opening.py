"""What of a person's doings opens Meta's messaging window, or opens it anew. Pure.

Source: Messenger Platform, "Messaging window": messages, buttons, reactions, and m.me links into an
existing thread do; ads and chat plugins do when the person also writes.
"""

from libs.common.events import (
    MessageReceived,
    PostbackReceived,
    ReactionReceived,
    Record,
    ReferralReceived,
)

_ONLY_BY_WRITING = frozenset({"ADS", "CUSTOMER_CHAT_PLUGIN"})


def opens_window(event: Record) -> bool:
    """Whether every app of the Page may write for a day from this event on."""
    match event:
        case MessageReceived():
            return not event.is_deleted
        case PostbackReceived() | ReactionReceived(action="react"):
            return True
        case ReferralReceived():
            return (event.referral.source or "").upper() not in _ONLY_BY_WRITING
    return False
