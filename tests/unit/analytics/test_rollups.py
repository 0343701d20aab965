from services.analytics.domain.rollups import Arrival, Stored, advance, changes_of
from tests.unit.analytics import factories as make
from tests.unit.analytics.factories import APP, PAGE, PSID

HERE = f"{PAGE}:{PSID}"


def test_records_are_folded_in_the_order_of_the_log_and_once() -> None:
    question = Arrival(0, 10, HERE, make.message("m1"))
    answer = Arrival(0, 11, HERE, make.sent("a1", 30))
    done = advance(Stored(), [answer, question, answer, question], APP)
    names = [name for _, increments in done.counted for _, name, _ in increments]
    assert "answered.assistant" in names
    assert names.count("in") == 1
    assert done.stored.offsets == {0: 11}
    assert done.already == 2


def test_a_rollup_gets_only_what_it_does_not_have() -> None:
    arrivals = [Arrival(0, n, HERE, make.message(f"m{n}", n)) for n in range(10, 14)]
    (rollup,) = [
        (key, change)
        for key, change in changes_of([advance(Stored(), arrivals, APP)]).items()
        if not key.endswith("total")
    ]
    key, change = rollup
    assert key == f"{PAGE}:2026-03-01"
    write = change.write(key, {0: 11, 5: 99})
    assert write is not None
    assert write.counters == {"slots.48.in": 2}
    assert (write.before, write.after) == ({0: 11}, {0: 13})
    assert change.write(key, {0: 13}) is None
