"""What a Page learns from any call that Meta refused: to wait, or that its token is no good."""

import structlog

from libs.common.errors import TransientError
from libs.common.events import ChannelTokenRejected, derived_id
from services.sender.desk import Desk
from services.sender.domain.outcome import Outcome, RateLimited, TokenRejected

log = structlog.get_logger(__name__)


async def learn(
    desk: Desk, page_id: str, outcome: Outcome | None, *, reading: bool = False
) -> None:
    """Stop the Page where that is what the outcome asks for, and tell of a token that is refused.

    Args:
        reading: it was a read from the Conversations API, which has an allowance of its own.
    """
    page = desk.pages[page_id]
    match outcome:
        case TokenRejected():
            if page.token_rejected(outcome.cause.probe_every_s):
                await _tell_token_rejected(desk, page_id, outcome)
        case RateLimited(scope="page") if reading:
            page.reads_limited(outcome.retry_after_s)
        case RateLimited(scope="page" | "app" as scope):
            pause_s = page.limited(outcome.retry_after_s, whole_app=scope == "app")
            log.warning("page_limited", page_id=page_id, pause_s=round(pause_s, 1))


async def _tell_token_rejected(desk: Desk, page_id: str, outcome: TokenRejected) -> None:
    now = desk.now()
    log.error("token_rejected", page_id=page_id, code=outcome.code, subcode=outcome.subcode)
    event = ChannelTokenRejected(
        event_id=derived_id("channel.token_rejected", page_id, now),
        page_id=page_id,
        occurred_at=now,
        cause=outcome.cause.cause,
        error_code=outcome.code,
        error_subcode=outcome.subcode,
    )
    try:
        await desk.publisher.publish(event)
    except TransientError:
        log.warning("token_rejected_not_told", page_id=page_id)  # the next probe tells it
