"""Our own parts: services, Kafka, the database, the model, the keys."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from libs.common.topics import CHANNELS, COMMANDS, EVENTS
from services.console.doctor.domain.findings import (
    Finding,
    Found,
    Verdict,
    failed,
    ok,
    unknown,
    unknown_because,
)

KAFKA, TOPICS, MONGODB = "kafka.reachable", "kafka.topics", "mongodb.reachable"
MODEL = "model.answers"
LATE_AFTER = timedelta(minutes=1)
RECENT = timedelta(hours=24)


@dataclass(frozen=True)
class Group:
    """A consumer group: whose it is, and what it does."""

    name: str
    service: str
    work: str
    topic: str = EVENTS


GROUPS = (
    Group("conversation", "conversation", "Answers"),
    Group("conversation-history", "conversation", "Archive"),
    Group("conversation-contacts", "conversation", "Names and contacts"),
    Group("conversation-notifications", "conversation", "Notifications"),
    Group("sender", "sender", "Sends", COMMANDS),
    Group("takeover", "takeover", "Takeovers"),
    Group("analytics", "analytics", "Figures"),
    Group("console", "console", "News of Pages", CHANNELS),
)

RESTART = "Look at the last lines of its log, and start it again."


def judge_service(
    name: str, is_alive: bool, checks: Mapping[str, bool] | None, found: Found
) -> Verdict:
    """Args:
    checks: of `/readyz`, by name; None: it gave no answer that could be read.
    found: the lines of Kafka and MongoDB: what is their fault is not the service's.
    """
    if not is_alive:
        return failed(f"The {name} service does not answer.", RESTART)
    if checks is None:
        return failed(f"The {name} service does not say whether it is ready.", RESTART)
    missing = [check for check, is_well in checks.items() if not is_well]
    if not missing:
        return ok("Answers, and is ready.", checks=dict(checks))
    roots = [found[each] for each in (KAFKA, TOPICS, MONGODB) if _is_broken(found.get(each))]
    if roots:
        return unknown_because(roots[0])
    named = ", ".join(each.replace("_", " ") for each in missing)
    return failed(
        f"The {name} service is not ready: {named}.",
        "If that lasts longer than a minute: " + RESTART[0].lower() + RESTART[1:],
        missing=missing,
    )


def _is_broken(finding: Finding | None) -> bool:
    return finding is not None and finding.state in ("failed", "unknown")


def judge_topics(wanted: Mapping[str, int], there: Mapping[str, int]) -> Verdict:
    """Args:
    wanted, there: partitions that have a leader, by topic.
    """
    missing = sorted(name for name in wanted if name not in there)
    few = sorted(name for name in wanted if 0 <= there.get(name, -1) < wanted[name])
    if missing:
        return failed(
            f"Missing: {', '.join(missing)}.",
            "Run python -m libs.common.kafka.topics: it makes them.",
            missing=missing,
        )
    if few:
        named = ", ".join(f"{name} ({there[name]} of {wanted[name]})" for name in few)
        return failed(
            f"Too few partitions that work: {named}.",
            "Bring back the brokers that lead them, or run python -m libs.common.kafka.topics, "
            "which adds partitions.",
            partitions=dict(there),
        )
    return ok("All there, with their partitions.", partitions=dict(there))


@dataclass(frozen=True)
class Lag:
    """What a group has not finished. `oldest_at`: when the oldest of it was written."""

    records: int
    oldest_at: datetime | None = None


def judge_lag(lag: Lag, service: Finding | None, now: datetime) -> Verdict:
    """Args:
    service: the line of the service that should do the work.
    """
    if not lag.records:
        return ok("Nothing waits.", records=0)
    age = now - lag.oldest_at if lag.oldest_at else timedelta(0)
    seconds = max(0, round(age.total_seconds()))
    words = f"{lag.records} records wait, the oldest for {seconds} s."
    details: dict[str, Any] = {"records": lag.records, "oldest_s": seconds}
    if age < LATE_AFTER:
        return ok(words, **details)
    if service is not None and _is_broken(service):
        return Verdict("unknown", words, details=details, because=_because(service))
    return failed(
        words,
        "Look at the service's log for retries, and at assistant_consumer_oldest_seconds; if it is "
        "only slow, run more processes of it.",
        **details,
    )


def _because(finding: Finding) -> str:
    return finding.verdict.because or finding.id


def judge_dead_letters(kept: int, recent: int) -> Verdict:
    """Args:
    kept, recent: those that nobody has put back or discarded; in all, and of the last day.
    """
    if recent:
        return failed(
            f"{recent} in the last 24 hours, {kept} in all.",
            "Each is a record that a service could not handle; nothing of it is lost. Mend what "
            "the errors name, and put them back: under Health, Dead letters, or by make replay.",
            recent=recent,
            kept=kept,
        )
    if kept:
        return ok(f"None in the last 24 hours; {kept} older ones are kept.", recent=0, kept=kept)
    return ok("None.", recent=0, kept=0)


@dataclass(frozen=True)
class DatabaseServer:
    """What the server says of itself."""

    is_stand_in: bool
    replica_set: str | None
    has_primary: bool


def judge_replica_set(server: DatabaseServer, *, is_production: bool) -> Verdict:
    if server.is_stand_in:
        if is_production:
            return failed(
                "This is the development stack's database.",
                "Set MONGODB_URI to a MongoDB replica set.",
            )
        return ok("The development stack's database: one process, for trying things out.")
    if server.replica_set is None:
        words = "A single server: writes are acknowledged by it alone."
        if is_production:
            return failed(
                words,
                "Run MongoDB as a replica set of three members: what one server has acknowledged "
                "is gone when its disk is.",
            )
        return ok(words)
    if not server.has_primary:
        return failed(
            f"The replica set {server.replica_set} has no primary: nothing can be written.",
            "Bring back a majority of its members.",
        )
    return ok(
        f"Replica set {server.replica_set}; writes are acknowledged by a majority.",
        replica_set=server.replica_set,
    )


def judge_indexes(missing: Sequence[str]) -> Verdict:
    if not missing:
        return ok("All declared.")
    return failed(
        f"Missing: {', '.join(missing)}.",
        "Services declare them when they start: start the one again that the collection belongs "
        "to, and look at its log.",
        missing=list(missing),
    )


def judge_keys(total: int, unreadable: Collection[str]) -> Verdict:
    """Args:
    unreadable: Pages whose stored token no key opens.
    """
    if unreadable:
        return failed(
            f"No key opens the stored token of {len(unreadable)} of {total} Pages.",
            "Put the key that was used back into ENCRYPTION_KEYS (old keys stay behind the new "
            "one), or press Reconnect on each of these Pages.",
            pages=sorted(unreadable),
        )
    return ok(f"Every stored token can be read ({total}).", tokens=total)


def judge_model(
    *, provider: str, model: str, failure: str | None, words: str, took_s: float | None
) -> Verdict:
    """Args:
    failure: why there was no answer, as the conversation service calls it; `words`: the same for
        people.
    """
    if failure == "no_assistant":
        cure = "Choose one in the Page's settings. People get the fallback text meanwhile."
        return failed("Nobody answers here: the assistant that was chosen is gone.", cure)
    name = "The offline demo model" if provider == "offline" else f"{model} ({provider})"
    details = {"provider": provider, "model": model}
    if failure is None:
        took = f" in {took_s:.1f} s" if took_s is not None and took_s >= 0.05 else ""
        return ok(f"{name} answered{took}.", **details)
    return failed(
        f"{name} gave no answer. {words}".rstrip(),
        "Correct what it says: under Assistants in the console, or in the LLM_ variables of the "
        "conversation service. People get the fallback text meanwhile.",
        failure=failure,
        **details,
    )


def not_asked(service: str) -> Verdict:
    """A service that should tell was away just then."""
    return unknown(f"The {service} service gave no answer.", "Run the doctor again.")
