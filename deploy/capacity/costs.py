"""What an exchange costs: measured in `costs.json`, and what could only be assumed, with reasons.

An exchange is one message of a person and its answer, with the echo and both receipts.
"""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("costs.json")


@dataclass(frozen=True)
class Costs:
    """Of one exchange. CPU in seconds, by service."""

    cpu_s: dict[str, float]
    round_trips: float
    records: float
    graph_calls: float
    webhooks: float
    measured_at: str
    machine: str


def measured(path: Path = FILE) -> Costs:
    """What `python -m deploy.capacity --measure` has written."""
    told = json.loads(path.read_text(encoding="utf-8"))
    return Costs(
        cpu_s={name: ms / 1000 for name, ms in told["cpu_ms"].items()},
        round_trips=sum(told["round_trips"].values()),
        records=sum(told["records"].values()),
        graph_calls=told["graph_calls"],
        webhooks=told["webhooks"],
        measured_at=told["at"],
        machine=told["machine"],
    )


@dataclass(frozen=True)
class Assumed:
    """What was not measured here: change it to what you know of your installation."""

    exchanges_a_conversation: float = 5.0
    peak: float = 3.0  # the busiest minutes against the day's mean
    graph_s: float = 0.150  # one call of the Send API
    graph_calls_per_s: float = 300.0  # of one Page. Source: Messenger Platform rate limits
    parts: float = 1.2  # messages that an answer becomes
    inbox_messages_per_s: float = 40.0  # beyond it a Page's inbox at Meta stops. Source: the same
    model_s: float = 2.0
    quiet_window_s: float = 0.8  # the setting's default
    kafka_s: float = 0.005  # until three brokers have a record
    kafka_records_per_s: float = 30_000.0  # of three brokers, acknowledged by all
    round_trip_s: float = 0.001  # to the database and back
    documents: float = 14.0  # turn 2, part 2, archive 5, inbox 3, figures 2, counted singly
    documents_per_s: float = 8_000.0  # of one primary: small ones by _id, majority writes
    live_record_s: float = 0.00005  # of a console process whose inbox somebody looks at, a record


MEANINGS = {
    "exchanges_a_conversation": "messages of a person in a conversation, each answered",
    "peak": "busiest minutes of the day against its mean",
    "graph_s": "one call of Meta's Send API, seconds",
    "graph_calls_per_s": "calls that Meta takes from one Page, a second",
    "parts": "messages that an answer becomes",
    "inbox_messages_per_s": "messages of one Page that Meta's own inbox bears, a second",
    "model_s": "one answer of the model, seconds; not ours, and left out of latencies",
    "quiet_window_s": "the Page's setting, seconds; left out of latencies",
    "kafka_s": "until a record is acknowledged by all, seconds",
    "kafka_records_per_s": "records that three brokers take, a second",
    "round_trip_s": "to MongoDB and back, seconds",
    "documents": "documents that an exchange reads or writes; batches share round trips, not these",
    "documents_per_s": "documents that one primary reads or writes, a second: small, by `_id`",
    "live_record_s": "CPU of a console process with an open inbox, a record of the log, seconds",
}
