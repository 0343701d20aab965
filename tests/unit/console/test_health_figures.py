"""Calls counted by services, told apart by process; and the cards that say how the parts are."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.doctor.domain.findings import Finding, Line, Report, Verdict, failed, ok
from services.console.domain.call_figures import WINDOW, Calls, Figures, counts_of
from services.console.domain.health_cards import Card, NotSent, cards, share, summary

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
METRICS = """\
# HELP assistant_graph_calls_total Calls to Meta's Graph API, by what became of them.
# TYPE assistant_graph_calls_total counter
assistant_graph_calls_total{endpoint="messages",outcome="ok"} 7.0
assistant_graph_calls_total{endpoint="actions",outcome="ok"} 3.0
assistant_graph_calls_total{endpoint="messages",outcome="unsure"} 2.0
assistant_graph_calls_created{endpoint="messages",outcome="ok"} 1.7e+09
assistant_graph_call_seconds_bucket{endpoint="messages",le="0.1"} 5.0
assistant_graph_call_seconds_sum{endpoint="messages"} 6.0
assistant_graph_call_seconds_count{endpoint="messages"} 12.0
assistant_model_calls_total{outcome="ok"} 1.0
process_start_time_seconds 1.7e+09
assistant_model_seconds_sum strange
"""


def test_what_is_wanted_of_metrics_is_added_up() -> None:
    assert counts_of(METRICS) == {
        "graph.ok": 10,
        "graph.unsure": 2,
        "graph_s": 6,
        "graph_timed": 12,
        "model.ok": 1,
        "started": 1.7e9,
    }


def sample(started_at: datetime, **counts: float) -> Mapping[str, float]:
    named = {name.replace("_", ".", 1): value for name, value in counts.items()}
    return {"started": started_at.timestamp(), **named}


def calls(figures: Figures, now: datetime) -> Mapping[str, int]:
    return figures.calls("graph", now).by_outcome


def test_only_what_one_process_counted_between_two_looks_is_a_difference() -> None:
    """Two processes behind one address: which of them answers is chance."""
    figures, old = Figures(), NOW - timedelta(days=1)
    other = old + timedelta(minutes=1)
    figures.note("sender", sample(old, graph_ok=100), NOW)
    figures.note("sender", sample(other, graph_ok=5000, graph_unsure=3), NOW + timedelta(minutes=1))
    assert calls(figures, NOW + timedelta(minutes=1)) == {}
    figures.note("sender", sample(old, graph_ok=110), NOW + timedelta(minutes=2))
    figures.note("sender", sample(other, graph_ok=5001, graph_unsure=4), NOW + timedelta(minutes=3))
    assert calls(figures, NOW + timedelta(minutes=3)) == {"ok": 11, "unsure": 1}
    assert figures.processes("sender") == 2


def test_a_process_that_began_while_we_looked_counts_from_its_beginning() -> None:
    figures = Figures()
    figures.note("sender", sample(NOW - timedelta(days=1), graph_ok=9), NOW)
    restarted = NOW + timedelta(minutes=1)
    figures.note("sender", sample(restarted, graph_ok=4), NOW + timedelta(minutes=2))
    assert calls(figures, NOW + timedelta(minutes=2)) == {"ok": 4}


def test_what_is_older_than_a_quarter_of_an_hour_is_forgotten() -> None:
    figures, old = Figures(), NOW - timedelta(days=1)
    figures.note("sender", sample(old, graph_ok=0), NOW)
    figures.note("sender", sample(old, graph_ok=50), NOW + timedelta(minutes=1))
    figures.note("sender", sample(old, graph_ok=60), NOW + timedelta(minutes=10))
    assert calls(figures, NOW + timedelta(minutes=10)) == {"ok": 60}
    assert calls(figures, NOW + timedelta(minutes=15, seconds=1)) == {"ok": 10}
    assert figures.span(NOW + timedelta(hours=3)) == WINDOW
    assert calls(figures, NOW + timedelta(hours=3)) == {}
    assert figures.processes("sender") == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 100)), max_size=30))
def test_no_call_is_counted_twice_whoever_answers(looks: list[tuple[int, int]]) -> None:
    """What is shown is at most what all processes did since the first look."""
    figures, done = Figures(), [1000.0] * 4
    for minute, (process, more) in enumerate(looks):
        done[process] += more
        began = NOW - timedelta(days=1 + process)
        at = NOW + timedelta(seconds=minute)
        figures.note("sender", sample(began, graph_ok=done[process]), at)
    shown = calls(figures, NOW + timedelta(minutes=1)).get("ok", 0)
    assert 0 <= shown <= sum(done) - 4000


def finding(name: str, verdict: Verdict) -> Finding:
    return Finding(Line(name, "Section", "Title"), verdict)


WELL = [
    finding("service.sender", ok("Answers, and is ready.")),
    finding("kafka.reachable", ok("Answers.")),
    finding("kafka.lag.sender", ok("Nothing waits.", records=0)),
    finding("mongodb.reachable", ok("Answers.")),
    finding("meta.reachable", ok("Answers.")),
    finding("model.answers", ok("gpt (openai) answered.")),
]
NONE = Calls("graph"), Calls("model"), timedelta(minutes=15)


def named(made: list[Card]) -> dict[str, Card]:
    return {each.name: each for each in made}


def test_each_part_that_was_looked_at_has_a_card() -> None:
    made = named(cards(WELL, *NONE))
    assert [*made] == ["sender", "kafka", "mongodb", "facebook", "model"]
    assert {each.state for each in made.values()} == {"ok"}
    assert ("Sends", "nothing waits") in made["kafka"].rows


def test_kafka_tells_the_worst_of_its_lines_and_dead_letters_have_a_card_of_their_own() -> None:
    late = finding("kafka.lag.sender", failed("9 wait.", "Look.", records=9, oldest_s=99))
    dead = finding("kafka.dead_letters", failed("2 in all.", "Look."))
    made = named(cards([*WELL, late], *NONE))
    assert (made["kafka"].state, made["kafka"].words) == ("failed", "Title: 9 wait.")
    assert ("Sends", "9 for 99 s") in made["kafka"].rows
    made = named(cards([*WELL, dead], *NONE))
    assert made["kafka"].state == "ok"
    assert made["dead_letters"].state == "failed"


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ({"ok": 95, "unsure": 5}, "ok"),
        ({"ok": 4, "not_sent": 1}, "failed"),
        ({"not_sent": 4}, "ok"),  # too few to tell
        ({"refused": 50, "limited": 50, "token": 9}, "ok"),  # those are answers
    ],
)
def test_many_calls_that_fail_are_trouble_even_if_the_last_look_went_well(
    outcomes: dict[str, int], state: str
) -> None:
    graph = Calls("graph", outcomes, 0.25)
    card = named(cards(WELL, graph, Calls("model"), WINDOW))["facebook"]
    assert card.state == state
    assert ("Calls in 15 min", str(sum(outcomes.values()))) in card.rows
    assert ("Time, on average", "0.25 s") in card.rows


def test_a_model_that_gives_no_answers_is_trouble_whatever_the_reason() -> None:
    model = Calls("model", {"ok": 1, "rate_limited": 6, "cancelled": 3})
    card = named(cards(WELL, Calls("graph"), model, WINDOW))["model"]
    assert (card.state, card.words) == ("failed", "60.0 % of its calls fail.")
    assert ("Rate limited", "6") in card.rows


def test_what_was_not_sent_is_counted_and_leads_to_its_list() -> None:
    held = NotSent(held=2, failed=3, is_cut=True, code=551, code_at=NOW)
    made = named(cards(WELL, *NONE, held, lambda at: f"{at:%H:%M}"))
    assert made["messages"].state == "waiting"
    assert made["messages"].rows == (("Held", "2 or more"), ("Failed", "3 or more"))
    assert made["facebook"].rows[-2:] == (("Last code", "551"), ("That was", "12:00"))
    assert named(cards(WELL, *NONE, NotSent(failed=3)))["messages"].state == "ok"


@pytest.mark.parametrize(
    ("part", "total", "words"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 100_000, "0.1 %"),
        (99_999, 100_000, "99.9 %"),
        (1, 3, "33.3 %"),
    ],
)
def test_shares_are_not_rounded_to_all_or_nothing(part: int, total: int, words: str) -> None:
    assert share(part, total) == words


def test_the_summary_tells_of_figures_where_the_doctor_found_nothing() -> None:
    well = Report(NOW, tuple(WELL))
    assert summary(well, cards(WELL, *NONE)) == ("ok", well.headline)
    graph = Calls("graph", {"not_sent": 9, "ok": 1})
    broken = cards(WELL, graph, Calls("model"), WINDOW)
    assert summary(well, broken) == ("failed", "Facebook: 90.0 % of its calls fail.")
    bad = Report(NOW, (*WELL, finding("service.gateway", failed("Does not answer.", "Start it."))))
    assert summary(bad, broken) == ("failed", bad.headline)
