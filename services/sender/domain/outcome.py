"""What became of one send, judged from Meta's answer or from its absence.

Three things must never be mixed up: Meta took it, Meta did not take it, nobody can tell. Only what
is documented as a refusal counts as one; what is *uncertain* is settled by evidence (echo, receipt,
the thread read back), never by sending again.

Judged by code and subcode. Texts are localised and the HTTP status varies, so the status alone
decides nothing, and one text is read: the one that names the message's text as what is wrong. It
has no subcode, and means that the text is too long. What each code means stands in `refusals.py`.
"""

import math
from dataclasses import dataclass
from typing import Literal

from services.sender.domain.refusals import (
    APP_SECRET,
    LIMITS,
    RESTRICTED,
    RESTRICTED_CODES,
    RESTRICTED_SUBCODES,
    TOKEN_CAUSES,
    TOKEN_CODES,
    TOKEN_UNCLEAR,
    TOO_LONG,
    TRANSIENT_CODES,
    UNREACHABLE,
    LimitScope,
    Refusal,
    TokenCause,
    refusal_for,
)

UncertainReason = Literal[
    "no_answer", "server_error", "unreadable_answer", "meta_unsure", "too_many_calls"
]


@dataclass(frozen=True, slots=True)
class MetaError:
    """The `error` object of Meta's answer. `message` is looked at for one rule only."""

    code: int
    subcode: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """Meta took it and calls it `mid`."""

    mid: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Meta did not take it. `code` and `subcode` are Meta's; None if it was never reached."""

    refusal: Refusal
    code: int | None = None
    subcode: int | None = None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """Meta did not take it, and wants less. It keeps its place in the queue.

    `retry_after_s`: seconds Meta asked for; None if it named no time, then back off.
    """

    scope: LimitScope
    retry_after_s: float | None
    code: int | None = None
    subcode: int | None = None


@dataclass(frozen=True, slots=True)
class TokenRejected:
    """Meta did not take it: the Page's token or our signature is no good, or the Page is barred
    from sending. Every further call would meet the same."""

    cause: TokenCause
    code: int
    subcode: int | None = None


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Meta may have taken it. `retry_after_s`: it wants less of us all the same, for so long."""

    reason: UncertainReason
    code: int | None = None
    subcode: int | None = None
    retry_after_s: float | None = None


Outcome = Sent | Refused | RateLimited | TokenRejected | Uncertain


def classify(
    *,
    status: int | None = None,
    mid: str | None = None,
    error: MetaError | None = None,
    retry_after_s: float | None = None,
    may_have_arrived: bool = True,
) -> Outcome:
    """Judge one send.

    Args:
        status: HTTP status; None if no answer came (timeout, reset, no connection).
        mid: `message_id` of a readable answer.
        error: the `error` object of a readable answer, if it has one with a code.
        retry_after_s: seconds until regain, from `Retry-After` or the usage headers.
        may_have_arrived: without an answer, whether a byte of the request may have left. False
            only for what fails before: refused connection, no address, failed TLS handshake.
    """
    if status is None:
        return Uncertain("no_answer") if may_have_arrived else Refused(UNREACHABLE)
    if mid and 200 <= status < 300:
        return Sent(mid)
    if error is not None:
        return _by_code(error, retry_after_s)
    return _by_status(status, retry_after_s)


def _by_code(error: MetaError, retry_after_s: float | None) -> Outcome:
    code, subcode = error.code, error.subcode
    if code in TRANSIENT_CODES:
        return Uncertain("meta_unsure", code, subcode)
    if code in TOKEN_CODES:
        return TokenRejected(TOKEN_CAUSES.get(subcode, TOKEN_UNCLEAR), code, subcode)
    if code in RESTRICTED_CODES or subcode in RESTRICTED_SUBCODES:
        return TokenRejected(RESTRICTED, code, subcode)
    if code == 100 and "appsecret_proof" in error.message:  # nothing else tells it from bad input
        return TokenRejected(APP_SECRET, code, subcode)
    if scope := LIMITS.get((code, subcode)) or LIMITS.get((code, None)):
        return RateLimited(scope, _usable(retry_after_s), code, subcode)
    if _is_too_long(error):
        return Refused(TOO_LONG, code, subcode)
    return Refused(refusal_for(code, subcode), code, subcode)


def _is_too_long(error: MetaError) -> bool:
    """The parameter's name is in no language. If its length is not what is wrong with it, the
    pieces are refused in turn, and soon too short to be split again."""
    return error.code == 100 and "message[text]" in error.message


def _by_status(status: int, retry_after_s: float | None) -> Outcome:
    """An answer that is not Meta's own JSON may come from anything on the way: it proves nothing,
    though "too many" is believed as far as slowing down goes."""
    if status == 429:
        return Uncertain("too_many_calls", retry_after_s=_usable(retry_after_s))
    return Uncertain("server_error" if status >= 500 else "unreadable_answer")


def _usable(seconds: float | None) -> float | None:
    """Headers come from outside: no waiting for ever, nor into the past."""
    return seconds if seconds is not None and math.isfinite(seconds) and seconds > 0 else None
