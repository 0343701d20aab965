"""The faults of a soak: one a minute, the same for the same seed, and none left out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak.plan import COMPONENTS, planned

seeds = st.integers(0, 10_000)


@settings(max_examples=20)
@given(seeds)
def test_the_same_seed_makes_the_same_plan(seed: int) -> None:
    assert planned(seed, 60) == planned(seed, 60)
    assert planned(seed, 60)[:20] == planned(seed, 20)
    assert planned(seed, 60) != planned(seed + 1, 60)


@settings(max_examples=20)
@given(seeds, st.integers(0, 100))
def test_each_minute_has_one(seed: int, minutes: int) -> None:
    assert [int(each.at_s // 60) for each in planned(seed, minutes)] == list(range(minutes))


@settings(max_examples=20)
@given(seeds)
def test_an_hour_has_every_kind_of_every_component(seed: int) -> None:
    names = [each.fault.name for each in planned(seed, 60)]
    for component in COMPONENTS:
        for kind in ("kill", "terminate", "freeze"):
            assert f"{component}: {kind}" in names
    kinds = len(set(names))
    assert kinds < 60
    assert len(set(names[:kinds])) == kinds  # none again before all have come
