"""Logs as they may be: a story in any order, with copies, losses and receipts at odd times."""

from hypothesis import strategies as st

from libs.common.events import AnyRecord
from tests.unit.analytics import factories as make

NAMES = [f"p{number}" for number in range(6)]
SECONDS = st.integers(0, 6 * 3600)  # within a day, so that no echo counts as too late
REASONS = st.sampled_from(["window_closed", "person_unavailable", "discarded"])


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

    def named(prefix: str, psid: str, name: str) -> str:
        return f"{prefix}-{psid}-{name}"

    @st.composite
    def one(draw: st.DrawFn) -> AnyRecord:
        psid, name = draw(who), draw(name_of)
        part, mid = named("part", psid, name), named("mid", psid, name)
        seconds = _fixed(part)
        kind = draw(st.sampled_from(only or sorted(kinds)))
        return kinds[kind](draw, psid, part, mid, seconds)

    def simple(make_one):  # type: ignore[no-untyped-def]
        return lambda _draw, psid, part, mid, seconds: make_one(psid, part, mid, seconds)

    def with_psid(event: AnyRecord, psid: str) -> AnyRecord:
        return event.model_copy(update={"psid": psid})

    def moment(draw: st.DrawFn, seconds: int) -> int:
        """Anywhere, or just about where a part was sent: between its echo and us, perhaps."""
        near = st.integers(seconds + 2, seconds + 8)
        return draw(near if only else SECONDS | near)

    kinds = {
        "message": simple(lambda psid, _part, mid, s: make.message(mid, s, psid)),
        "sent": simple(lambda psid, part, _mid, s: make.sent(part, s + 5, psid)),
        "human": simple(
            lambda psid, part, _mid, s: make.sent(f"h{part}", s + 9, psid, origin="human")
        ),
        "echo": simple(
            lambda psid, part, _mid, s: make.echo(part, s + (3 if s % 2 else 7), psid)
        ),
        "inbox": simple(lambda psid, _part, mid, s: make.inbox(f"i{mid}", s + 40, psid)),
        "standby": simple(lambda psid, _part, mid, s: with_psid(make.standby(mid, s), psid)),
        "other app": simple(
            lambda psid, _part, mid, s: with_psid(
                make.standby(f"i{mid}", s + 40, is_echo=True), psid
            )
        ),
        "delivered": lambda draw, psid, part, mid, s: make.delivered(
            moment(draw, s),
            *draw(st.sets(st.sampled_from([f"m.{part}", f"i{mid}", "m.nobody"]), max_size=2)),
            psid=psid,
        ),
        "read": lambda draw, psid, _part, _mid, s: make.read(moment(draw, s), psid=psid),
        "failed": lambda draw, psid, part, _mid, s: with_psid(
            make.failed(part, s + draw(st.sampled_from([1, 2, 3])), "window_closed"), psid
        ),
        "held": lambda draw, psid, part, _mid, s: with_psid(make.held(part, s + 4), psid),
        "requested": lambda draw, psid, _part, _mid, s: with_psid(make.requested(s), psid),
        "started": lambda draw, psid, _part, _mid, s: make.started(
            draw(st.integers(1, 5)), s, psid=psid
        ),
        "ended": lambda draw, psid, _part, _mid, s: make.ended(
            draw(st.integers(1, 5)), s, psid=psid
        ),
    }
    return one()


def logs(
    psids: tuple[str, ...] = (make.PSID,), max_size: int = 40
) -> st.SearchStrategy[list[AnyRecord]]:
    return st.lists(events(psids), max_size=max_size)


def receipts() -> st.SearchStrategy[list[AnyRecord]]:
    """Few messages, and much about each of them."""
    kinds = ("sent", "echo", "delivered", "read", "inbox")
    one = st.lists(events(only=kinds[:4], names=1), max_size=6)
    return one | st.lists(events(only=kinds, names=3), max_size=30)
