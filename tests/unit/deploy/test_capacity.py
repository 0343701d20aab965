"""The simulation obeys the laws of queues, and `docs/scaling.md` says what it says."""

import argparse
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.capacity.__main__ import count, positive, share
from deploy.capacity.costs import Assumed, Costs, measured
from deploy.capacity.measuring import counts
from deploy.capacity.model import (
    Installation,
    Load,
    bears,
    happen,
    loads,
    peak_rate,
    waits,
)
from deploy.capacity.queues import Job, Step, percentile, simulate
from deploy.capacity.report import BEGIN, END, INSTALLATIONS, answer, document, with_tables
from libs.common.topics import COMMANDS, EVENTS, TOPICS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "scaling.md"

COSTS = Costs(
    cpu_s={
        "gateway": 0.001,
        "conversation": 0.008,
        "sender": 0.004,
        "takeover": 0.001,
        "analytics": 0.001,
        "console": 0.0,
    },
    round_trips=8,
    records=8,
    graph_calls=3,
    webhooks=4,
    measured_at="2026-01-01",
    machine="none",
)

arrivals = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=40).map(
    sorted
)


def served(jobs: list[tuple[int, int]], servers: int) -> list[float]:
    """Latencies in the order of arrival, each job being of a kind of its own."""
    named = [(float(at), Job(str(i), (Step("desk", s),))) for i, (at, s) in enumerate(jobs)]
    outcome = simulate({"desk": servers}, named)
    return [outcome.latencies[str(i)][0] for i in range(len(jobs))]


@given(arrivals, st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_one_more_server_makes_nobody_wait_longer(jobs: list[tuple[int, int]], c: int) -> None:
    for fewer, more in zip(served(jobs, c), served(jobs, c + 1), strict=True):
        assert more <= fewer


@given(arrivals, st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_all_who_come_leave_and_work_is_neither_lost_nor_made(
    jobs: list[tuple[int, int]], c: int
) -> None:
    named = [(float(at), Job("job", (Step("desk", service),))) for at, service in jobs]
    outcome = simulate({"desk": c}, named)
    assert outcome.begun == outcome.finished == len(jobs)
    assert outcome.busy_s["desk"] == sum(service for _, service in jobs)
    assert outcome.busy_s["desk"] <= c * outcome.ended_at


def test_who_comes_first_is_served_first_and_waits_for_who_was_before() -> None:
    assert served([(0, 10), (1, 10), (2, 1)], 1) == [10, 19, 19]
    assert served([(0, 10), (1, 10), (2, 1)], 2) == [10, 10, 9]


def test_work_that_belongs_to_a_server_waits_for_that_one() -> None:
    steps = [(0.0, Job("a", (Step("desk", 5, 0),))), (0.0, Job("b", (Step("desk", 5, 0),)))]
    assert dict(simulate({"desk": 2}, steps).latencies) == {"a": [5], "b": [10]}


def test_followers_are_counted_from_the_first_ones_arrival() -> None:
    last = Job("last", (Step("", delay_s=1),))
    first = Job("first", (Step("", delay_s=2),), ((3.0, last),), not_ours_s=0.5)
    outcome = simulate({}, [(10.0, first)])
    assert dict(outcome.latencies) == {"first": [1.5], "last": [6.0]}


@pytest.mark.parametrize(
    ("servers", "arriving", "wait_s"),
    [(1, 0.5, 1.0), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9)],
)
def test_waits_are_those_of_erlangs_formula(servers: int, arriving: float, wait_s: float) -> None:
    """M/M/c with a mean service of 1 s: C(c, a) / (c - a) of waiting."""
    chance = random.Random(7)
    now, jobs = 0.0, []
    for _ in range(15_000):
        now += chance.expovariate(arriving)
        jobs.append((now, Job("job", (Step("desk", chance.expovariate(1.0)),))))
    outcome = simulate({"desk": servers}, jobs, warm_up_s=100)
    stays = outcome.latencies["job"]
    mean_service = outcome.busy_s["desk"] / outcome.finished
    assert sum(stays) / len(stays) - mean_service == pytest.approx(wait_s, rel=0.08)


def test_an_exchange_does_all_that_it_costs() -> None:
    what = Installation(gateway=2, conversation=3, sender=2, pages=5, largest_page=0.4)
    outcome = happen(20, what, COSTS, Assumed())
    exchanges = len(outcome.latencies["answer"])
    assert outcome.begun == outcome.finished
    whole = outcome.begun / 5  # the webhook, the answer, and three receipts
    assert whole == int(whole)
    assert exchanges < whole
    for service in ("gateway", "conversation", "sender", "takeover", "analytics"):
        assert outcome.busy_s[service] / whole == pytest.approx(COSTS.cpu_s[service])
    documents = outcome.busy_s["database"] / whole * Assumed().documents_per_s
    assert documents == pytest.approx(Assumed().documents)


def test_twice_the_processes_never_make_anybody_wait_longer() -> None:
    one = Installation(pages=24, largest_page=0.1)
    rate = 0.8 * bears(one, COSTS, Assumed())["conversation: CPU"] * peak_rate(1, Assumed())
    before, after = (waits(rate, each, COSTS, Assumed()) for each in (one, one.scaled(2)))
    assert after.webhook_p99_s <= before.webhook_p99_s
    assert after.reply_p50_s <= before.reply_p50_s
    assert after.reply_p99_s < before.reply_p99_s


def test_what_a_part_bears_makes_it_busy_to_the_full() -> None:
    what, assumed = INSTALLATIONS["production"], Assumed()
    for part, number in bears(what, COSTS, assumed).items():
        found = loads(peak_rate(number, assumed), what, COSTS, assumed)
        assert next(load for load in found if load.name == part).busy == pytest.approx(1)


def test_processes_beyond_the_partitions_are_idle() -> None:
    many, enough = Installation(conversation=40), Installation(conversation=12)
    name = "conversation: CPU"
    assert bears(many, COSTS, Assumed())[name] == bears(enough, COSTS, Assumed())[name]


def test_partitions_that_do_not_divide_leave_one_process_with_more() -> None:
    five = loads(1, Installation(conversation=5), COSTS, Assumed())
    assert Load("conversation: CPU", 3 / 12 * 0.008) in five


def test_installations_are_what_is_deployed() -> None:
    """With other partitions, or other pods of the overlay, the document would be out of date."""
    partitions = {topic.partitions for topic in TOPICS if topic.name in (EVENTS, COMMANDS)}
    assert partitions == {INSTALLATIONS["one"].partitions, INSTALLATIONS["production"].partitions}
    base = (ROOT / "deploy" / "k8s" / "base" / "every-service.yaml").read_text(encoding="utf-8")
    assert f"\n  replicas: {INSTALLATIONS['production'].conversation}\n" in base


def test_beyond_what_it_bears_it_is_said_to_break() -> None:
    most = min(bears(INSTALLATIONS["one"], COSTS, Assumed()).values())
    assert answer(most * 1.01, "one", COSTS, Assumed())[-1].startswith("**breaks**")
    assert answer(most * 0.5, "one", COSTS, Assumed())[-1] == "bears it"


def test_metrics_are_added_up_over_their_labels() -> None:
    text = '# HELP x_total y\nx_total{a="1"} 2.0\nx_total{a="2"} 3.5\nx_created{a="1"} 9.0\n'
    assert counts(text) == {"x_total": 5.5}


def test_percentiles() -> None:
    assert percentile([3, 1, 2, 4], 0.5) == 3
    assert percentile([], 0.5) == 0


def test_the_document_says_what_the_simulation_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    written = with_tables(page, document(measured(), Assumed()))
    assert page == written, "write it anew: make docs"


def test_a_page_without_markers_is_refused() -> None:
    assert with_tables(f"a {BEGIN} old {END} b", "new") == f"a {BEGIN}\n\nnew\n\n{END} b"
    with pytest.raises(ValueError, match="no <!-- capacity"):
        with_tables("nothing", "new")


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (count, "0"),
        (count, "-3"),
        (count, "1.5"),
        (positive, "0"),
        (positive, "-1"),
        (positive, "nan"),
        (positive, "inf"),
        (positive, "many"),
        (share, "0"),
        (share, "1.01"),
    ],
)
def test_an_installation_that_cannot_be_is_refused(of: Callable[[str], float], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be"):
        of(text)


def test_the_command_takes_what_can_be() -> None:
    assert (count("12"), positive("1e6"), share("1")) == (12, 1e6, 1.0)
