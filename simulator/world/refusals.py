"""Meta's refusals, in Meta's words as far as these are known.

Source: Common Error Codes, Handling Errors, Send API reference; subcodes seen by others are marked
in the project's notes. HTTP 400 stands where the true status is not documented.
"""

from typing import Any, Literal

from simulator.world.units import TokenState

ErrorType = Literal["OAuthException", "GraphMethodException"]


class Refusal(Exception):  # noqa: N818 - it is Meta's answer, not our failure
    """A Graph call that Meta refuses."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        subcode: int | None = None,
        type_: ErrorType = "OAuthException",
        status: int = 400,
        is_transient: bool = False,
        title: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.subcode, self.status = code, subcode, status
        self._message, self._type, self._is_transient = message, type_, is_transient
        self._title, self._advice = title, advice

    def body(self, trace: str) -> dict[str, Any]:
        """The error as Meta's JSON has it."""
        error: dict[str, Any] = {"message": self._message, "type": self._type, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self._is_transient:
            error["is_transient"] = True
        if self._title:
            error["error_user_title"] = self._title
            error["error_user_msg"] = self._advice or self._title
        return {"error": {**error, "fbtrace_id": trace}}


def invalid(message: str, subcode: int | None = None) -> Refusal:
    return Refusal(100, f"(#100) {message}", subcode=subcode)


def missing_token() -> Refusal:
    return Refusal(104, "An access token is required to request this resource.", status=401)


def unknown_token() -> Refusal:
    return Refusal(190, "Invalid OAuth access token - Cannot parse access token")


_TOKEN_WORDS: dict[TokenState, tuple[int, str]] = {
    "expired": (
        463,
        "Error validating access token: Session has expired. The current time is later.",
    ),
    "revoked": (
        458,
        "Error validating access token: The user has not authorized application.",
    ),
    "password_changed": (
        460,
        "Error validating access token: The session has been invalidated because the user changed "
        "their password or Facebook has changed the session for security reasons.",
    ),
    "role_lost": (
        492,
        "Error validating access token: The user must be an administrator, editor, or moderator of "
        "the page in order to impersonate it.",
    ),
}


def dead_token(state: TokenState) -> Refusal:
    subcode, words = _TOKEN_WORDS[state]
    return Refusal(190, words, subcode=subcode)


def proof_missing() -> Refusal:
    words = "API calls from the server require an appsecret_proof argument"
    return Refusal(100, words, type_="GraphMethodException")


def proof_wrong() -> Refusal:
    words = "Invalid appsecret_proof provided in the API argument"
    return Refusal(100, words, type_="GraphMethodException")


def unknown_object(object_id: str, method: str) -> Refusal:
    return Refusal(
        100,
        f"Unsupported {method.lower()} request. Object with ID '{object_id}' does not exist, "
        "cannot be loaded due to missing permissions, or does not support this operation",
        subcode=33,
        type_="GraphMethodException",
    )


def unknown_path(path: str) -> Refusal:
    return Refusal(2500, f"Unknown path components: {path}")


def no_app_role() -> Refusal:
    return Refusal(
        200,
        "(#200) Cannot message users who are not admins, developers or testers of the app until "
        "pages_messaging permission is reviewed and the app is live.",
        subcode=2018028,
        status=403,
    )


def permission_missing(name: str) -> Refusal:
    return Refusal(200, f"(#200) Requires {name} permission to manage the object", status=403)


def unknown_recipient() -> Refusal:
    return invalid("No matching user found", 2018001)


def message_and_action() -> Refusal:
    return invalid("You must provide either message or sender_action, and not both", 2018014)


def empty_message() -> Refusal:
    return invalid("Message cannot be empty, must provide valid attachment or text", 2018034)


def too_long(param: str, limit: int) -> Refusal:
    return invalid(f"Length of param {param} must be less than or equal to {limit}")


def page_restricted() -> Refusal:
    return Refusal(10, "(#10) This Page is temporarily restricted from sending.", subcode=1893063)


def person_unavailable() -> Refusal:
    return Refusal(551, "(#551) This person isn't available right now.", subcode=1545041)


def window_closed() -> Refusal:
    return Refusal(
        10,
        "(#10) This message is sent outside of allowed window. Learn more about the new policy "
        "here: https://developers.facebook.com/docs/messenger-platform/policy-overview",
        subcode=2018278,
    )


def not_thread_owner() -> Refusal:
    """Source: Common Error Codes for the subcode; code and words as met by others."""
    words = "(#10) Message failed to send because another app is controlling this thread now."
    return Refusal(10, words, subcode=2018300)


def tag_not_approved(tag: str) -> Refusal:
    """Source: not documented; code, subcode and words as met by others."""
    words = f"(#100) Cannot tag messages with '{tag}' without prior approval."
    return Refusal(100, words, subcode=2018276)


def dead_tag() -> Refusal:
    return Refusal(
        100,
        "Invalid parameter",
        subcode=1893061,
        title="Message tag is deprecated",
        advice="This message tag is no longer available.",
    )


def calls_per_second() -> Refusal:
    words = "(#613) Calls to this api have exceeded the rate limit."
    return Refusal(613, words, subcode=2534040, is_transient=True)


def usage_exhausted() -> Refusal:
    words = "(#80006) There have been too many calls to this messenger account. Wait a bit."
    return Refusal(80006, words, is_transient=True)


def message_gone() -> Refusal:
    words = "This message has been deleted or is no longer available."
    return Refusal(9000001, words, type_="GraphMethodException")


def page_token_required() -> Refusal:
    return Refusal(210, "(#210) A page access token is required to request this resource.")


def user_token_required() -> Refusal:
    words = "An active access token must be used to query information about the current user."
    return Refusal(2500, words)


def app_token_required() -> Refusal:
    words = "(#15) This method must be called with an app access_token."
    return Refusal(15, words)


def role_insufficient() -> Refusal:
    words = "(#200) User does not have sufficient administrative permission for this action."
    return Refusal(200, words, status=403)


def field_needs_permission(field: str, permission: str) -> Refusal:
    words = f"(#200) To subscribe to the {field} field, one of these permissions is needed: "
    return Refusal(200, words + permission, status=403)


def not_public() -> Refusal:
    words = (
        "(#10) This endpoint requires the 'pages_read_engagement' permission or the 'Page Public "
        "Content Access' feature."
    )
    return Refusal(10, words, status=403)


def unknown_app() -> Refusal:
    words = "Error validating application. Cannot get application info due to a system error."
    return Refusal(101, words)


def wrong_secret() -> Refusal:
    return Refusal(1, "Error validating client secret.")


def unknown_code() -> Refusal:
    return Refusal(100, "Invalid verification code format.")


def code_expired() -> Refusal:
    """Source: subcode by its neighbours 36008 and 36009; the words are Meta's."""
    return Refusal(100, "This authorization code has expired.", subcode=36007)


def other_redirect_uri() -> Refusal:
    words = (
        "Error validating verification code. Please make sure your redirect_uri is identical to "
        "the one you used in the OAuth dialog request"
    )
    return Refusal(100, words, subcode=36008)


def code_used() -> Refusal:
    return Refusal(100, "This authorization code has been used.", subcode=36009)


def menu_without_get_started() -> Refusal:
    words = "You must set a Get Started button if you also wish to use persistent menu."
    return invalid(words, 2018145)


def nested_menu() -> Refusal:
    return Refusal(11, "(#11) Nested menu items are no longer supported.")


def callback_failed(why: str) -> Refusal:
    """Source: words and codes 2200 and 2201 as met by others."""
    words = f"(#2200) Callback verification failed with the following errors: {why}"
    return Refusal(2200, words)


def challenge_not_answered(expected: str, received: str) -> Refusal:
    words = (
        f"(#2201) response does not match challenge, expected value = '{expected}', "
        f"received = '{received[:40]}'"
    )
    return Refusal(2201, words)
