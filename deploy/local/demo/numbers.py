"""What one message costs, counted by the services themselves."""

from collections.abc import Callable
from dataclasses import dataclass

from deploy.local.demo.counters import (
    EVENTS,
    GRAPH_CALLS,
    PRODUCED,
    ROUND_TRIPS,
    Counts,
)
from deploy.local.demo.stage import Message, Person, Stage, StoryEndsError
from deploy.local.demo.transcript import Table
from deploy.local.demo.trouble import behaving
from libs.common.channels import ASSISTANTS_COLLECTION, CHANNELS_COLLECTION
from libs.common.retention import WORKSPACES_COLLECTION
from libs.common.topics import COMMANDS
from libs.common.topics import EVENTS as EVENTS_TOPIC

ATTEMPTS = 3  # as long as something else gets in between
NAMES = {
    "message.received": ("message of a person", "messages of people"),
    "postback.received": ("tap on a button", "taps on buttons"),
    "message.echoed": ("echo of an answer", "echoes of answers"),
    "message.delivered": ("delivery receipt", "delivery receipts"),
    "message.read": ("read receipt", "read receipts"),
}
SETTINGS = (CHANNELS_COLLECTION, ASSISTANTS_COLLECTION)
TURN_MOST = 2  # round trips: load, save
PART = (2, 1)  # round trips, and calls with a message to Facebook
WITH_THE_TIME = {  # round trips that come however many messages there are: collection, command
    "conversation": (
        ("spending", ""),  # the day's count of model calls, written every 2 s
        ("people", ""),  # whose names and contacts are not known yet, looked for every 15 s
        ("profile_calls", ""),  # and how often Facebook may be asked for them
        ("inbox", "aggregate"),  # how many wait for a human, counted every 10 s
        (WORKSPACES_COLLECTION, ""),  # how long messages are kept, looked up every minute
    ),
    "sender": (
        ("kept", "distinct"),  # what waits until its Page can be called, looked for every 10 s
        ("deliveries", "find"),  # outcomes that are not told yet, looked for every 10 s
        ("deliveries", "aggregate"),  # how many are held, counted every 15 s
        (WORKSPACES_COLLECTION, ""),  # how long they are kept, looked up every minute
    ),
}
SOMEBODY_ELSE = "Somebody else wrote"
IN_BETWEEN = "More was counted than a message costs"
REPORTED_BACK = ("echoes", "delivery_receipts", "read_receipts")
QUESTION = "How can I pay?"


@dataclass(frozen=True)
class Costs:
    """What was counted while one message was answered with one message, and nothing else came."""

    counts: Counts

    @property
    def events(self) -> dict[str, int]:
        """What Facebook told the gateway, by type."""
        return self.counts.by("gateway", EVENTS, "type")

    def produced(self, service: str, topic: str | None = None) -> int:
        return self.counts.total(service, PRODUCED, **({"topic": topic} if topic else {}))

    def round_trips(self, service: str, collection: str, command: str = "") -> int:
        """Those for a collection; only those with a command, if one is given."""
        labels = {"collection": collection} | ({"command": command} if command else {})
        return self.counts.total(service, ROUND_TRIPS, **labels)

    def settings(self, service: str) -> int:
        """Round trips for the Page's settings, which are read anew once they are 30 s old.

        However many messages there are: that is no cost of a message.
        """
        return sum(self.round_trips(service, collection) for collection in SETTINGS)

    def upkeep(self, service: str) -> int:
        """Round trips that come with the time, whether or not anybody writes."""
        return sum(self.round_trips(service, *each) for each in WITH_THE_TIME.get(service, ()))

    def for_message(self, service: str) -> int:
        """All round trips but those for the settings and what comes with the time."""
        all_of_them = self.counts.total(service, ROUND_TRIPS)
        return all_of_them - self.settings(service) - self.upkeep(service)

    @property
    def archive(self) -> int:
        """Round trips of the archive, if Facebook reported nothing back.

        Only the archive writes `messages`, and with each such write it moves the conversation's
        moments forward: one write to `messages`, one to `conversations`. Then it reads and writes
        the rows of the inbox, which nobody else touches while no browser is open.
        """
        messages = self.round_trips("conversation", "messages")
        rows = self.round_trips("conversation", "inbox")
        return 2 * messages + rows - self.round_trips("conversation", "inbox", "aggregate")

    @property
    def turn(self) -> int:
        """Round trips of the turn itself, if Facebook reported nothing back."""
        return self.for_message("conversation") - self.archive

    def graph_calls(self, endpoint: str) -> int:
        return self.counts.total("sender", GRAPH_CALLS, endpoint=endpoint)

    @property
    def part(self) -> tuple[int, int]:
        """What a part costs the sender: round trips, and calls with a message to Facebook."""
        return self.for_message("sender"), self.graph_calls("messages")

    @property
    def is_as_promised(self) -> bool:
        return self.turn <= TURN_MOST and self.part == PART


async def numbers(stage: Stage) -> None:
    """One message alone; one as it is in life; and the gateway's work since the story began."""
    stage.transcript.scene("What one message costs")
    ivan = await stage.newcomer("Ivan", "Petrov")
    await ivan.says("Hello!")  # what happens only once in a conversation is over with this
    await ivan.hears()
    stage.transcript.aside(
        "The same question twice. First with Facebook's reports (the echo of our answer, the "
        "receipt of its delivery) switched off, so that everything counted belongs to the message "
        "itself; then with them, as in life."
    )
    async with behaving(stage, **{name: {"enabled": False} for name in REPORTED_BACK}):
        alone = await counted(stage, ivan, lambda costs: costs.is_as_promised)
    in_life = await counted(stage, ivan)
    stage.transcript.table(_table(alone, in_life))
    _explain(stage)
    _check(stage, alone, in_life)


async def counted(
    stage: Stage, person: Person, is_expected: Callable[[Costs], bool] = lambda _: True
) -> Costs:
    """Ask once, and again if something else got in between.

    Whatever a message costs is seen each time. What comes with the time is not, and a list of it
    is out of date with the next thing that looks at the database now and then.
    """
    alone: tuple[Costs, list[Message]] | None = None
    costs = Costs(Counts({}))
    for _ in range(ATTEMPTS):
        before = await stage.at_rest()
        await person.writes(QUESTION)
        heard = await person.receives()
        costs = Costs((await stage.at_rest()).since(before))
        if not is_undisturbed(costs, heard):
            stage.transcript.aside(f"{SOMEBODY_ELSE} meanwhile: that was counted for nothing.")
            continue
        alone = costs, heard
        if is_expected(costs):
            break
        stage.transcript.aside(f"{IN_BETWEEN}: is it so each time?")
    if alone is None:
        stage.transcript.check(
            f"nobody else writes while we count (tried {ATTEMPTS} times)",
            held=False,
            expected="one message of a person, and what belongs to it",
            seen=spelled(costs.events),
        )
        raise StoryEndsError
    costs, heard = alone
    person.tells(QUESTION)
    person.shows(heard)
    return costs


def is_undisturbed(costs: Costs, heard: list[Message]) -> bool:
    """Whether our message came alone, with no more reports than those of its one answer."""
    events = costs.events
    reports = {name: count for name, count in events.items() if name != "message.received"}
    return (
        events.get("message.received") == 1
        and set(reports) <= {"message.echoed", "message.delivered", "message.read"}
        and all(count == 1 for count in reports.values())
        and len(heard) == 1
    )


def _table(alone: Costs, in_life: Costs) -> Table:
    both = (alone, in_life)

    def row(name: str, counted: list[int], meaning: str) -> tuple[str, tuple[int, ...], str]:
        return name, tuple(counted), meaning

    return Table(
        ("alone", "in life"),
        (
            row(
                "gateway: events from Facebook",
                [sum(c.events.values()) for c in both],
                "and reports",
            ),
            row("gateway: records to Kafka", [c.produced("gateway") for c in both], "one an event"),
            row("gateway: database", [c.for_message("gateway") for c in both], "it has none"),
            row(
                "conversation: records to Kafka",
                [c.produced("conversation") for c in both],
                "reply; “turn done”; “seen, typing”",
            ),
            row(
                "conversation: database, conversations",
                [c.round_trips("conversation", "conversations") for c in both],
                "the turn, and the archive",
            ),
            row(
                "conversation: database, messages",
                [c.round_trips("conversation", "messages") for c in both],
                "the archive",
            ),
            row(
                "conversation: database, inbox",
                [c.round_trips("conversation", "inbox") for c in both],
                "the archive: read, written",
            ),
            row("sender: records to Kafka", [c.produced("sender") for c in both], "“message sent”"),
            row(
                "sender: database, conversations",
                [c.round_trips("sender", "conversations") for c in both],
                "the right to send, taken",
            ),
            row(
                "sender: database, deliveries",
                [c.round_trips("sender", "deliveries", "insert") for c in both],
                "what became of it, kept",
            ),
            row(
                "sender: calls to Facebook, messages",
                [c.graph_calls("messages") for c in both],
                "the reply",
            ),
            row(
                "sender: calls to Facebook, signs",
                [c.graph_calls("actions") for c in both],
                "seen, typing",
            ),
            row(
                "both: database, the Page's settings",
                [c.settings("conversation") + c.settings("sender") for c in both],
                "when they are 30 s old",
            ),
            row(
                "both: database, with the time",
                [c.upkeep("conversation") + c.upkeep("sender") for c in both],
                "counts, names, what waits",
            ),
        ),
    )


def _explain(stage: Stage) -> None:
    stage.transcript.aside(
        "A round trip is one question to the database and its answer: what a message has to wait "
        "for, and what grows with the number of messages. The archive (the consumer group "
        "conversation-history) keeps the history for people to read. It works beside the turn, "
        "which never waits for it, and in batches: under load, many messages share a round trip."
    )
    stage.transcript.aside(
        "Reports are events too: the gateway puts each on the log, conversation notes in two round "
        "trips that the echo is its own reply (it could be a person's, in Facebook's inbox), and "
        "the archive keeps when the message was delivered. Nobody waits for any of that."
    )
    stage.transcript.aside(
        "What can't be seen from outside, `make bench` counts from inside: that a turn waits for "
        "Kafka once."
    )


def _check(stage: Stage, alone: Costs, in_life: Costs) -> None:
    expect = stage.transcript.expect
    told = sum(in_life.events.values())
    expect(
        f"gateway: exactly one record an event ({told} events, {told} records), and no database",
        (told, told, 0),
        (told, in_life.produced("gateway", EVENTS_TOPIC), in_life.for_message("gateway")),
    )
    stage.transcript.check(
        f"conversation: {alone.turn} round trips on the turn's path (load; save with the answer), "
        f"beside {alone.archive} of the archive",
        alone.turn <= TURN_MOST,
        expected=f"at most {TURN_MOST}",
        seen=f"{alone.turn} of {alone.for_message('conversation')} in all",
    )
    expect(
        "conversation: 3 records a turn: the reply with “turn done”, written together, and "
        "“seen, typing”, which isn't waited for",
        "2 commands, 1 event",
        f"{alone.produced('conversation', COMMANDS)} commands, "
        f"{alone.produced('conversation', EVENTS_TOPIC)} event",
    )
    expect(
        "sender: 2 round trips and 1 call with a message to Facebook a part",
        PART,
        alone.part,
    )


def spelled(events: dict[str, int]) -> str:
    """Events in plain words: `2 messages of a person, 1 delivery receipt`."""
    return ", ".join(
        f"{count} {NAMES.get(name, (name, name))[count != 1]}"
        for name, count in sorted(events.items(), key=lambda item: _rank(item[0]))
    )


def _rank(name: str) -> int:
    return list(NAMES).index(name) if name in NAMES else len(NAMES)


async def whole_story(stage: Stage, before: Counts) -> None:
    """The gateway's part, from the first line on. Others who write here don't change the rule."""
    added = (await stage.at_rest()).since(before)
    by_type = added.by("gateway", EVENTS, "type")
    told = sum(by_type.values())
    stage.transcript.aside(
        "Since the story began, Facebook has told the gateway of "
        f"{spelled(by_type)}. Copies of a webhook count as well: which of them are news, "
        "conversation finds out."
    )
    stage.transcript.expect(
        f"gateway: {told} events in the whole story, {told} records on the log",
        told,
        added.total("gateway", PRODUCED, topic=EVENTS_TOPIC, outcome="acknowledged"),
    )
