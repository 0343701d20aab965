"""Why a login brought no Page that can be connected: from what Facebook answered, with the cure.

Facebook never says "no Pages because …". It says which permissions were given, for which Pages, and
what it shows of them; each cause below is read off that. Where two causes look alike from here,
both are told, and `is_certain` is False.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from services.console.domain.facebook_login import REQUIRED

CauseCode = Literal[
    "declined",
    "not_offered",
    "none_ticked",
    "unpublished",
    "not_shown",
    "no_role",
    "not_usable",
]
Hidden = Literal["unpublished", "not_shown"]

MEANINGS = {
    "pages_show_list": "show a list of your Pages",
    "pages_messaging": "manage and access Page conversations in Messenger",
    "pages_manage_metadata": "manage Page settings and webhooks",
    "pages_read_engagement": "read content posted on the Page",
    "business_management": "manage your business",
}


@dataclass(frozen=True)
class Answers:
    """What Facebook said.

    Args:
        permissions: `granted`, `declined` or `expired` by name; what was never offered is missing.
        page_count: how many Pages `me/accounts` named.
        usable_count: how many of them can be connected.
        ticked: ids that `pages_show_list` was given for; None: for all, or Facebook does not say.
        hidden: Pages that were ticked and are not in the list, by id.
    """

    permissions: Mapping[str, str]
    page_count: int
    usable_count: int = 0
    ticked: tuple[str, ...] | None = None
    hidden: Mapping[str, Hidden] | None = None


@dataclass(frozen=True)
class Cause:
    """One possible reason. `about`: the permission or the Page's id, if it is about one."""

    code: CauseCode
    title: str
    cure: str
    about: str | None = None
    is_certain: bool = True
    ask_again: bool = False  # the dialog, also for what was declined


def missing_permissions(permissions: Mapping[str, str]) -> tuple[str, ...]:
    """The required ones that were not granted, in the order in which they are asked for."""
    return tuple(name for name in REQUIRED if permissions.get(name) != "granted")


def causes(answers: Answers) -> tuple[Cause, ...]:
    """All reasons why nothing can be connected, the certain ones first; () if something can."""
    found = [_permission(name, answers.permissions) for name in _missing(answers)]
    if not found and answers.usable_count:
        return ()
    shows_list = answers.permissions.get("pages_show_list") == "granted"
    if shows_list and answers.page_count and not found:
        found.append(_NOT_USABLE)
    if shows_list and not answers.page_count:
        found += _no_list(answers)
    return tuple(sorted(found, key=lambda cause: not cause.is_certain))


def _missing(answers: Answers) -> tuple[str, ...]:
    return missing_permissions(answers.permissions)


def _permission(name: str, permissions: Mapping[str, str]) -> Cause:
    meaning = MEANINGS[name]
    if name in permissions:
        return Cause(
            "declined",
            f"The permission {name} was not given",
            f"Log in again and leave “{meaning}” switched on in Facebook's dialog.",
            about=name,
            ask_again=True,
        )
    return Cause(
        "not_offered",
        f"Facebook did not offer the permission {name}",
        "The app lacks Advanced Access to it (App Review), or is in development mode. Until it is "
        "approved and live, only people with a role on the app can connect Pages: add yourself "
        "under App roles in the app's dashboard, or finish the review.",
        about=name,
        is_certain=False,
    )


def _no_list(answers: Answers) -> list[Cause]:
    hidden = answers.hidden or {}
    found = [_HIDDEN[why](page_id) for page_id, why in sorted(hidden.items())]
    if found:
        return found
    if answers.ticked is None:
        return [_NO_ROLE]
    return [_NONE_TICKED, _NO_ROLE]


def _unpublished(page_id: str) -> Cause:
    return Cause(
        "unpublished",
        f"The Page {page_id} isn't published",
        "Publish it in the Page's settings at Facebook, then log in again.",
        about=page_id,
    )


def _not_shown(page_id: str) -> Cause:
    return Cause(
        "not_shown",
        f"Facebook doesn't show the Page {page_id} to you",
        "It was deleted or unpublished, or you have no role on it any more. Ask somebody with "
        "full control of the Page.",
        about=page_id,
    )


_HIDDEN = {"unpublished": _unpublished, "not_shown": _not_shown}
_NONE_TICKED = Cause(
    "none_ticked",
    "No Page was ticked in Facebook's dialog",
    "Log in again and tick the Page where Facebook asks which Pages the app may use. If it goes "
    "on without asking, choose “Edit settings” there.",
    is_certain=False,
    ask_again=True,
)
_NO_ROLE = Cause(
    "no_role",
    "You have no role on a published Page",
    "Check that you are logged in to Facebook as the right person, that the Page exists and is "
    "published, and that you are listed in its Page access. An unpublished Page can't be ticked.",
    is_certain=False,
)
_NOT_USABLE = Cause(
    "not_usable",
    "None of your Pages can be connected",
    "Why stands at each of them.",
)
