"""What Facebook says of the app and its webhook."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.console.doctor.domain.findings import Verdict, failed, ok
from services.console.domain.facebook_login import FIELDS
from services.console.domain.token_check import missing_fields

MOST_SKEW = timedelta(seconds=60)
REFUSALS_COUNT_FOR = timedelta(hours=24)


@dataclass(frozen=True)
class Subscription:
    """The app's webhook at Facebook, for one object."""

    object: str
    callback_url: str
    active: bool
    fields: Sequence[str]


@dataclass(frozen=True)
class Refusal:
    """A message that Meta refused, and why, as the sender calls it."""

    reason: str
    at: datetime


def judge_clock(ours: datetime, metas: datetime) -> Verdict:
    skew = ours - metas
    seconds = round(skew.total_seconds())
    if abs(skew) <= MOST_SKEW:
        return ok(f"Within {abs(seconds)} s of Meta's.", skew_s=seconds)
    where = "ahead of" if seconds > 0 else "behind"
    return failed(
        f"This machine's clock is {abs(seconds)} s {where} Meta's.",
        "Switch on time synchronisation (NTP) on the machines of all services: windows and "
        "time-outs are counted by their clocks.",
        skew_s=seconds,
    )


def judge_app(app_id: str, found_id: str | None, *, is_valid: bool) -> Verdict:
    if is_valid and found_id in (None, app_id):
        return ok(f"Facebook knows app {app_id} with this secret.", app_id=app_id)
    return app_refused()


def app_refused() -> Verdict:
    return failed(
        "Facebook does not accept the app's id with this secret.",
        "Copy both from the app's dashboard (App settings, Basic) into FACEBOOK_APP_ID and "
        "FACEBOOK_APP_SECRET, for every service, and start them again. The gateway takes the old "
        "secret as well while FACEBOOK_APP_SECRET_PREVIOUS names it.",
    )


def judge_mode(refusals: Sequence[Refusal], now: datetime) -> Verdict:
    """Live or in development? Facebook tells no app, so what counts is whether it has refused
    anybody for it."""
    recent = _recent(refusals, "app_not_live", now)
    if recent is None:
        return ok(
            "Nobody was refused for it in the last 24 hours. Facebook does not say it outright: "
            "the app's dashboard shows the mode.",
        )
    return failed(
        f"Meta refused a reply at {_clock(recent)}: the app is in development mode, or its review "
        "is missing, so only people with a role on the app are answered.",
        "Finish App Review for pages_messaging (Advanced Access) and switch the app to Live in its "
        "dashboard. To try it before, give people a role on the app.",
        refused_at=recent.isoformat(),
    )


def judge_registered(
    subscriptions: Sequence[Subscription], wanted: str
) -> tuple[Verdict, Subscription | None]:
    """Whether the app has a webhook for Pages at all, and which.

    Args:
        wanted: where it should lead.
    """
    cure = (
        f"In the app's dashboard (Messenger, Webhooks) set the callback URL to {wanted} with our "
        f"verify token, for the object Page, and subscribe to {', '.join(FIELDS)}."
    )
    for each in subscriptions:
        if each.object == "page":
            if each.active:
                return ok("The app has a webhook for Pages."), each
            return failed("The app's webhook for Pages is switched off at Facebook.", cure), each
    others = sorted({each.object for each in subscriptions})
    also = f" It has one for {', '.join(others)}, which is no use here." if others else ""
    words = f"The app has no webhook for Pages: nothing arrives.{also}"
    return failed(words, cure, objects=others), None


def judge_callback(subscription: Subscription, wanted: str) -> Verdict:
    if subscription.callback_url.rstrip("/") == wanted:
        return ok(f"Webhooks go to {wanted}.", callback_url=wanted)
    return failed(
        f"Webhooks go to {subscription.callback_url or 'no address'}, and not to {wanted}.",
        f"In the app's dashboard (Messenger, Webhooks) set the callback URL to {wanted} with our "
        "verify token; or correct PUBLIC_URL, if that address is the right one.",
        callback_url=subscription.callback_url,
        wanted=wanted,
    )


def judge_fields(subscription: Subscription) -> Verdict:
    missing = missing_fields(subscription.fields)
    if not missing:
        return ok("The app hears of all that is needed.", fields=sorted(subscription.fields))
    return failed(
        f"The app does not hear of {', '.join(missing)}.",
        "Subscribe to these fields in the app's dashboard (Messenger, Webhooks).",
        missing=list(missing),
    )


def _recent(refusals: Sequence[Refusal], reason: str, now: datetime) -> datetime | None:
    moments = [each.at for each in refusals if each.reason == reason]
    latest = max(moments, default=None)
    return latest if latest is not None and now - latest < REFUSALS_COUNT_FOR else None


def _clock(at: datetime) -> str:
    return f"{at:%-d %b, %H:%M} UTC"
