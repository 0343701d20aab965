"""What Meta's error codes mean, in plain words, and what to do about each. Data, no rules.

Source: Messenger Platform "Error codes" and Graph API "Handling errors", with what real
integrations met. The same fault comes with different codes (a blocked person as 551/1545041 and
200/1545041), therefore a subcode that is listed speaks whatever the code beside it.
"""

from dataclasses import dataclass
from typing import Literal

LimitScope = Literal["app", "page", "person"]

RefusalClass = Literal["person", "page", "input", "thread", "network"]
"""Whom it concerns: this person only, every message of the Page, this message, the thread's
ownership, or the way to Meta."""

RetryHint = Literal["never", "when_person_writes", "when_fixed", "split", "once", "soon", "later"]
"""`when_fixed`: a person has to change something at Meta first. `split`: in smaller parts. `once`,
`soon`, `later`: by itself, one more time, until it works, or a few times some time apart."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message did not go out. `reason` is stable; the words are for people."""

    reason: str
    kind: RefusalClass
    retry: RetryHint
    explanation: str
    advice: str


@dataclass(frozen=True, slots=True)
class TokenCause:
    """Why a Page can send nothing, and what its channel becomes; None: it stays as it is, for
    Meta lifts a bar by itself and Reconnect would not help.

    `probe_every_s`: how long to leave Meta alone before one call finds out whether it is over.
    """

    cause: str
    status: Literal["expired", "revoked"] | None
    explanation: str
    advice: str
    probe_every_s: float = 60.0


TRANSIENT_CODES = frozenset({-1, 1, 2, 1200})
"""Meta does not know either: documented or seen with messages that went out all the same."""

LIMITS: dict[tuple[int, int | None], LimitScope] = {
    (4, None): "app",
    (17, None): "app",
    (341, None): "app",
    (32, None): "page",
    (613, None): "page",
    (613, 2018338): "person",
    (613, 1893016): "person",
    (80001, None): "page",
    (80006, None): "page",
    (9, 2018352): "person",
}
"""Not taken, and to be asked again more slowly."""

TOKEN_CODES = frozenset({190, 102})

_RECONNECT = "Press Reconnect on the channel's page; settings and history stay."

TOKEN_UNCLEAR = TokenCause(
    "unknown", "expired", "Facebook no longer accepts the connection to this Page.", _RECONNECT
)
TOKEN_CAUSES: dict[int | None, TokenCause] = {
    458: TokenCause(
        "app_removed",
        "revoked",
        "The person who connected the Page removed the app at Facebook.",
        _RECONNECT,
    ),
    459: TokenCause(
        "checkpoint",
        "revoked",
        "Facebook asks the person who connected the Page to confirm who they are.",
        "That person logs in at facebook.com first; then press Reconnect.",
    ),
    460: TokenCause(
        "password_changed",
        "revoked",
        "The person who connected the Page changed their Facebook password.",
        _RECONNECT,
    ),
    463: TokenCause("expired", "expired", "The connection to this Page ran out.", _RECONNECT),
    464: TokenCause(
        "unconfirmed_account",
        "revoked",
        "The Facebook account that connected the Page is not confirmed.",
        "That person confirms the account at facebook.com first; then press Reconnect.",
    ),
    467: TokenCause("invalid", "revoked", "Facebook withdrew the connection.", _RECONNECT),
    492: TokenCause(
        "role_lost",
        "revoked",
        "The person who connected the Page no longer has a role on it.",
        "Give that person their role back, or let another admin of the Page press Reconnect.",
    ),
}

RESTRICTED = TokenCause(
    "page_restricted",
    None,
    "Facebook has barred the Page from sending for a while because of its policies.",
    "Look at Page Quality (or Support Inbox) at Facebook; sending goes on when the bar is lifted.",
    probe_every_s=900.0,
)
APP_SECRET = TokenCause(
    "app_secret",
    None,
    "Facebook does not take our signature: the app's secret is another one by now.",
    "Set FACEBOOK_APP_SECRET as the app's dashboard shows it and start the sender again.",
)
RESTRICTED_CODES = frozenset({368})
RESTRICTED_SUBCODES = frozenset({1893063})
"""Whatever the code beside it."""

UNREACHABLE = Refusal(
    "unreachable",
    "network",
    "soon",
    "Facebook could not be reached; the message did not leave.",
    "It is tried again by itself. If it lasts, check the network and metastatus.com.",
)
TOO_LONG = Refusal(
    "too_long",
    "input",
    "split",
    "Facebook did not take the text, most likely because it is too long.",
    "It is split further by itself. If that recurs, lower Max Message Length.",
)
UNKNOWN = Refusal(
    "unknown_error",
    "input",
    "never",
    "Facebook refused the message with a code that we do not know.",
    "Look the code up in Meta's error list; send again if the cause is gone.",
)

_WINDOW_CLOSED = Refusal(
    "window_closed",
    "person",
    "when_person_writes",
    "By Facebook's clock, the time in which the Page may write to this person is over.",
    "Wait until the person writes again.",
)
_UNAVAILABLE = Refusal(
    "person_unavailable",
    "person",
    "when_person_writes",
    "The person cannot be reached: they blocked the Page, left Facebook or deleted the chat.",
    "Nothing can be sent until they write again.",
)
_NO_SUCH_PERSON = Refusal(
    "no_such_person",
    "person",
    "never",
    "This Page has no such person: the id belongs to another Page, or the person is gone.",
    "If it happens with everybody, disconnect the Page and connect the right one.",
)
_STOPPED = Refusal(
    "person_stopped",
    "person",
    "when_person_writes",
    "The person does not want these messages, or local rules forbid them.",
    "Nothing can be sent until they write again.",
)
_PERMISSION = Refusal(
    "permission_missing",
    "page",
    "when_fixed",
    "The app lacks a permission or a feature that this message needs.",
    "Press Reconnect and grant every permission. For messages older than 24 hours, the app needs "
    "the Human Agent feature, which Meta approves in App Review.",
)
_NOT_REVIEWED = Refusal(
    "app_not_live",
    "page",
    "when_fixed",
    "The Meta app is in development mode or not reviewed: it may write only to people who have a "
    "role on it.",
    "Give the person a role on the app to try it, or finish App Review and publish the app.",
)
_COMMERCE = Refusal(
    "commerce_disabled",
    "page",
    "when_fixed",
    "Commerce messages are switched off for the Page.",
    "Switch them on in the Page's settings at Facebook.",
)
_EMPTY = Refusal(
    "empty_message",
    "input",
    "never",
    "Facebook found nothing to show in the message.",
    "Send it again with some text.",
)
_ATTACHMENT = Refusal(
    "attachment_refused",
    "input",
    "never",
    "Facebook could not use the attachment: wrong type, too big, or not the Page's own.",
    "Send another file.",
)
_ATTACHMENT_ONCE = Refusal(
    "attachment_not_fetched",
    "input",
    "once",
    "Facebook could not fetch or process the attachment.",
    "See that its address can be reached from outside, then send again.",
)
_INVALID = Refusal(
    "invalid_request",
    "input",
    "never",
    "Facebook did not accept the form of the message, or a message tag is not allowed for the app.",
    "Please report it with the code. For messages older than 24 hours, check that the app has the "
    "Human Agent feature.",
)
_DEAD_TAG = Refusal(
    "tag_not_allowed",
    "input",
    "never",
    "Facebook no longer accepts this message tag.",
    "Please report it with the code.",
)
_NOT_FOUND = Refusal(
    "not_found",
    "input",
    "never",
    "Facebook does not know the Page or the address we called, or does not show it to the app.",
    "Press Reconnect; if it stays, please report it with the code.",
)
_REMOVED_FEATURE = Refusal(
    "feature_removed",
    "input",
    "never",
    "Facebook has removed what this message uses.",
    "Update this software.",
)
_MESSAGE_GONE = Refusal(
    "message_gone",
    "input",
    "never",
    "The message this one refers to was deleted or is too old.",
    "Send it without the reference.",
)
_NO_HUMAN_AGENT = Refusal(
    "human_agent_not_approved",
    "page",
    "when_fixed",
    "The person last wrote more than 24 hours ago. Later messages need Meta's Human Agent feature, "
    "and Meta has not approved it for this app.",
    "Request Human Agent for the app in Meta's App Review. Until then, answer within 24 hours, or "
    "in Meta's own inbox.",
)
_OTHER_APP = Refusal(
    "thread_owned_by_other_app",
    "thread",
    "never",
    "Another app or Meta's inbox has control of this conversation.",
    "Take it back in Meta's inbox or in the other app, then send again.",
)
_OTHER_FLOW = Refusal(
    "thread_busy",
    "thread",
    "later",
    "A question-and-answer flow of Meta has control of this conversation.",
    "It is tried again for a few minutes by itself; after that, send again when the flow is over.",
)

_BY_SUBCODE: dict[int, Refusal] = {
    2018278: _WINDOW_CLOSED,
    2534022: _WINDOW_CLOSED,
    2018065: _WINDOW_CLOSED,
    1545041: _UNAVAILABLE,
    2018108: _UNAVAILABLE,
    2018001: _NO_SUCH_PERSON,
    2018218: _NO_SUCH_PERSON,
    1893015: _STOPPED,
    1404170: _STOPPED,
    2018336: _STOPPED,
    2018028: _NOT_REVIEWED,
    2018027: _NOT_REVIEWED,
    2018021: _NOT_REVIEWED,
    2018247: _PERMISSION,
    2018014: _INVALID,
    2018034: _EMPTY,
    2018008: _ATTACHMENT_ONCE,
    2018294: _ATTACHMENT_ONCE,
    2018047: _ATTACHMENT,
    2018074: _ATTACHMENT,
    2018109: _ATTACHMENT,
    2018145: _INVALID,
    2018164: _INVALID,
    2534015: _INVALID,
    2018320: _INVALID,
    1893061: _DEAD_TAG,
    2534037: _OTHER_APP,
    2018300: _OTHER_APP,
    2018171: _OTHER_APP,
    2018321: _OTHER_FLOW,
    2018276: _NO_HUMAN_AGENT,
}
_BY_PAIR: dict[tuple[int, int], Refusal] = {
    (100, 33): _NOT_FOUND,
}
_BY_CODE: dict[int, Refusal] = {
    10: _PERMISSION,
    11: _REMOVED_FEATURE,
    100: _INVALID,
    230: _PERMISSION,
    551: _UNAVAILABLE,
    803: _NOT_FOUND,
    2022: _COMMERCE,
    2500: _NOT_FOUND,
    9000001: _MESSAGE_GONE,
    **dict.fromkeys(range(200, 300), _PERMISSION),
}


def refusal_for(code: int, subcode: int | None) -> Refusal:
    """What a refusal means: by subcode, by pair, by code; some subcodes come as codes, too."""
    if subcode is not None:
        known = _BY_SUBCODE.get(subcode) or _BY_PAIR.get((code, subcode))
        if known:
            return known
    return _BY_CODE.get(code) or _BY_SUBCODE.get(code) or UNKNOWN
