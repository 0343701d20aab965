"""What breaks, and when: one fault a minute, by the seed. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

COMPONENTS = (
    "gateway",
    "conversation",
    "sender",
    "takeover",
    "analytics",
    "console",
    "kafka",
    "mongo",
)  # the simulator is the judge: it stays
FREEZE_S = 5.0
LOSSY: dict[str, dict[str, Any]] = {
    "cut after accept": {"drop": "after_accept"},
    "cut before accept": {"drop": "before"},
    "5xx after accept": {"status": 500, "accept": True},
    "answer truncated": {"truncate": True},
    "no answer": {"delay_ms": 15_000},  # for longer than the sender waits
}
LIMIT_REACHED = {"message": "(#613) Calls to this api have exceeded the rate limit.", "code": 613}


@dataclass(frozen=True)
class Fault:
    """`kind` of a `target`: kill, terminate and freeze of a component; else of Meta or the model.

    `facts` is what the simulator is told, `for_s` for how long something is so.
    """

    kind: str
    target: str
    facts: dict[str, Any] = field(default_factory=dict)
    for_s: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.target}: {self.kind}"


@dataclass(frozen=True)
class Planned:
    """A fault, and when: seconds since the load began."""

    at_s: float
    fault: Fault


def deck(chance: random.Random) -> list[Fault]:
    """Every kind of fault once, in random order, with random sizes."""
    processes = [
        Fault(kind, name, for_s=FREEZE_S if kind == "freeze" else 0.0)
        for kind, name in product(("kill", "terminate", "freeze"), COMPONENTS)
    ]
    world = [
        Fault(kind, "Meta", {**facts, "times": chance.randint(1, 5)})
        for kind, facts in LOSSY.items()
    ]
    world += [
        Fault("5xx", "Meta", {"status": 503, "times": chance.randint(1, 5)}),
        Fault("rate limit", "Meta", {"error": LIMIT_REACHED, "times": chance.randint(1, 5)}),
        Fault("usage 95 %", "Meta", {"usage_header": 95}, 20.0),
        Fault("slow", "model", {"delay_ms": 4000}, 20.0),
        Fault("429", "model", {"status": 429}, 4.0),
        Fault("copied", "webhooks", {"copies": 3}, 20.0),
    ]
    faults = processes + world
    chance.shuffle(faults)
    return faults


def planned(seed: int, minutes: int, minute_s: float = 60.0) -> list[Planned]:
    """One at a random moment of each minute. None comes again before all others have come."""
    chance = random.Random(f"soak:{seed}")
    faults = _endless(chance)
    return [
        Planned((minute + chance.random()) * minute_s, next(faults)) for minute in range(minutes)
    ]


def _endless(chance: random.Random) -> Iterator[Fault]:
    while True:
        yield from deck(chance)
