"""Why messages fail, for people: what the reasons on the log have in common, and what to do.

The event says it of one message; these words are for many. A test sees that every reason of the
sender is here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Group = Literal[
    "window",
    "token",
    "permission",
    "blocked",
    "outage",
    "takeover",
    "content",
    "discarded",
    "channel",
    "other",
]


@dataclass(frozen=True, slots=True)
class Cause:
    """`cause` is stable; the words may change."""

    cause: Group
    explanation: str
    advice: str


_WINDOW = Cause(
    "window",
    "The time in which the Page may write to these people was over.",
    "Automated answers end 24 hours after the person's last message, those of people after 7 days. "
    "Answer sooner, or wait until the person writes again.",
)
_NEVER_WROTE = Cause(
    "window",
    "These people have never written to the Page, and a Page may not write first.",
    "Wait until they write.",
)
_PERMISSION = Cause(
    "permission",
    "The Meta app lacks a permission or a feature that these messages need.",
    "Press Reconnect and grant every permission. Messages older than 24 hours need the Human Agent "
    "feature, which Meta approves in App Review.",
)
_NOT_LIVE = Cause(
    "permission",
    "The Meta app is in development mode or not reviewed: it may write only to people with a role.",
    "Finish App Review and publish the app, or give these people a role on it to try it.",
)
_TAG = Cause(
    "permission",
    "Meta does not accept the tag with which people may answer after 24 hours.",
    "Apply for the Human Agent feature in App Review; until then answer within 24 hours.",
)
_BLOCKED = Cause(
    "blocked",
    "These people cannot be reached: they blocked the Page, left Facebook or deleted the chat.",
    "Nothing can be sent until they write again.",
)
_STOPPED = Cause(
    "blocked",
    "These people do not want such messages, or local rules forbid them.",
    "Nothing can be sent until they write again.",
)
_NO_SUCH_PERSON = Cause(
    "blocked",
    "The Page has no such people: they are gone, or belong to another Page.",
    "If it happens with everybody, disconnect the Page and connect the right one.",
)
_OUTAGE = Cause(
    "outage",
    "Facebook could not be reached, or could not say what became of the messages.",
    "Look at metastatus.com and at the network; then send the messages again.",
)
_TOKEN = Cause(
    "token",
    "The connection to the Page is not accepted any more.",
    "Press Reconnect on the channel's page; settings and history stay.",
)
_CHANNEL = Cause(
    "channel",
    "Messenger was switched off for the Page, or the Page was not connected.",
    "Switch it on in the channel's settings, or connect the Page.",
)
_TAKEOVER = Cause(
    "takeover",
    "A person took over while the assistant was about to answer.",
    "Nothing to do: the person answers.",
)
_OTHER_APP = Cause(
    "takeover",
    "Another app or Meta's inbox had control of the conversations.",
    "Take control back in Meta's inbox or in the other app, then send again.",
)
_EARLIER = Cause(
    "other",
    "An earlier part of the same message did not arrive, so these were not sent.",
    "Look at the cause of the earlier part.",
)
_DISCARDED = Cause(
    "discarded",
    "Nobody could tell whether these had arrived, and a person decided not to send them again.",
    "Nothing to do.",
)
_CONTENT = Cause(
    "content",
    "Facebook did not accept the form or the content of the messages.",
    "Look at single messages in the list of failed ones: each says what was wrong.",
)
_COMMERCE = Cause(
    "permission",
    "Commerce messages are switched off for the Page.",
    "Switch them on in the Page's settings at Facebook.",
)
_OTHER = Cause(
    "other",
    "Facebook refused these messages with a code that we do not know.",
    "Look at single messages in the list of failed ones, and look the code up in Meta's list.",
)

CAUSES: Mapping[str, Cause] = {
    "window_closed": _WINDOW,
    "no_user_message": _NEVER_WROTE,
    "permission_missing": _PERMISSION,
    "human_agent_not_approved": _TAG,
    "tag_not_allowed": _TAG,
    "app_not_live": _NOT_LIVE,
    "commerce_disabled": _COMMERCE,
    "person_unavailable": _BLOCKED,
    "person_stopped": _STOPPED,
    "no_such_person": _NO_SUCH_PERSON,
    "unreachable": _OUTAGE,
    "unanswered": _OUTAGE,
    "no_evidence": _OUTAGE,
    "token_rejected": _TOKEN,
    "channel_disabled": _CHANNEL,
    "superseded_by_human": _TAKEOVER,
    "thread_owned_by_other_app": _OTHER_APP,
    "not_thread_owner": _OTHER_APP,
    "thread_busy": _OTHER_APP,
    "earlier_part_failed": _EARLIER,
    "discarded": _DISCARDED,
    "not_found": _TOKEN,
    "empty_message": _CONTENT,
    "empty": _CONTENT,
    "attachment_refused": _CONTENT,
    "attachment_not_fetched": _CONTENT,
    "invalid_request": _CONTENT,
    "feature_removed": _CONTENT,
    "message_gone": _CONTENT,
    "too_long": _CONTENT,
    "unknown_error": _OTHER,
}


def cause_of(reason: str) -> Cause:
    return CAUSES.get(reason, _OTHER)
