"""What is counted for one message, and when a count is worth nothing."""

import pytest

from deploy.local.demo.counters import EVENTS, PRODUCED, ROUND_TRIPS, Counts, Key
from deploy.local.demo.numbers import Costs, is_undisturbed, spelled
from deploy.local.demo.stage import parts_of, types_of

ANSWER = {"text": "We do.", "metadata": "abc:0", "messaging_type": "RESPONSE"}


def count(service: str, counter: str, value: int, **labels: str) -> dict[Key, int]:
    return {(service, counter, frozenset(labels.items())): value}


def events(**types: int) -> Costs:
    values: dict[Key, int] = {}
    for name, value in types.items():
        values |= count("gateway", EVENTS, value, type=name.replace("_", "."))
    return Costs(Counts(values))


def test_the_turn_is_what_the_archive_and_the_settings_leave() -> None:
    trips = {
        ("find", "conversations"): 1,
        ("update", "conversations"): 3,  # the turn's save, and two of the archive
        ("update", "messages"): 2,
        ("find", "channels"): 1,
        ("find", "assistants"): 1,
        ("update", "spending"): 1,
        ("find", "people"): 1,
    }
    values: dict[Key, int] = {}
    for (command, collection), value in trips.items():
        labels = {"command": command, "collection": collection}
        values |= count("conversation", ROUND_TRIPS, value, **labels)
    costs = Costs(Counts(values))
    assert (costs.turn, costs.archive, costs.settings("conversation")) == (2, 4, 2)
    assert costs.for_message("gateway") == 0


def test_what_comes_with_the_time_is_no_cost_of_a_message() -> None:
    values: dict[Key, int] = {}
    looks = (("distinct", "kept"), ("find", "deliveries"))
    for command, collection in (*looks, ("insert", "deliveries"), ("find", "kept")):
        labels = {"command": command, "collection": collection}
        values |= count("sender", ROUND_TRIPS, 1, **labels)
    costs = Costs(Counts(values))
    assert (costs.upkeep("sender"), costs.for_message("sender")) == (2, 2)


def test_records_are_counted_by_topic() -> None:
    values = count("conversation", PRODUCED, 2, topic="messenger.commands", outcome="acknowledged")
    values |= count("conversation", PRODUCED, 1, topic="messenger.events", outcome="acknowledged")
    costs = Costs(Counts(values))
    assert costs.produced("conversation") == 3
    assert costs.produced("conversation", "messenger.events") == 1


@pytest.mark.parametrize(
    ("costs", "answers", "undisturbed"),
    [
        (events(message_received=1), 1, True),
        (events(message_received=1, message_echoed=1, message_delivered=1), 1, True),
        (events(message_received=1, message_read=1), 1, True),
        (events(message_received=2), 1, False),
        (events(message_received=1, message_echoed=2), 1, False),
        (events(message_received=1, postback_received=1), 1, False),
        (events(message_received=1), 2, False),
        (events(), 1, False),
    ],
)
def test_only_one_message_with_its_reports_is_worth_counting(
    costs: Costs, answers: int, undisturbed: bool
) -> None:
    assert is_undisturbed(costs, [ANSWER] * answers) is undisturbed


def test_events_are_told_in_plain_words_and_in_the_order_of_life() -> None:
    counted = {"message.delivered": 2, "reaction.received": 1, "message.received": 1}
    assert spelled(counted) == "1 message of a person, 2 delivery receipts, 1 reaction.received"


def test_parts_are_known_by_the_name_that_the_sender_gave_them() -> None:
    messages = [ANSWER, {**ANSWER, "metadata": "abc:1"}, {"text": "by somebody else"}]
    assert parts_of(messages) == ({"abc", ""}, [0, 1, -1])
    assert types_of([{**ANSWER, "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}]) == (
        "MESSAGE_TAG/HUMAN_AGENT"
    )
