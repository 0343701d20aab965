"""An installation under a day's traffic: how busy each part is, what gives way first, how long
people wait.

How busy a part is comes from the costs alone; how long people wait comes from letting the busiest
minutes happen, exchange by exchange. One seed: the same question has the same answer.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from deploy.capacity.costs import Assumed, Costs
from deploy.capacity.queues import Job, Outcome, Step, percentile, simulate

DAY_S = 86_400
EVENT_CONSUMERS = ("conversation", "takeover", "analytics")
ON_THE_WAY = 0.5  # of conversation's CPU for an exchange; the rest comes with echo and receipts
OF_A_TURN, OF_A_PART = 2, 2  # documents
LATER_S = (0.2, 0.5, 5.0)  # echo, delivery and read, after the answer is out
FEWEST, MOST = 1_500, 4_000  # exchanges that are let happen
SHORTEST_S = 6.0  # of the busiest minutes
WARM_UP = 0.25
FULL = 0.9  # at which a queue has no more to give in practice

MODEL_IN_FLIGHT = 2_000  # CONVERSATION_MAX_TURNS_IN_FLIGHT's default
SEED = 20_261_126


@dataclass(frozen=True)
class Installation:
    """What runs. One CPU a process, as each is one event loop."""

    gateway: int = 1
    conversation: int = 1
    sender: int = 1
    takeover: int = 1
    analytics: int = 1
    partitions: int = 12
    shards: int = 1
    kafka_brokers: int = 3
    pages: int = 1
    largest_page: float = 1.0  # share of the traffic that the busiest Page has

    def of(self, service: str) -> int:
        count: int = getattr(self, service)
        return count if service == "gateway" else min(count, self.partitions)

    def scaled(self, factor: int) -> "Installation":
        """So many times the processes."""
        services = ("gateway", "conversation", "sender", "takeover", "analytics")
        return replace(self, **{name: getattr(self, name) * factor for name in services})


@dataclass(frozen=True)
class Load:
    """How busy something is in the busiest minutes: 1 is all it has."""

    name: str
    busy: float


@dataclass(frozen=True)
class Waits:
    """Seconds, of ours: without the model and the quiet window."""

    webhook_p99_s: float
    reply_p50_s: float
    reply_p99_s: float


def peak_rate(conversations: float, assumed: Assumed) -> float:
    """Exchanges a second in the busiest minutes of a day with so many conversations."""
    return conversations * assumed.exchanges_a_conversation * assumed.peak / DAY_S


def loads(rate: float, what: Installation, costs: Costs, assumed: Assumed) -> list[Load]:
    """How busy each part is at so many exchanges a second, the busiest first."""
    found = [Load("gateway: CPU", rate * costs.cpu_s["gateway"] / what.gateway)]
    for service in EVENT_CONSUMERS:
        share = _busiest_share(what.partitions, what.of(service))
        found.append(Load(f"{service}: CPU", rate * share * costs.cpu_s[service]))
    share = max(what.largest_page, _busiest_share(what.partitions, what.of("sender")))
    if what.pages < what.partitions:
        share = max(share, 1 / what.pages)
    calls = rate * what.largest_page * costs.graph_calls
    messages = rate * what.largest_page * assumed.parts
    in_flight = rate * (assumed.model_s + assumed.quiet_window_s)
    found += [
        Load("sender: CPU", rate * share * costs.cpu_s["sender"]),
        Load("largest Page: calls that Meta takes", calls / assumed.graph_calls_per_s),
        Load("largest Page: Meta's own inbox", messages / assumed.inbox_messages_per_s),
        Load(
            "conversation: turns in flight", in_flight / (MODEL_IN_FLIGHT * what.of("conversation"))
        ),
        Load("MongoDB", rate * assumed.documents / (assumed.documents_per_s * what.shards)),
        Load(
            "Kafka",
            rate * costs.records / (assumed.kafka_records_per_s * what.kafka_brokers / 3),
        ),
        Load("console: live inbox", rate * costs.records * assumed.live_record_s),
    ]
    return sorted(found, key=lambda load: -load.busy)


def bears(
    what: Installation, costs: Costs, assumed: Assumed, *, busy: float = 1.0
) -> dict[str, float]:
    """By part: how many conversations a day make it so busy in the busiest minutes."""
    one = peak_rate(1, assumed)
    return {load.name: busy / load.busy for load in loads(one, what, costs, assumed)}


def waits(rate: float, what: Installation, costs: Costs, assumed: Assumed) -> Waits:
    """Let the busiest minutes happen."""
    outcome = happen(rate, what, costs, assumed)
    answers = outcome.latencies["answer"]
    return Waits(
        percentile(outcome.latencies["webhook"], 0.99),
        percentile(answers, 0.5),
        percentile(answers, 0.99),
    )


def happen(rate: float, what: Installation, costs: Costs, assumed: Assumed) -> Outcome:
    """So many exchanges a second, arriving by chance, with everything that follows each of them."""
    count = round(min(MOST, max(FEWEST, rate * SHORTEST_S)))
    chance = random.Random(SEED)
    make = _maker(what, costs, assumed, chance)
    servers = {"gateway": what.gateway, "database": what.shards, "pages": what.pages}
    servers |= {name: what.of(name) for name in (*EVENT_CONSUMERS, "sender")}
    return simulate(servers, _arrivals(count, rate, chance, make), warm_up_s=WARM_UP * count / rate)


def _arrivals(
    count: int, rate: float, chance: random.Random, make: Callable[[], Job]
) -> Iterator[tuple[float, Job]]:
    now = 0.0
    for _ in range(count):
        now += chance.expovariate(rate)
        yield now, make()


def _maker(
    what: Installation, costs: Costs, assumed: Assumed, chance: random.Random
) -> Callable[[], Job]:
    """Makes one exchange after the other."""
    webhook_s = costs.cpu_s["gateway"] / costs.webhooks
    document_s = 1 / assumed.documents_per_s
    later_documents = max(0.0, assumed.documents - OF_A_TURN - OF_A_PART)
    later_cpu = (1 - ON_THE_WAY) * costs.cpu_s["conversation"] / len(LATER_S)

    def at_gateway() -> Step:
        return Step("gateway", webhook_s, delay_s=assumed.kafka_s)

    def at_database(documents: float, shard: int, trips: int = 1) -> Step:
        return Step("database", document_s * documents, shard, delay_s=assumed.round_trip_s * trips)

    def make() -> Job:
        partition, shard = chance.randrange(what.partitions), chance.randrange(what.shards)
        is_largest = what.pages == 1 or chance.random() < what.largest_page
        page = 0 if is_largest else chance.randrange(1, what.pages)
        model_s = assumed.model_s * chance.lognormvariate(-0.125, 0.5)  # its mean is model_s
        sender = (page % what.partitions) % what.of("sender")

        def consumer(service: str, cpu_s: float) -> Step:
            return Step(service, cpu_s, partition % what.of(service))

        receipt = Job(
            "receipt",
            (
                at_gateway(),
                consumer("conversation", later_cpu),
                consumer("takeover", costs.cpu_s["takeover"] / len(LATER_S)),
                consumer("analytics", costs.cpu_s["analytics"] / len(LATER_S)),
                at_database(later_documents / len(LATER_S), shard),
            ),
        )
        answer = Job(
            "answer",
            (
                Step("", delay_s=assumed.quiet_window_s),
                consumer("conversation", ON_THE_WAY * costs.cpu_s["conversation"]),
                at_database(OF_A_TURN, shard, 2),
                Step("", delay_s=model_s + assumed.kafka_s),
                Step("sender", costs.cpu_s["sender"], sender),
                at_database(OF_A_PART, shard, 2),
                Step(
                    "pages",
                    costs.graph_calls / assumed.graph_calls_per_s,
                    page,
                    delay_s=assumed.graph_s,
                ),
            ),
            tuple((after_s, receipt) for after_s in LATER_S),
            not_ours_s=model_s + assumed.quiet_window_s,
        )
        return Job("webhook", (at_gateway(),), ((0.0, answer),))

    return make


def _busiest_share(partitions: int, processes: int) -> float:
    """Of the traffic, for the process with the most partitions."""
    most = -(-partitions // min(processes, partitions))
    return most / partitions
