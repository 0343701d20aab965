"""What Facebook's refusals of a Page's greeting and Get Started mean, and what to do."""

from libs.common.graph import (
    GraphError,
    PermissionMissingError,
    RateLimitedError,
    TokenRejectedError,
)
from services.console.facebook_words import facebook_words

MENU_NEEDS_GET_STARTED = 2018145


def profile_words(error: Exception) -> str:
    """One or two sentences: what happened, and what to do. Meta's own text is never shown."""
    if isinstance(error, GraphError) and error.subcode == MENU_NEEDS_GET_STARTED:
        return (
            "The Page has a persistent menu at Facebook, and that needs Get Started. Remove the "
            "menu there first, or keep Get Started here."
        )
    if isinstance(error, RateLimitedError):
        return (
            "Facebook takes ten changes of a Page's greeting and button in ten minutes, and no "
            "more at the moment. Try again in ten minutes."
        )
    if isinstance(error, PermissionMissingError):
        return (
            "Facebook says that a permission is missing, or its review. Reconnect the Page and "
            "leave all permissions switched on."
        )
    if isinstance(error, TokenRejectedError):
        return "Facebook has withdrawn the access it gave. Reconnect the Page."
    return facebook_words(error)


def code_of(error: Exception) -> str | None:
    """Meta's code and subcode, as its documentation has them."""
    if not isinstance(error, GraphError):
        return None
    return f"{error.code_}/{error.subcode}" if error.subcode is not None else f"{error.code_}"
