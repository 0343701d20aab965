"""What Facebook's refusals mean, for somebody who wants to connect a Page.

Meta's own texts are never shown: they come in any language and may quote a token.
"""

from libs.common.graph import (
    AppRejectedError,
    CodeRejectedError,
    GraphError,
    NotSentError,
    OutcomeUnknownError,
    PermissionMissingError,
    RateLimitedError,
    TokenRejectedError,
    UnsureError,
)

FACEBOOK_ERRORS = (GraphError, NotSentError, OutcomeUnknownError)

_CODE_WORDS = {
    "used": "Facebook's answer was used already. Log in again.",
    "expired": "Facebook's answer was too old. Log in again.",
    "redirect_uri": "Facebook expected another address of this console. Check that CONSOLE_URL is "
    "the address in your browser, and that it is among the app's Valid OAuth Redirect URIs.",
    "other": "Facebook didn't accept its own answer. Log in again.",
}
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (
        AppRejectedError,
        "Facebook doesn't accept the app's id or secret. Whoever runs the console checks "
        "FACEBOOK_APP_ID and FACEBOOK_APP_SECRET.",
    ),
    (
        RateLimitedError,
        "Facebook takes no more calls from this app at the moment. Try again in a few minutes.",
    ),
    (
        PermissionMissingError,
        "Facebook says that a permission is missing, or its review. Log in again and leave all "
        "permissions switched on.",
    ),
    (TokenRejectedError, "Facebook has withdrawn the access it gave. Log in again."),
    (NotSentError, "Facebook can't be reached from this server. Try again in a moment."),
    (UnsureError, "Facebook had trouble of its own. Try again in a moment."),
    (OutcomeUnknownError, "Facebook's answer didn't arrive. Try again in a moment."),
)


def facebook_words(error: Exception) -> str:
    """One or two sentences: what happened, and what to do."""
    if isinstance(error, CodeRejectedError):
        return _CODE_WORDS[error.reason]
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    if isinstance(error, GraphError):
        trace = f", trace {error.fbtrace_id}" if error.fbtrace_id else ""
        return f"Facebook refused it (code {error.code_}{trace})."
    return "Facebook refused it."
