"""Who answered whom, as long as an echo may still change that. Pure.

A message of the Page answers what stood before it on the log, was written before it was sent, and
has no answer yet. When it was sent Meta says, by its echo. Until that comes our own clock does, and
is late by as long as the call to Meta took: who writes on meanwhile is not answered by it. So what
stood before a message without an echo is remembered, and dealt out anew when the echo comes.
"""

from dataclasses import dataclass, field

ORIGINS = ("assistant", "human", "human_facebook")
"""Who writes for the Page."""

DOUBTFUL = 32
"""Messages whose echo is waited for: on a Page without echoes the doubt never ends."""

WAITING = 32
"""Unanswered messages whose time is known one by one: the first of them are those that matter."""

ECHO_WITHIN_MS = 24 * 3600 * 1000
"""An echo that is later than this moves no message any more: Meta repeats webhooks for an hour."""

NOBODY = 0
"""Whose a message is that nobody has answered."""


@dataclass(slots=True)
class Answer:
    """A message of the Page. Before it on the log stand `place` of those that people wrote."""

    key: int
    slot: int
    origin: str
    sent_ms: int  # by our own clock
    echo_ms: int | None = None  # by Meta's
    place: int = 0

    def copy(self) -> "Answer":
        return Answer(self.key, self.slot, self.origin, self.sent_ms, self.echo_ms, self.place)


Change = tuple[Answer, int, int]
"""An answer that answers somebody; the milliseconds that the first of them has waited, by our own
clock, which is there with and without an echo; and 1, or -1 if that is no longer so."""


@dataclass(slots=True)
class Answers:
    """What people wrote, in milliseconds, and the messages in doubt, both in the order of the log.

    `answered_by` has, for each of `written`, the key of its answer. What is answered beyond doubt
    is forgotten.
    """

    written: list[int] = field(default_factory=list)
    answered_by: list[int] = field(default_factory=list)
    doubtful: list[Answer] = field(default_factory=list)

    def copy(self) -> "Answers":
        doubtful = [each.copy() for each in self.doubtful]
        return Answers(list(self.written), list(self.answered_by), doubtful)

    def waiting(self) -> list[int]:
        """What nobody has answered so far."""
        if not self.doubtful:
            return self.written
        pairs = zip(self.written, self.answered_by, strict=True)
        return [at_ms for at_ms, key in pairs if key == NOBODY]

    def ask(self, at_ms: int) -> None:
        """A person writes."""
        if len(self.written) < WAITING or self.answered_by.count(NOBODY) < WAITING:
            self.written.append(at_ms)
            self.answered_by.append(NOBODY)

    def answer(self, answer: Answer) -> list[Change]:
        """The Page writes."""
        answer.place = len(self.written)
        self.doubtful.append(answer)
        first_ms = self._give(answer)
        self._forget()
        return _change(answer, first_ms, 1)

    def echo(self, key: int, echo_ms: int) -> list[Change]:
        """Meta says when that was; what it said first counts."""
        changes: list[Change] = []
        for number, answer in enumerate(self.doubtful):
            if answer.key == key and answer.echo_ms is None:
                answer.echo_ms = echo_ms
                if not self._is_as_it_was(answer, echo_ms):
                    changes = self._deal_anew(number)
                self._forget()
                break
        return changes

    def _give(self, answer: Answer) -> int | None:
        """Its share of what nobody has answered, and when the first of that was written. By our own
        clock nobody can say whether an answer came before its question: rather than none it
        answers all of them."""
        written, answered_by = self.written, self.answered_by
        until_ms = answer.sent_ms if answer.echo_ms is None else answer.echo_ms
        there = [at for at in range(answer.place) if answered_by[at] == NOBODY]
        share = [at for at in there if written[at] <= until_ms]
        if not share and answer.echo_ms is None:
            share = there
        for at in share:
            answered_by[at] = answer.key
        return min((written[at] for at in share), default=None)

    def _is_as_it_was(self, answer: Answer, echo_ms: int) -> bool:
        """It is told to have been earlier, as nearly always, and nobody wrote meanwhile."""
        pairs = zip(self.written, self.answered_by, strict=True)
        return echo_ms <= answer.sent_ms and all(
            at_ms <= echo_ms for at_ms, key in pairs if key == answer.key
        )

    def _deal_anew(self, number: int) -> list[Change]:
        """From this answer on."""
        later = self.doubtful[number:]
        before = [self._first_ms(each) for each in later]
        keys = {each.key for each in later}
        self.answered_by = [NOBODY if key in keys else key for key in self.answered_by]
        changes: list[Change] = []
        for each, was_ms in zip(later, before, strict=True):
            if (is_ms := self._give(each)) != was_ms:
                changes += [*_change(each, was_ms, -1), *_change(each, is_ms, 1)]
        return changes

    def _first_ms(self, answer: Answer) -> int | None:
        pairs = zip(self.written, self.answered_by, strict=True)
        return min((at_ms for at_ms, key in pairs if key == answer.key), default=None)

    def _forget(self) -> None:
        while self.doubtful and self._is_certain(self.doubtful[0]):
            key = self.doubtful.pop(0).key
            if key in self.answered_by:
                kept = [at for at, by in enumerate(self.answered_by) if by != key]
                for each in self.doubtful:
                    each.place -= self.answered_by[: each.place].count(key)
                self.written = [self.written[at] for at in kept]
                self.answered_by = [self.answered_by[at] for at in kept]

    def _is_certain(self, first: Answer) -> bool:
        """Nobody waits before it, its echo has come, or it is too long ago or too much to keep."""
        return (
            first.place == 0
            or first.echo_ms is not None
            or first.sent_ms < self.doubtful[-1].sent_ms - ECHO_WITHIN_MS
            or len(self.doubtful) > DOUBTFUL
            or len(self.written) > 2 * WAITING
        )


def _change(answer: Answer, first_ms: int | None, number: int) -> list[Change]:
    return [] if first_ms is None else [(answer, max(0, answer.sent_ms - first_ms), number)]
