"""The faults that are to be survived, by number, and what shows that they are.

`python -m tests.faults.rows docs/reliability.md` writes its table, with the scenarios that name a
row; `make docs` does. A fault that cannot be made on one machine says why, and what stands in.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.faults.scenarios import SCENARIOS

BEGIN, END = "<!-- rows: begin -->", "<!-- rows: end -->"


@dataclass(frozen=True)
class Row:
    """One fault. `tests`: files that make it beside the scenarios. `why`: what cannot be made, and
    what stands in."""

    number: int
    fault: str
    outcome: str
    tests: tuple[str, ...] = ()
    why: str = ""
    how: str = ""

    @property
    def scenarios(self) -> list[str]:
        return [each.name for each in SCENARIOS if self.number in each.rows]


KILLS = "tests/e2e/test_kills.py"
OUTAGES = "tests/e2e/test_outages.py"
SENDING = "tests/e2e/test_sending.py"
DEAD_LETTERS = "tests/integration/test_dead_letters.py"
CRASHES = "tests/unit/sender/test_delivery_crashes.py"
SLOW_CLIENTS = "tests/unit/gateway/test_slow_clients.py"
SIGNATURES = "tests/unit/gateway/test_signature.py"
SPLITTING = "tests/unit/gateway/test_splitting.py"
GATEWAY = "tests/unit/gateway/test_handlers.py"
MODEL = "tests/unit/conversation/test_assistants_llm.py"

ROWS = (
    Row(
        1,
        "gateway: `kill -9` before it writes to the log",
        "no 200; Meta sends it again, and that is accepted",
        (KILLS,),
    ),
    Row(
        2,
        "gateway: `kill -9` when it has written, before the 200",
        "the event stands on the log twice, and is answered once",
    ),
    Row(
        3,
        "gateway: `kill -9` between events of one webhook",
        "the whole webhook comes again; each event counts once",
    ),
    Row(
        4,
        "conversation: `kill -9` with an event read, and nothing done",
        "nothing lost, doubled or out of order; on within 60 s",
        (KILLS,),
    ),
    Row(
        5,
        "conversation: `kill -9` while the model works",
        "one reply; the model is asked twice at most",
        (KILLS,),
    ),
    Row(
        6,
        "conversation: `kill -9` with the reply stored, before it is published",
        "the model is not asked again; the same send ids",
    ),
    Row(
        7,
        "conversation: `kill -9` when it has published, before it commits",
        "the sender drops the second command",
    ),
    Row(
        8,
        "sender: `kill -9` with the claim written, before the POST",
        "no echo, and nothing in the thread: sent, once",
        (CRASHES,),
    ),
    Row(
        9,
        "sender: `kill -9` when Meta has taken the part, before that is noted",
        "echo or thread show it: not sent again",
        (CRASHES,),
    ),
    Row(
        10,
        "the same with the echo 30 s late, or before the answer",
        "not sent again in either case",
        ("tests/unit/sender/test_echoes.py",),
    ),
    Row(
        11,
        "the same with neither echo nor a thread to read",
        "held and shown to people; later messages go on; not sent again",
        ("tests/faults/test_held.py",),
    ),
    Row(12, "sender: `kill -9` between parts of a reply", "goes on with the next part, in order"),
    Row(
        13,
        "analytics: `kill -9` before, within and after its writes, before the commit",
        "the figures are what an offline count of the same log gives, exactly",
        ("tests/integration/test_analytics.py", "tests/unit/analytics/test_folding_laws.py"),
    ),
    Row(
        14,
        "SIGTERM to each service under load",
        "ended within 10 s with status 0; nothing finished is done again",
    ),
    Row(
        15,
        "a consumer frozen for 60 s and thawed: a zombie",
        "its partitions go to the other replica; what it does afterwards is fenced; nothing twice",
    ),
    Row(
        16,
        "Kafka restarted, in order and by `kill -9`",
        "503 within 5 s while it is away, never a false 200; on within 60 s",
        (KILLS,),
    ),
    Row(
        17,
        "Kafka away for 10 min",
        "the gateway's memory stays flat; all clients find back",
    ),
    Row(
        18,
        "Kafka frozen: it takes connections and answers nothing",
        "as above: deadlines work, not only broken connections",
        (OUTAGES,),
    ),
    Row(
        19,
        "MongoDB restarted, away for 5 min, answering 5 s late",
        "the gateway does not notice; turns pause, then nothing is missing",
        (OUTAGES, KILLS),
    ),
    Row(
        20,
        "MongoDB's primary loses a write that it had not acknowledged",
        "writes count once a majority has them, so what has been built on is never lost",
        ("tests/unit/common/test_mongo.py",),
        why="takes a replica set of real MongoDB with an election; the stand-in is one process. "
        "Instead a test holds that every client of ours asks for a majority, and the stand-in, "
        "killed with `kill -9`, has everything that it acknowledged",
    ),
    Row(
        21,
        "a consumer added and removed every 10 s, for 5 min",
        "nothing lost, doubled or out of order; no pause above 15 s",
        ("tests/integration/test_kafka.py",),
    ),
    Row(
        22,
        "a topic put back to its beginning",
        "no send, and the model is not asked",
    ),
    Row(
        23,
        "the model hangs",
        "given up at the deadline, tried twice more, then the fallback, once; others go on",
        ("tests/unit/conversation/test_asking.py", MODEL),
    ),
    Row(
        24,
        "the model: 429 with Retry-After, 5xx, cut in the middle of its answer",
        "the pause is kept; no half reply",
        ("tests/unit/conversation/test_asking.py", MODEL),
    ),
    Row(
        25,
        "the model: empty, 1 MB, broken JSON or tool call, control characters, half a surrogate",
        "bounded and split validly, or the fallback; never a crash loop",
        (MODEL, "tests/unit/conversation/test_assistants_guarded.py"),
    ),
    Row(26, "Meta: 5xx before and after it took the part", "evidence first; never twice"),
    Row(
        27,
        "Meta: 429, 613, 4, with usage headers",
        "nothing lost, order kept, the rate falls and recovers",
        (SENDING, "tests/unit/sender/test_pacing.py", "tests/unit/sender/test_pages.py"),
    ),
    Row(
        28,
        "Meta: 190, the token is no good",
        "the Page pauses and says so; its queue is kept and goes out after Reconnect; one call a "
        "minute at most",
        (SENDING, "tests/unit/sender/test_keeping.py"),
    ),
    Row(
        29,
        "Meta: 551, 10, 200, window closed",
        "final, shown, and the conversation goes on",
        ("tests/unit/sender/test_outcome.py", "tests/e2e/test_analytics.py"),
    ),
    Row(
        30,
        "Meta: no answer though it took the part; cut off; half an answer",
        "evidence first; never twice",
    ),
    Row(
        31,
        "the same webhook again: at once, at two gateways, after days",
        "one reply",
        (GATEWAY, "tests/unit/conversation/test_consumer.py"),
    ),
    Row(
        32,
        "the same message id with other content",
        "the first counts, and it is noticed",
        ("tests/unit/conversation/test_receive.py", "tests/unit/conversation/test_archive.py"),
    ),
    Row(
        33,
        "webhooks out of order",
        "the log's order counts for a person; figures come out right",
        ("tests/unit/analytics/test_fold_laws.py", "tests/unit/conversation/test_archive.py"),
    ),
    Row(
        34,
        "poison with a good signature: unknown, misshapen, NUL, huge numbers",
        "200, kept, nothing blocked, can be put back",
        (SPLITTING, "tests/unit/gateway/test_splitting_laws.py", DEAD_LETTERS),
    ),
    Row(
        35,
        "a record on the log that nobody can read",
        "a dead letter with its place; the consumer goes on",
        (DEAD_LETTERS, "tests/integration/test_kafka.py"),
    ),
    Row(
        36,
        "bad, missing, SHA-1, odd or another app's signature",
        "403, nothing published, few log lines",
        (SIGNATURES, GATEWAY),
    ),
    Row(
        37,
        "a body changed on its way, compressed, in chunks, of a false length",
        "checked over the exact bytes, else 403 or 400",
        (SIGNATURES, GATEWAY, SLOW_CLIENTS),
    ),
    Row(
        38,
        "too large; nested 100,000 deep; 1,000 events in one",
        "413 or 400 early, memory flat; what is legal passes",
        (GATEWAY, "tests/unit/gateway/test_payload.py"),
    ),
    Row(
        39,
        "slow and idle clients",
        "closed within 15 s (an Ingress of Kubernetes may keep idle ones for 75 s); good webhooks "
        "are served meanwhile",
        (SLOW_CLIENTS,),
    ),
    Row(
        40,
        "a clock 10 min wrong on one host; a clock put back by 1 h",
        "no early second send; nothing stands still; days by the event's own time",
        ("tests/unit/sender/test_clocks.py",),
    ),
    Row(
        41,
        "disk full, under Kafka and under MongoDB",
        "503, never a false 200; on when there is room again",
    ),
    Row(
        42,
        "app secret, encryption keys, tokens replaced under traffic",
        "old and new are taken meanwhile; nothing good is refused",
        ("tests/e2e/test_rotation.py",),
    ),
    Row(
        43,
        "one person writes 1,000 messages in 10 s",
        "only that person's queue grows, within bounds and in order",
        ("tests/unit/conversation/test_bursts.py", "tests/e2e/test_handover.py"),
    ),
    Row(
        44,
        "one Page has 95 % of the traffic",
        "the other Pages' people are answered all the same",
    ),
    Row(
        45,
        "parts start in any order",
        "all become ready with nobody's help",
        ("tests/solo/test_start_orders.py",),
    ),
    Row(
        46,
        "an hour at half of saturation, a random fault each minute",
        "nothing lost, doubled or out of order; memory and descriptors flat",
        ("tests/faults/test_soak.py",),
        how="`make soak`, see [Soak](#soak)",
    ),
    Row(
        47,
        "a Page disconnected, a person erased, while a turn runs",
        "nothing is sent afterwards; what was kept is gone",
        ("tests/e2e/test_erasure.py", "tests/unit/sender/test_erased.py"),
    ),
)


def table() -> str:
    lines = ["| # | Fault | Has to come out | Shown by |", "|---|---|---|---|"]
    for row in ROWS:
        shown = [row.how] if row.how else []
        shown += [f"scenario *{name}*" for name in row.scenarios]
        shown += [f"`{path}`" for path in row.tests]
        cell = "; ".join([*shown, *([f"not made here: {row.why}"] if row.why else [])])
        lines.append(f"| {row.number} | {row.fault} | {row.outcome} | {cell} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """Raises: ValueError: the page has no place for it."""
    begin, end = page.find(BEGIN), page.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"no {BEGIN} and {END} in it")
    return f"{page[: begin + len(BEGIN)]}\n{table()}\n{page[end:]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
