"""One Page: its token, what Facebook lets it do, and what was last heard and said."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.console.doctor.domain.findings import Finding, Verdict, failed, ok, waiting
from services.console.domain.connection import CAUSES
from services.console.domain.facebook_login import PERMISSIONS
from services.console.domain.token_check import missing_fields

SOON = timedelta(days=7)
ECHO_WITHIN = timedelta(minutes=2)
NEEDED = PERMISSIONS[1:]  # pages_show_list is for choosing Pages only

_WHAT_FOR = {
    "pages_messaging": "to answer",
    "pages_manage_metadata": "to hear of messages",
    "pages_read_engagement": "to look up whether a message arrived",
}
RECONNECT = "Press Reconnect on the Page, logged in at Facebook as somebody who manages it."


@dataclass(frozen=True)
class Traffic:
    """What was last heard and said on a Page. `echoed`: the last reply came back as an echo."""

    message_at: datetime | None = None
    reply_at: datetime | None = None
    echoed: bool = False
    receipt_at: datetime | None = None


def judge_token(
    *, cause: str | None, owner_ids: tuple[str | None, str | None], app_id: str, page_id: str
) -> Verdict:
    """Is it good, of our app, and of this Page?

    Args:
        cause: as `token_check.token_cause` has it; None: it is good.
        owner_ids: the app and the Page that Facebook says it belongs to, if it does.
    """
    if cause is not None and cause != "permission_missing":
        return failed(CAUSES.get(cause, CAUSES["unknown"]), RECONNECT, cause=cause)
    of_app, of_page = owner_ids
    if of_app not in (None, app_id):
        return failed(
            f"The token belongs to another app ({of_app}).",
            "Correct FACEBOOK_APP_ID, or press Reconnect.",
        )
    if of_page not in (None, page_id):
        return failed(f"The token belongs to another Page ({of_page}).", RECONNECT)
    return ok("Facebook accepts it.")


def judge_scopes(scopes: Collection[str], elsewhere: Collection[str]) -> Verdict:
    """Args:
    elsewhere: permissions that were given, and for other Pages only.
    """
    missing = [each for each in NEEDED if each not in scopes]
    if not scopes:
        return ok("Facebook does not say which permissions it has.")
    if missing:
        named = "; ".join(f"{each}, {_WHAT_FOR[each]}" for each in missing)
        return failed(
            f"Missing: {named}.",
            "Press Reconnect and leave every permission switched on in Facebook's dialog.",
            missing=missing,
        )
    if elsewhere:
        return failed(
            f"Given for other Pages only: {', '.join(sorted(elsewhere))}.",
            "Press Reconnect and tick this Page in Facebook's dialog.",
            elsewhere=sorted(elsewhere),
        )
    return ok(f"All there: {', '.join(NEEDED)}.", scopes=sorted(scopes))


def judge_expiry(
    expires_at: datetime | None, data_access_expires_at: datetime | None, now: datetime
) -> Verdict:
    """Access to people's data may end without ending the conversation: that is told, no more."""
    if expires_at is not None and expires_at - now < SOON:
        return failed(
            f"The token runs out on {_day(expires_at)}.",
            RECONNECT + " A token that a long-lived login gives has no end.",
            expires_at=expires_at.isoformat(),
        )
    words = "It has no end." if expires_at is None else f"It is good until {_day(expires_at)}."
    if data_access_expires_at is None:
        return ok(words)
    at = data_access_expires_at
    if at <= now:
        words += f" Access to names and pictures ended on {_day(at)}: Reconnect renews it."
    elif at - now < SOON:
        words += f" Access to names and pictures ends on {_day(at)}: Reconnect renews it."
    return ok(words, data_access_expires_at=at.isoformat())


def judge_subscribed(fields: Collection[str] | None) -> Verdict:
    """Args:
    fields: what our app hears of the Page; None: it is not subscribed at all.
    """
    if fields is None:
        return failed(
            "The app is not subscribed to the Page: nothing arrives.",
            "Press Reconnect. Pages that were connected in the console are subscribed again within "
            "15 minutes by themselves.",
        )
    missing = missing_fields(fields)
    if missing:
        return failed(
            f"The app does not hear of {', '.join(missing)}.",
            "Press Reconnect: it subscribes to all fields.",
            missing=list(missing),
        )
    return ok("Subscribed to all that is needed.")


def judge_standing(is_published: bool | None) -> Verdict:
    if is_published is False:
        return failed(
            "The Page is not published: only people with a role on it can write.",
            "Publish the Page in its settings at Facebook.",
        )
    return ok("Published.")


def judge_human_agent(refused_at: datetime | None) -> Verdict:
    if refused_at is None:
        return ok("Meta has not refused a person's message after 24 hours.")
    return failed(
        f"Meta refused a person's message after 24 hours ({_day(refused_at)}): the app lacks the "
        "Human Agent feature.",
        "Ask for Human Agent in App Review. Until then people can answer within 24 hours only.",
        refused_at=refused_at.isoformat(),
    )


def judge_message(traffic: Traffic) -> Verdict:
    if traffic.message_at is None:
        return waiting("None yet.", "Write “hi” to the Page now.")
    return ok(f"Came on {_moment(traffic.message_at)}.", at=traffic.message_at.isoformat())


def judge_reply(traffic: Traffic) -> Verdict:
    if traffic.reply_at is None:
        return waiting("None yet.", "It follows the first message by itself.")
    return ok(f"Sent on {_moment(traffic.reply_at)}.", at=traffic.reply_at.isoformat())


def judge_echo(traffic: Traffic, now: datetime) -> Verdict:
    """Without echoes nobody can tell whether a message arrived whose answer got lost."""
    if traffic.reply_at is None:
        return waiting("None yet.", "It follows the first reply by itself.")
    if traffic.echoed:
        return ok("The last reply came back from Meta.")
    if now - traffic.reply_at < ECHO_WITHIN:
        return waiting("Not yet.", "It usually comes within a second.")
    return failed(
        "The last reply never came back from Meta.",
        "Look at the lines about the webhook and the subscription: message_echoes has to be among "
        "the fields of the app and of the Page.",
    )


def judge_receipt(traffic: Traffic) -> Verdict:
    if traffic.receipt_at is None:
        return waiting("None yet.", "It comes when the person's device has a reply.")
    return ok(f"Up to {_moment(traffic.receipt_at)}.", at=traffic.receipt_at.isoformat())


def judge_held(held: int, *, more: bool) -> Verdict:
    if not held:
        return ok("Nothing is held.", held=0)
    count = f"{held} or more" if more else str(held)
    return failed(
        f"Held: {count}. Nobody knows whether Meta took them.",
        "Look at the person's thread in the Page's own inbox at Facebook, then send each again or "
        "discard it: in the console under Health, Not sent.",
        held=held,
    )


def judge_waiting(counts: Mapping[str, int], roots: Sequence[Finding | None]) -> Verdict:
    """What the sender has put away until it may go out.

    Args:
        counts: by why, as the sender calls it.
        roots: lines that would explain why the Page may not send.
    """
    total = sum(counts.values())
    if not total:
        return ok("Nothing waits.", waiting=0)
    details = {"waiting": dict(counts)}
    words = f"{total} wait to be sent."
    if counts.get("token") or counts.get("channel"):
        broken = [root for root in roots if root is not None and root.state == "failed"]
        if broken:
            return Verdict("unknown", words, details=details, because=broken[0].id)
        return failed(
            f"{words} Facebook refused the last message, though the token is good.",
            "Look at Page Quality and the Support Inbox at Facebook: the Page may be barred from "
            "sending for a while. They go out by themselves as long as their time allows.",
            **details,
        )
    if counts.get("broken"):
        return failed(
            words, "Look at the sender's log: kept_command_failed names the error.", **details
        )
    return waiting(words, "Meta's allowance is used up; they go out by themselves.", **details)


def _day(at: datetime) -> str:
    return f"{at:%-d %b %Y}"


def _moment(at: datetime) -> str:
    return f"{at:%-d %b, %H:%M:%S} UTC"
