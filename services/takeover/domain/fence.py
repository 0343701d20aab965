"""May a message of before the takeover still be on its way to Meta?

A sender writes its claim into the conversation, posts, and records a delivery. Its claim is refused
once the takeover stands there. So what can still be posted is at most the one claim that stood in
the conversation at the very write that took it over:

- an older claim has ended: a sender begins a part when the one before is final, and another sender,
  that finds a claim without a delivery, first waits until its deadline is over;
- a claim's request ends before `deadline_at`, or is not begun.
"""

from datetime import datetime

from libs.common.events import Model, UtcDatetime


class Claim(Model):
    """What concerns us of the sender's claim, `conversations.sending`."""

    claim_id: str
    send_id: str
    deadline_at: UtcDatetime
    generation: int = 0
    unused: bool = False


class Delivery(Model):
    """What concerns us of the sender's record of a part, `deliveries`."""

    state: str
    generation: int | None = None

    def ends(self, claim: Claim) -> bool:
        """Whether the claim's request has its outcome."""
        generation = self.generation or 0
        if generation == claim.generation:
            return self.state != "again"
        return generation > claim.generation


def may_be_posting(claim: Claim | None, delivery: Delivery | None, now: datetime) -> bool:
    """Whether a request under this claim may still reach Meta."""
    if claim is None or claim.unused or now >= claim.deadline_at:
        return False
    return delivery is None or not delivery.ends(claim)
