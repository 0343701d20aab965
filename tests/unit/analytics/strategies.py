"""Logs as they may be: a story in any order, with copies, losses and receipts at odd times."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from libs.common.events import AnyRecord
from tests.unit.analytics import factories as make

NAMES = [f"p{number}" for number in range(6)]
SECONDS = st.integers(0, 6 * 3600)  # within a day, so that no echo counts as too late


def _fixed(name: str) -> int:
    """What is told twice is told with the same time: it follows from the name."""
    return sum(map(ord, name)) * 97 % 20_000


def events(
    psids: tuple[str, ...] = (make.PSID,), only: tuple[str, ...] = (), names: int = len(NAMES)
) -> st.SearchStrategy[AnyRecord]:
    """One event of one of these people. The same drawing twice is a copy.

    Args:
        only: kinds, as they are named below; all by default.
        names: how many messages there are that events can be about.
    """
    name_of, who = st.sampled_from(NAMES[:names]), st.sampled_from(psids)

    @st.composite
    def one(draw: st.DrawFn) -> AnyRecord:
        psid, name = draw(who), draw(name_of)
        kind = draw(st.sampled_from(only or tuple(KINDS)))
        part, mid = f"part-{psid}-{name}", f"mid-{psid}-{name}"
        return KINDS[kind](Drawing(draw, psid, part, mid, _fixed(part), only != ()))

    return one()


@dataclass(frozen=True)
class Drawing:
    """Whom and what an event is about, and when that was."""

    draw: st.DrawFn
    psid: str
    part: str
    mid: str
    seconds: int
    is_near: bool

    def watermark(self) -> int:
        """Anywhere, or just about where a part was sent: between its echo and us, perhaps."""
        near = st.integers(self.seconds + 2, self.seconds + 8)
        return self.draw(near if self.is_near else SECONDS | near)

    def mids(self) -> set[str]:
        names = [f"m.{self.part}", f"i{self.mid}", "m.nobody"]
        return self.draw(st.sets(st.sampled_from(names), max_size=2))

    def epoch(self) -> int:
        return self.draw(st.integers(1, 5))

    def later(self) -> int:
        return self.seconds + self.draw(st.integers(1, 3))

    def mine(self, event: AnyRecord) -> AnyRecord:
        return event.model_copy(update={"psid": self.psid})


KINDS: dict[str, Callable[[Drawing], AnyRecord]] = {
    "message": lambda d: make.message(d.mid, d.seconds, d.psid),
    "sent": lambda d: make.sent(d.part, d.seconds + 5, d.psid),
    "human": lambda d: make.sent(f"h{d.part}", d.seconds + 9, d.psid, origin="human"),
    "echo": lambda d: make.echo(d.part, d.seconds + (3 if d.seconds % 2 else 7), d.psid),
    "inbox": lambda d: make.inbox(f"i{d.mid}", d.seconds + 40, d.psid),
    "standby": lambda d: d.mine(make.standby(d.mid, d.seconds)),
    "other app": lambda d: d.mine(make.standby(f"i{d.mid}", d.seconds + 40, is_echo=True)),
    "delivered": lambda d: make.delivered(d.watermark(), *d.mids(), psid=d.psid),
    "read": lambda d: make.read(d.watermark(), psid=d.psid),
    "failed": lambda d: d.mine(make.failed(d.part, d.later())),
    "held": lambda d: d.mine(make.held(d.part, d.seconds + 4)),
    "requested": lambda d: d.mine(make.requested(d.seconds)),
    "started": lambda d: make.started(d.epoch(), d.seconds, psid=d.psid),
    "ended": lambda d: make.ended(d.epoch(), d.seconds, psid=d.psid),
}


def logs(
    psids: tuple[str, ...] = (make.PSID,), max_size: int = 40
) -> st.SearchStrategy[list[AnyRecord]]:
    return st.lists(events(psids), max_size=max_size)


def receipts() -> st.SearchStrategy[list[AnyRecord]]:
    """Few messages, and much about each of them."""
    kinds = ("sent", "echo", "delivered", "read", "inbox")
    one = st.lists(events(only=kinds[:4], names=1), max_size=6)
    return one | st.lists(events(only=kinds, names=3), max_size=30)
