"""What is counted for one message, and when a count is worth nothing."""

from typing import Any

import pytest

from deploy.local.demo.counters import EVENTS, GRAPH_CALLS, PRODUCED, ROUND_TRIPS, Counts, Key
from deploy.local.demo.numbers import IN_BETWEEN, Costs, counted, is_undisturbed, spelled
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
        ("aggregate", "inbox"): 1,
        ("find", "inbox"): 2,
        ("find", "workspaces"): 1,
    }
    values: dict[Key, int] = {}
    for (command, collection), value in trips.items():
        labels = {"command": command, "collection": collection}
        values |= count("conversation", ROUND_TRIPS, value, **labels)
    costs = Costs(Counts(values))
    assert (costs.turn, costs.archive, costs.settings("conversation")) == (2, 6, 2)
    assert costs.for_message("gateway") == 0


def test_what_comes_with_the_time_is_no_cost_of_a_message() -> None:
    values: dict[Key, int] = {}
    looks = (
        ("distinct", "kept"),
        ("find", "deliveries"),
        ("aggregate", "deliveries"),
        ("find", "workspaces"),
    )
    for command, collection in (*looks, ("insert", "deliveries"), ("find", "kept")):
        labels = {"command": command, "collection": collection}
        values |= count("sender", ROUND_TRIPS, 1, **labels)
    costs = Costs(Counts(values))
    assert (costs.upkeep("sender"), costs.for_message("sender")) == (4, 2)


class Clockwork:
    """A stage on which a message costs what was given, time after time, and one to ask on it."""

    def __init__(self, *costs: dict[Key, int]) -> None:
        self._costs = list(costs)
        self._counted: dict[Key, int] = {}
        self.transcript = self
        self.asides: list[str] = []

    async def at_rest(self) -> Counts:
        return Counts(dict(self._counted))

    async def writes(self, _text: str) -> None:
        for key, value in self._costs.pop(0).items():
            self._counted[key] = self._counted.get(key, 0) + value

    async def receives(self) -> list[dict[str, str]]:
        return [ANSWER]

    def aside(self, text: str) -> None:
        self.asides.append(text)

    def tells(self, _text: str) -> None:
        pass

    def shows(self, _heard: list[dict[str, str]]) -> None:
        pass


def one_message(sender_trips: int) -> dict[Key, int]:
    labels = {"command": "insert", "collection": "deliveries"}
    return {
        **events(message_received=1).counts.values,
        **count("sender", ROUND_TRIPS, sender_trips, **labels),
        **count("sender", GRAPH_CALLS, 1, endpoint="messages"),
    }


@pytest.mark.parametrize(
    ("trips", "told", "asides"), [((2,), 2, 0), ((4, 2), 2, 1), ((3, 3, 3), 3, 3)]
)
async def test_what_got_in_between_is_counted_again_and_a_real_cost_is_told(
    trips: tuple[int, ...], told: int, asides: int
) -> None:
    world: Any = Clockwork(*(one_message(each) for each in trips))
    costs = await counted(world, world, lambda costs: costs.is_as_promised)
    assert costs.part == (told, 1)
    assert [line.startswith(IN_BETWEEN) for line in world.asides] == [True] * asides


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
