"""People beside those of a run: their scenario says what they do and what has to become of it.

The judge knows nothing of them. What they have to read in the end is `owed` to them, and
`check_guests` compares when everything has come.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.faults.judging import topics
from tests.faults.run import Run

TOLD_WITHIN_S = 120.0
_KEPT = "guests"


@dataclass
class Guest:
    """Somebody who writes to the run's Page."""

    run: Run
    psid: str
    name: str
    owed: list[str] = field(default_factory=list)
    """What the Page's messages have to be about, in order: see `judging.topics`."""

    def question(self, number: int = 1) -> str:
        """One that nobody else asks."""
        return f"I am {self.name}, {self.psid}. May I ask, for the {number}. time?"

    async def ask(self, number: int = 1, **more: Any) -> str:  # noqa: ANN401
        """The message's id."""
        question = self.question(number)
        return await self.run.simulator.write(self.run.page, self.psid, question, **more)

    async def asks_and_is_answered(self, number: int = 1, answer: str | None = None) -> None:
        """`answer`: the text, where it is none that quotes the question."""
        self.owed.append(answer or self.question(number))
        await self.ask(number)
        await self.until_told(len(self.owed))

    async def until_told(self, messages: int) -> None:
        """Until so many messages have come, were held or have failed; the check sees if not."""
        with suppress(TimeoutError):
            await self.run.until(
                lambda: self.run.settled_parts(self.psid) >= messages, TOLD_WITHIN_S
            )

    async def until_answered(self, number: int) -> None:
        """Until a message quotes this question; the check sees if none does."""
        question = self.question(number)
        with suppress(TimeoutError):
            await self.run.until(lambda: question in self.run.settled(self.psid), TOLD_WITHIN_S)

    async def texts(self) -> list[str]:
        """What the Page has written to them."""
        thread = await self.run.simulator.thread(self.run.page, self.psid)
        return [message["text"] for message in thread["messages"] if message["from"] == "page"]


async def arrive(run: Run, *names: str) -> list[Guest]:
    guests = []
    for name in names:
        psid = await run.simulator.add_person(run.page, "Guest", name)
        guests.append(Guest(run, psid, name))
    run.kept.setdefault(_KEPT, []).extend(guests)
    return guests


async def check_guests(run: Run) -> None:
    """Each has what is owed to them, in order and nothing else."""
    guests: list[Guest] = run.kept.get(_KEPT, [])
    for guest in guests:
        said = about(await guest.texts())
        if said != guest.owed:
            run.complain(f"{guest.name} ({guest.psid}) reads {shortened(said)}")


def about(texts: Sequence[str]) -> list[str]:
    return [topic for text in texts for topic in topics(text)]


def shortened(texts: Sequence[str]) -> list[str]:
    return [text[:80] for text in texts]
