"""The Page, and people who write to it: what they say and hear goes into the transcript."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import aiohttp

from deploy.local.demo.counters import Counts, Meter
from deploy.local.demo.log import Log
from deploy.local.demo.transcript import Line, Transcript
from libs.common.events import Record
from simulator.client import Call, Simulator, SimulatorError, Thread, answers_in

Message = dict[str, Any]

R = TypeVar("R", bound=Record)

_SEND_ID = re.compile(r"^(?P<command>[\w-]+):(?P<part>\d+)$")


class StoryEndsError(Exception):
    """Something did not come: what follows could not be told apart from its consequences."""


@dataclass(frozen=True)
class Answer:
    """What an internal API of the team's answered."""

    status: int
    body: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        """Why it was refused; {} if it was not."""
        return dict(self.body.get("error", {}))

    @property
    def code(self) -> str:
        return str(self.error.get("code", ""))

    @property
    def message(self) -> str:
        return str(self.error.get("message", ""))


class Console(Protocol):
    """The team's console, where an administrator is signed in, and the story's Page in it."""

    async def connect(self, *, again: bool = True) -> None:
        """Connect the Page, or connect it again, through a login at Facebook.

        Raises:
            ConsoleError: with what the console showed instead.
        """

    async def shown(self) -> dict[str, Any]:
        """The Page's `status`, `words`, `connected_at`, as the management API has them."""

    async def stored(self) -> dict[str, Any] | None:
        """The Page's channel as it is stored; None: nobody has connected it yet."""


@dataclass(frozen=True)
class Stage:
    """Where the story is played."""

    session: aiohttp.ClientSession
    simulator: Simulator
    meter: Meter
    transcript: Transcript
    page: str
    page_name: str
    urls: Mapping[str, str]  # of the services
    service_token: str
    console: Console
    log: Log
    patience_s: float
    people: "list[Person]"

    async def newcomer(self, first_name: str, last_name: str) -> "Person":
        """Somebody whom the Page has never met, whatever was played here before."""
        psid = await self.simulator.add_person(self.page, first_name, last_name)
        person = Person(self, psid, f"{first_name} {last_name}")
        self.people.append(person)
        return person

    async def asks(
        self,
        service: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask an internal API, as the team's console does."""
        token = {"Authorization": f"Bearer {self.service_token}"}
        url = f"{self.urls[service]}/internal/v1{path}"
        async with self.session.request(
            method, url, json=body, headers={**token, **(headers or {})}
        ) as response:
            return Answer(response.status, await response.json())

    async def at_rest(self) -> Counts:
        """The services' counters when nothing is on its way any more.

        Raises:
            StoryEndsError: there is always something going on; noted as a check that failed.
        """
        try:
            return await self.meter.quiet(self.patience_s)
        except TimeoutError:
            self.transcript.check(
                f"the system comes to rest within {self.patience_s:g} s",
                held=False,
                expected="counters that stand still",
                seen="somebody else is writing, or something is being tried again and again",
            )
            raise StoryEndsError from None


class Person:
    """One person and their thread with the Page."""

    def __init__(self, stage: Stage, psid: str, name: str) -> None:
        self._stage = stage
        self.psid = psid
        self.name = name
        self.answers = 0  # heard so far
        self.from_inbox = 0  # of these, written in Meta's own inbox

    @property
    def first_name(self) -> str:
        return self.name.split()[0]

    async def says(self, text: str, *, note: str = "", **more: Any) -> str:  # noqa: ANN401
        """Write a line; the message's id."""
        mid = await self.writes(text, **more)
        self.tells(text, note)
        return mid

    async def writes(self, text: str, **more: Any) -> str:  # noqa: ANN401
        """The same, and nobody sees it in the transcript."""
        return await self._stage.simulator.write(self._stage.page, self.psid, text, **more)

    async def sends_image(self, url: str) -> None:
        image = [{"type": "image", "payload": {"url": url}}]
        await self._stage.simulator.write(self._stage.page, self.psid, attachments=image)
        self.tells("[a photo]")

    async def taps(self, payload: str, title: str) -> None:
        await self._stage.simulator.tap(self._stage.page, self.psid, payload, title)
        self.tells(f"[taps “{title}”]")

    def tells(self, text: str, note: str = "") -> None:
        """Put something that the person did into the transcript."""
        self._stage.transcript.line(Line("person", self.name, text, note))

    async def hears(self, count: int = 1) -> list[Message]:
        """Wait for so many more messages of the Page, and show all that came.

        Raises:
            StoryEndsError: they did not come in time; noted as a check that failed.
        """
        messages = await self.receives(count)
        self.shows(messages, note=f"{await self.waited_s(messages[0]):.1f} s later")
        return messages

    async def hears_from_inbox(self, text: str) -> None:
        """Somebody answers in Meta's own inbox, and the person reads it."""
        stage = self._stage
        await stage.simulator.write_in_inbox(stage.page, self.psid, text)
        await self.receives()
        self.from_inbox += 1
        stage.transcript.line(Line("page", f"{stage.page_name} (at Facebook)", text))

    async def waited_s(self, answer: Message) -> float:
        """From the last line of the person until this answer was there."""
        said = [
            each["at"] for each in (await self.thread())["messages"] if each["from"] == "person"
        ]
        return float(answer["at"] - max(said)) / 1000

    async def receives(self, count: int = 1) -> list[Message]:
        """The same, and nobody sees it in the transcript."""
        stage, known = self._stage, self.answers
        wanted = known + count
        try:
            messages = await stage.simulator.wait_for_answers(
                stage.page, self.psid, wanted, stage.patience_s
            )
        except SimulatorError:
            seen = len(answers_in(await self.thread())) - known
            refused = await self._refused()
            stage.transcript.check(
                f"{stage.page_name} answers within {stage.patience_s:g} s",
                held=False,
                expected=f"{count} message{'s' * (count != 1)}",
                seen=f"{seen} message{'s' * (seen != 1)}{refused and f', {refused}'}",
            )
            raise StoryEndsError from None
        self.answers = len(messages)
        return messages[known:]

    def shows(self, messages: list[Message], note: str = "") -> None:
        """Put messages of the Page into the transcript."""
        for message in messages:
            line = Line("page", self._stage.page_name, message["text"] or "", note)
            self._stage.transcript.line(line)

    async def thread(self) -> Thread:
        return await self._stage.simulator.thread(self._stage.page, self.psid)

    async def turns(self) -> str:
        """Who spoke after whom, as `person, person, page`."""
        return ", ".join(message["from"] for message in (await self.thread())["messages"])

    async def posts(self) -> list[Call]:
        """Every call with a message to this person, whatever became of it."""
        calls = await self._stage.simulator.calls(self._stage.page, self.psid)
        return [call for call in calls if call["endpoint"] == "messages"]

    async def sends(self) -> Counter[str]:
        """How often Meta took each part of an answer, by the name that the sender gave it."""
        return Counter(
            call["body"]["message"].get("metadata", "no name")
            for call in await self.posts()
            if call["outcome"] == "accepted"
        )

    async def told(self, kind: type[R], count: int = 1) -> list[R]:
        """Wait for so many events of this kind on the log, from the first one on.

        Raises:
            StoryEndsError: they did not come in time; noted as a check that failed.
        """
        stage = self._stage
        try:
            return await stage.log.wait_for(self.psid, kind, count, stage.patience_s)
        except TimeoutError:
            stage.transcript.check(
                f"the log tells of {self.name} within {stage.patience_s:g} s",
                held=False,
                expected=f"{count} × {kind.__name__}",
                seen=f"{len(stage.log.of(self.psid, kind))} × {kind.__name__}",
            )
            raise StoryEndsError from None

    async def _refused(self) -> str:
        """What Facebook did not take, and why; empty if there is nothing."""
        calls = await self._stage.simulator.calls(self._stage.page, self.psid)
        refused = Counter(
            (call.get("error") or {}).get("message") or f"{call['endpoint']} {call['outcome']}"
            for call in calls
            if call["outcome"] != "accepted" or call.get("fault")
        )
        reasons = [f"{count} × {reason}" for reason, count in refused.items()]
        return f"and Facebook's record says: {'; '.join(reasons)}" if reasons else ""

    async def signs(self) -> list[str]:
        """Everything the Page sent to this person, in order: seen, typing, messages."""
        calls = await self._stage.simulator.calls(self._stage.page, self.psid)
        return [
            call["body"].get("sender_action", "message")
            for call in calls
            if call["endpoint"] in {"actions", "messages"} and call["outcome"] == "accepted"
        ]


def parts_of(messages: list[Message]) -> tuple[set[str], list[int]]:
    """The answers that these messages belong to, and which part of one each of them is."""
    found = [_SEND_ID.match(message.get("metadata") or "") for message in messages]
    commands = {match["command"] if match else "" for match in found}
    return commands, [int(match["part"]) if match else -1 for match in found]


def types_of(messages: list[Message]) -> str:
    """How the messages were sent, as `RESPONSE`."""
    kinds = {
        "/".join(filter(None, (message.get("messaging_type"), message.get("tag"))))
        for message in messages
    }
    return ", ".join(sorted(kinds))
