"""How long people wait for the assistant: what the second objective of docs/operations.md is about.

Measured where the answer leaves: from when the latest message that it answers was put on the log,
until Meta has taken its first part. What was put away meanwhile (a Page without a good token, a
limit of Meta's) is not measured, it has metrics of its own; nor is a second look after a crash.
"""

from datetime import datetime

from prometheus_client import Histogram

from libs.common.events import SendText

BUCKETS = (0.25, 0.5, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120, 300)

REPLY_SECONDS = Histogram(
    "assistant_reply_seconds",
    "From a person's message on the log to the answer's first part at Meta.",
    buckets=BUCKETS,
)
OWN_SECONDS = Histogram(
    "assistant_reply_own_seconds",
    "The same without the time that the model took.",
    buckets=BUCKETS,
)


def observe(command: SendText, part: int, sent_at: datetime) -> None:
    """Take the time of an answer, if this part is its first and the command says since when."""
    if command.waiting_since is None or part:
        return
    waited_s = max(0.0, (sent_at - command.waiting_since).total_seconds())
    REPLY_SECONDS.observe(waited_s)
    OWN_SECONDS.observe(max(0.0, waited_s - (command.model_s or 0.0)))
