"""What can come of a call to Graph besides success.

Three kinds, never mixed up: Graph refused it (`GraphError`), it never left (`NotSentError`), nobody
can tell (`OutcomeUnknownError`). No text of these holds a token or what a person wrote: Meta's own
message may quote either, therefore it is an attribute and not part of the text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from libs.common.errors import PermanentError, ProjectError, TransientError
from libs.common.graph.usage import Usage

CodeProblem = Literal["expired", "redirect_uri", "used", "other"]


class GraphError(ProjectError):
    """Graph answered with an error object.

    Attributes:
        code_: Meta's code (`code` is ours).
        subcode: Meta's subcode, often absent.
        message: Meta's text, cut and without the token; localised, and not for logs.
        http_status: varies for the same code: it decides nothing.
        fbtrace_id: what Meta's support asks for.
        retry_after_s: seconds until access is regained, from `Retry-After` or the usage headers.
        usage: as the answer's headers have it.
    """

    code = "graph_error"

    def __init__(
        self,
        code: int,
        subcode: int | None = None,
        message: str = "",
        *,
        http_status: int = 400,
        fbtrace_id: str | None = None,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        pair = f"{code}/{subcode}" if subcode is not None else f"{code}"
        super().__init__(f"code {pair}, status {http_status}, trace {fbtrace_id or 'unknown'}")
        self.code_ = code
        self.subcode = subcode
        self.message = message
        self.http_status = http_status
        self.fbtrace_id = fbtrace_id
        self.retry_after_s = retry_after_s
        self.usage = usage


class RateLimitedError(GraphError, TransientError):
    """A limit of the app, the Page or the thread is reached; calling on prolongs it."""

    code = "graph_rate_limited"


class UnsureError(GraphError):
    """Meta's own trouble. It may have done what was asked: seen with messages that arrived."""

    code = "graph_unsure"


class TokenRejectedError(GraphError, PermanentError):
    """The token is no good: expired, withdrawn, password changed, role lost."""

    code = "graph_token_rejected"


class PermissionMissingError(GraphError, PermanentError):
    """The app lacks a permission, a feature or its review."""

    code = "graph_permission_missing"


class PageRestrictedError(GraphError, PermanentError):
    """The Page is barred from sending for its conduct."""

    code = "graph_page_restricted"


class WindowClosedError(GraphError, PermanentError):
    """By Meta's clock the messaging window is closed."""

    code = "graph_window_closed"


class PersonUnavailableError(GraphError, PermanentError):
    """The person blocked the Page, left, deleted the chat or wants none of this."""

    code = "graph_person_unavailable"


class ThreadControlError(GraphError, PermanentError):
    """Another app, or a flow of Meta's, has control of the thread."""

    code = "graph_thread_control"


class NoProfileError(GraphError, PermanentError):
    """The person shows no profile to this app."""

    code = "graph_no_profile"


class NotFoundError(GraphError, PermanentError):
    """Graph knows no such object, or does not show it to this token."""

    code = "graph_not_found"


class InvalidRequestError(GraphError, PermanentError):
    """Graph finds the request wrong; also every code that stands in no list."""

    code = "graph_invalid_request"


class CodeRejectedError(GraphError, PermanentError):
    """A login code is no good; the person has to go through the dialog again."""

    code = "graph_code_rejected"

    @property
    def reason(self) -> CodeProblem:
        """Why, as far as Meta's subcode tells."""
        return _CODE_PROBLEMS.get(self.subcode or 0, "other")


class AppRejectedError(GraphError, PermanentError):
    """The app's id or secret is wrong, or the app may not send people to this address."""

    code = "graph_app_rejected"


class CallbackRejectedError(GraphError, PermanentError):
    """The webhook's address could not be reached, or did not answer with the challenge."""

    code = "graph_callback_rejected"


class NotSentError(TransientError):
    """No connection came about (refused, no address, no route, failed TLS): nothing can have
    arrived. Only that: whatever fails on a connection once made is `OutcomeUnknownError`.
    """

    code = "graph_not_sent"


class OutcomeUnknownError(ProjectError):
    """Graph may have done it. Neither transient nor permanent: find out before trying again.

    `http_status`: None if not even the head of an answer came.
    """

    code = "graph_outcome_unknown"

    def __init__(
        self,
        reason: str,
        *,
        http_status: int | None = None,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(reason if http_status is None else f"{reason}, status {http_status}")
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        self.usage = usage


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The `error` object of an answer, as far as it makes sense."""

    code: int
    subcode: int | None
    message: str
    fbtrace_id: str | None


# Source: Messenger Platform, "Error codes"; Graph API, "Handling errors" and "Rate limits". The
# same fault comes with several codes, so that a listed subcode speaks before the code beside it.
_BY_PAIR: Mapping[tuple[int, int], type[GraphError]] = {
    (9, 2018352): RateLimitedError,
    (100, 33): NotFoundError,
}
_BY_SUBCODE: Mapping[int, type[GraphError]] = {
    **dict.fromkeys((2018278, 2534022, 2018065), WindowClosedError),
    **dict.fromkeys((1545041, 2018108, 1893015, 1404170, 2018336), PersonUnavailableError),
    **dict.fromkeys((2018028, 2018027, 2018021), PermissionMissingError),
    **dict.fromkeys((2534037, 2018300, 2018171, 2018321), ThreadControlError),
    **dict.fromkeys((2018218, 2018247), NoProfileError),
    1893063: PageRestrictedError,
    2018001: NotFoundError,
}
_BY_CODE: Mapping[int, type[GraphError]] = {
    **dict.fromkeys((4, 17, 32, 341, 613, 80001, 80006), RateLimitedError),
    **dict.fromkeys((-1, 1, 2, 1200), UnsureError),
    **dict.fromkeys((190, 102), TokenRejectedError),
    **dict.fromkeys((10, 230, *range(200, 300)), PermissionMissingError),
    **dict.fromkeys((803, 2500, 9000001), NotFoundError),
    **dict.fromkeys((2200, 2201), CallbackRejectedError),
    368: PageRestrictedError,
    551: PersonUnavailableError,
}
KNOWN_CODES = frozenset({100, *_BY_CODE}) - frozenset(range(201, 300))
"""Codes that say something by themselves. Those from 201 to 299 are permissions, seldom met."""
_CODE_PROBLEMS: Mapping[int, CodeProblem] = {36007: "expired", 36008: "redirect_uri", 36009: "used"}
# what such a code means is settled whatever subcode comes with it
_CODES_FIRST = (RateLimitedError, UnsureError, TokenRejectedError)


def error_type(code: int, subcode: int | None) -> type[GraphError]:
    """Which error a code and its subcode stand for. Some subcodes come as codes, too."""
    by_code = _BY_CODE.get(code)
    if by_code in _CODES_FIRST:
        return by_code
    if subcode is not None:
        listed = _BY_PAIR.get((code, subcode)) or _BY_SUBCODE.get(subcode)
        if listed is not None:
            return listed
    return by_code or _BY_SUBCODE.get(code) or InvalidRequestError


def login_error_type(code: int, subcode: int | None) -> type[GraphError]:
    """The same where a code or a token is exchanged: some codes mean other things there."""
    if code == 100:
        return CodeRejectedError
    if (code, subcode) == (1, None) or code in (101, 191):
        return AppRejectedError
    return error_type(code, subcode)
