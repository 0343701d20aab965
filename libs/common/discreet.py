"""What aiohttp has to say about requests, without what stood in them.

aiohttp logs every request it can't parse as an error, with the bytes at fault: what people wrote,
or whatever anybody on the internet cares to send, as often as they like.
"""

import logging
import traceback

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from libs.common.sparingly import Sparingly

BAD = (HttpProcessingError, web.RequestPayloadError)
"""What is wrong with a request, or with a body that nobody waits for any more: no fault of ours."""

log = structlog.get_logger(__name__)


class DiscreetHandler(logging.Handler):
    """Passes on the kind of an error and where in our code it arose, and bad requests sparingly."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._bad_requests = Sparingly()

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, BAD):
            frames = traceback.format_tb(error.__traceback__) if error else []
            log.error("request_failed", error=type(error).__name__, exception="".join(frames))
        elif count := self._bad_requests.count():
            log.warning("bad_request", error=type(error).__name__, count=count)


def discreet_logger() -> logging.Logger:
    """A logger outside the hierarchy: nothing it gets reaches another handler."""
    logger = logging.Logger("libs.common.http", logging.WARNING)
    logger.addHandler(DiscreetHandler())
    return logger
