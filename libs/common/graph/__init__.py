"""Meta's Graph API: sending, showing signs, reading a thread back, who a person is."""

from libs.common.graph.answers import Profile, ThreadMessage
from libs.common.graph.client import (
    GraphClient,
    SendResult,
    UsageHook,
    open_graph,
)
from libs.common.graph.errors import (
    GraphError,
    InvalidRequestError,
    NoProfileError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PageRestrictedError,
    PermissionMissingError,
    PersonUnavailableError,
    RateLimitedError,
    ThreadControlError,
    TokenRejectedError,
    UnsureError,
    WindowClosedError,
)
from libs.common.graph.proof import appsecret_proof
from libs.common.graph.usage import Usage, parse_usage

__all__ = [
    "GraphClient",
    "GraphError",
    "InvalidRequestError",
    "NoProfileError",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "PageRestrictedError",
    "PermissionMissingError",
    "PersonUnavailableError",
    "Profile",
    "RateLimitedError",
    "SendResult",
    "ThreadControlError",
    "ThreadMessage",
    "TokenRejectedError",
    "UnsureError",
    "Usage",
    "UsageHook",
    "WindowClosedError",
    "appsecret_proof",
    "open_graph",
    "parse_usage",
]
