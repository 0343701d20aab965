"""The tables: what `docs/scaling.md` shows between its markers, and what the command prints."""

from collections.abc import Iterable, Sequence

from deploy.capacity.costs import MEANINGS, Assumed, Costs
from deploy.capacity.model import (
    EVENT_CONSUMERS,
    FULL,
    Installation,
    bears,
    loads,
    peak_rate,
    waits,
)

BEGIN = "<!-- capacity: written by `python -m deploy.capacity --docs docs/scaling.md` -->"
END = "<!-- end of capacity -->"

INSTALLATIONS = {
    "one": Installation(),
    "production": Installation(
        gateway=2, conversation=2, sender=2, takeover=2, analytics=2, pages=50, largest_page=0.1
    ),
    "twelve": Installation(
        gateway=12,
        conversation=12,
        sender=12,
        takeover=6,
        analytics=6,
        pages=1_000,
        largest_page=0.05,
        shards=1,
    ),
    "large": Installation(
        gateway=12,
        conversation=48,
        sender=48,
        takeover=12,
        analytics=12,
        partitions=48,
        shards=4,
        kafka_brokers=6,
        pages=2_000,
        largest_page=0.01,
    ),
}
ASKED = (
    (1_000, "one"),
    (100_000, "one"),
    (100_000, "production"),
    (1_000_000, "one"),
    (1_000_000, "production"),
    (1_000_000, "twelve"),
    (10_000_000, "twelve"),
    (10_000_000, "large"),
)
SHOWN = 3


def document(costs: Costs, assumed: Assumed) -> str:
    """All tables, as Markdown."""
    parts = (
        ("### Measured", measured_table(costs)),
        ("### Assumed", assumed_table(assumed)),
        ("### Installations", installations_table()),
        ("### What the simulation says", answers_table(costs, assumed)),
        ("### What each part bears", bears_table(costs, assumed)),
    )
    return "\n\n".join(f"{title}\n\n{text}" for title, text in parts)


def with_tables(page: str, text: str) -> str:
    """The page, with what stands between the markers written anew.

    Raises:
        ValueError: it has no markers.
    """
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"no {BEGIN} … {END}")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def measured_table(costs: Costs) -> str:
    rows = [(f"{name}: CPU", f"{cpu * 1000:.1f} ms") for name, cpu in costs.cpu_s.items()]
    rows += [
        ("round trips to the database, all services", f"{costs.round_trips:.1f}"),
        ("records on Kafka", f"{costs.records:.1f}"),
        ("calls to Meta, typing and seen included", f"{costs.graph_calls:.1f}"),
        ("webhooks: message, echo, delivery, read", f"{costs.webhooks:.1f}"),
    ]
    when = f"Of one exchange, on {costs.measured_at[:10]}: {costs.machine}, shared with other work."
    return f"{when}\n\n" + _table(("What", "Costs"), rows)


def assumed_table(assumed: Assumed) -> str:
    rows = ((MEANINGS[name], f"{getattr(assumed, name):g}") for name in MEANINGS)
    return _table(("What", "Taken as"), rows)


def installations_table() -> str:
    head = ("", "gateway", *EVENT_CONSUMERS, "sender", "partitions", "shards", "brokers", "Pages")
    rows = [
        (
            f"**{name}**",
            str(each.gateway),
            *(str(each.of(service)) for service in EVENT_CONSUMERS),
            str(each.of("sender")),
            str(each.partitions),
            str(each.shards),
            str(each.kafka_brokers),
            f"{each.pages:,}, the largest {each.largest_page:.0%}",
        )
        for name, each in INSTALLATIONS.items()
    ]
    return _table(head, rows)


def answers_table(costs: Costs, assumed: Assumed) -> str:
    head = ("Conversations a day", "On", "Exchanges/s at the peak", "Busiest", "Webhook p99")
    rows = [answer(number, name, costs, assumed) for number, name in ASKED]
    return _table((*head, "Reply p50, p99", ""), rows)


def answer(number: float, name: str, costs: Costs, assumed: Assumed) -> tuple[str, ...]:
    """A row of the table: what the simulation says of so many conversations a day."""
    what = INSTALLATIONS[name]
    return (f"{number:,.0f}", name, *judged(number, what, costs, assumed))


def judged(number: float, what: Installation, costs: Costs, assumed: Assumed) -> tuple[str, ...]:
    """Rate, what is busiest, how long people wait, and whether it bears that."""
    rate = peak_rate(number, assumed)
    busiest = loads(rate, what, costs, assumed)
    first = busiest[0]
    shown = ", ".join(f"{load.name} {load.busy:.0%}" for load in busiest[:SHOWN])
    if first.busy > 1:
        over = ", ".join(load.name for load in busiest if load.busy > 1)
        return f"{rate:,.1f}", shown, "–", "–", f"**breaks**: {over}"
    took = waits(rate, what, costs, assumed)
    verdict = "bears it" if first.busy <= FULL else "at its end"
    return (
        f"{rate:,.1f}",
        shown,
        _ms(took.webhook_p99_s),
        f"{_ms(took.reply_p50_s)}, {_ms(took.reply_p99_s)}",
        verdict,
    )


def bears_table(costs: Costs, assumed: Assumed) -> str:
    found = {name: bears(each, costs, assumed) for name, each in INSTALLATIONS.items()}
    parts = sorted(found["one"], key=lambda part: found["one"][part])
    rows = [(part, *(_rounded(found[name][part]) for name in INSTALLATIONS)) for part in parts]
    rows.append(("**all of it**", *(_rounded(min(found[name].values())) for name in found)))
    return _table(("Conversations a day at 100 %", *INSTALLATIONS), rows)


def _rounded(number: float) -> str:
    """Two figures: more would claim to know more."""
    digits = len(str(int(number))) - 2
    return f"{round(number, -digits):,.0f}"


def _ms(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:,.0f} s"
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
