"""Who answered whom, as long as an echo may still change that. Pure.

A message of the Page answers what stood before it on the log, was written before it was sent, and
has no answer yet. When it was sent Meta says, by its echo. Until that comes our own clock does, and
is late by as long as the call to Meta took: who writes on meanwhile is not answered by it. So what
stood before a message without an echo is remembered, and dealt out anew when the echo comes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

ORIGINS = ("assistant", "human", "human_facebook")
"""Who writes for the Page."""

DOUBTFUL = 32
"""Messages whose echo is waited for: on a Page without echoes the doubt never ends."""

WAITING = 32
"""Unanswered messages whose time is known one by one: the first of them are those that matter."""

ECHO_WITHIN_MS = 24 * 3600 * 1000
"""An echo that is later than this moves no message any more: Meta repeats webhooks for an hour."""


@dataclass(slots=True)
class Answer:
    """A message of the Page. Before it on the log stand `place` of those that people wrote."""

    key: int
    slot: int
    origin: str
    sent_ms: int  # by our own clock
    echo_ms: int | None = None  # by Meta's
    place: int = 0
    first_ms: int | None = None  # when the first of those that it answers was written

    def copy(self) -> "Answer":
        return Answer(
            self.key,
            self.slot,
            self.origin,
            self.sent_ms,
            self.echo_ms,
            self.place,
            self.first_ms,
        )

    def of(self, waiting: Mapping[int, int]) -> dict[int, int]:
        """What it answers of these, by place. By our own clock nobody can say whether an answer
        came before its question: rather than none it answers all of them."""
        until_ms = self.sent_ms if self.echo_ms is None else self.echo_ms
        found = {place: at_ms for place, at_ms in waiting.items() if at_ms <= until_ms}
        return dict(waiting) if not found and self.echo_ms is None else found


Tell = Callable[[Answer, int, int], None]
"""Gets an answer that answers somebody, the milliseconds that the first of them has waited by our
own clock, which is there with and without an echo, and 1; or -1 if that is no longer so."""


@dataclass(slots=True)
class Answers:
    """What people wrote, in milliseconds, and the messages in doubt, both in the order of the log.

    What is answered beyond doubt is forgotten.
    """

    written: list[int] = field(default_factory=list)
    doubtful: list[Answer] = field(default_factory=list)

    def copy(self) -> "Answers":
        return Answers(list(self.written), [each.copy() for each in self.doubtful])

    def waiting(self) -> list[int]:
        """What nobody has answered so far."""
        answered = {place for _, share in self._shares() for place in share}
        return [at_ms for place, at_ms in enumerate(self.written) if place not in answered]

    def ask(self, at_ms: int) -> None:
        """A person writes."""
        if len(self.written) < WAITING or len(self.waiting()) < WAITING:
            self.written.append(at_ms)

    def answer(self, answer: Answer, tell: Tell) -> None:
        """The Page writes."""
        answer.place = len(self.written)
        self.doubtful.append(answer)
        self._deal(tell)

    def echo(self, key: int, echo_ms: int, tell: Tell) -> None:
        """Meta says when that was; what it said first counts."""
        for each in self.doubtful:
            if each.key == key and each.echo_ms is None:
                each.echo_ms = echo_ms
                self._deal(tell)
                return

    def _deal(self, tell: Tell) -> None:
        for answer, share in self._shares():
            first_ms = min(share.values(), default=None)
            if first_ms != answer.first_ms:
                before_ms, answer.first_ms = answer.first_ms, first_ms
                for at_ms, number in ((before_ms, -1), (first_ms, 1)):
                    if at_ms is not None:
                        tell(answer, max(0, answer.sent_ms - at_ms), number)
        while self.doubtful and self._is_certain(self.doubtful[0]):
            self._forget_first()

    def _shares(self) -> Iterator[tuple[Answer, dict[int, int]]]:
        waiting = dict(enumerate(self.written))
        for answer in self.doubtful:
            share = answer.of({at: waiting[at] for at in waiting if at < answer.place})
            for place in share:
                del waiting[place]
            yield answer, share

    def _is_certain(self, first: Answer) -> bool:
        """Nobody waits before it, its echo has come, or it is too long ago or too much to keep."""
        return (
            first.place == 0
            or first.echo_ms is not None
            or first.sent_ms < self.doubtful[-1].sent_ms - ECHO_WITHIN_MS
            or len(self.doubtful) > DOUBTFUL
            or len(self.written) > 2 * WAITING
        )

    def _forget_first(self) -> None:
        _, share = next(self._shares())
        del self.doubtful[0]
        self.written = [at for place, at in enumerate(self.written) if place not in share]
        for each in self.doubtful:
            each.place -= len(share)
