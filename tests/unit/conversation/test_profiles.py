"""Names and pictures: asked for within a budget, kept, refreshed, and never made up."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.channels import Channel
from libs.common.crypto import KeyRing
from libs.common.graph import (
    GraphError,
    NoProfileError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PermissionMissingError,
    RateLimitedError,
    TokenRejectedError,
    UnsureError,
)
from libs.common.graph import Profile as Answer
from services.conversation.domain import profiles
from services.conversation.domain.profiles import BUDGET_WINDOW, Profile, name_key
from services.conversation.profiles import ProfileReader
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import PAGE, PATIENTLY, PSID, at
from tests.unit.conversation.world import CHANNEL, KEYS

RING = KeyRing.parse(KEYS)
CONNECTED = CHANNEL.model_copy(update={"token": RING.encrypt("page-token", context=PAGE)})
ANN = Answer(first_name="Ann", last_name="Lee", profile_pic="https://cdn.example.org/a.jpg")
KNOWN = Profile(state="known", first_name="Ann", fetched_at=make.at(-60), next_at=make.NOON)


class Meta:
    """Answers every call the same, and counts."""

    def __init__(self, answer: Answer | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    async def person_profile(self, token: str, psid: str) -> Answer:
        self.asked.append((token, psid))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Budget:
    """One Page's calls, in memory."""

    def __init__(self) -> None:
        self.calls: tuple[datetime, ...] = ()

    async def spend_call(self, _page_id: str, now: datetime, most: int) -> datetime | None:
        spent = profiles.spend(self.calls, now, most)
        if spent is None:
            return profiles.next_call_at(self.calls, now, most)
        self.calls = spent
        return None


class World:
    def __init__(self, answer: Answer | Exception = ANN) -> None:
        self.meta = Meta(answer)
        self.now = make.NOON
        self.reader = ProfileReader(self.meta, RING, Budget(), 10, lambda: self.now)

    async def renewed(
        self, profile: Profile | None = None, channel: Channel = CONNECTED
    ) -> Profile:
        return await self.reader.renewed(channel, PSID, profile or Profile())


async def test_a_profile_is_kept_for_a_week() -> None:
    world = World()
    profile = await world.renewed()
    assert world.meta.asked == [("page-token", PSID)]
    assert (profile.state, profile.shown_name) == ("known", "Ann Lee")
    assert profile.picture_url == "https://cdn.example.org/a.jpg"
    assert profile.fetched_at == make.NOON
    assert not profiles.is_due(profile, make.NOON + timedelta(days=7, seconds=-1))
    assert profiles.is_due(profile, make.NOON + timedelta(days=7))


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (Answer(name="Ann Lee"), "Ann Lee"),
        (Answer(first_name="Ann"), "Ann"),
        (Answer(first_name="Ann", last_name="Lee", name="Lee Ann"), "Lee Ann"),
        (Answer(first_name="  Ann\n\x00 ", last_name=""), "Ann"),
        (Answer(first_name="x" * 999), "x" * 200),
        (Answer(first_name="مهدی\u200cیار 👨‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿"), "مهدی\u200cیار 👨‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
        (Answer(first_name="\u202eAnn\u2066\u200f"), "Ann"),
        (Answer(first_name="x" * 198 + "👨‍👩‍👧‍👦"), "x" * 198),
    ],
)
async def test_the_name_is_what_there_is_of_it(answer: Answer, shown: str) -> None:
    assert (await World(answer).renewed()).shown_name == shown


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://" + "x" * 3000, "", "http://a\n"])
async def test_what_is_no_address_of_a_picture_is_not_kept(url: str) -> None:
    profile = await World(Answer(first_name="Ann", profile_pic=url)).renewed()
    assert profile.picture_url is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(), "empty"),
        (Answer(profile_pic="https://cdn.example.org/a.jpg"), "empty"),
        (NoProfileError(100, 2018218), "100/2018218"),
        (NoProfileError(100, 2018247), "100/2018247"),
        (PermissionMissingError(230), "230"),
        (NotFoundError(100, 33), "100/33"),
        (NotFoundError(100, 2018001), "100/2018001"),
    ],
)
async def test_whom_meta_does_not_show_has_no_name_for_a_day(
    answer: Answer | GraphError, reason: str
) -> None:
    profile = await World(answer).renewed()
    assert (profile.state, profile.shown_name, profile.reason) == ("hidden", None, reason)
    assert not profile.is_waiting
    assert profile.next_at == make.NOON + timedelta(days=1)


async def test_a_name_that_was_known_is_not_forgotten_when_meta_shows_it_no_more() -> None:
    profile = await World(NoProfileError(100, 2018218)).renewed(KNOWN)
    assert (profile.state, profile.shown_name) == ("known", "Ann")
    assert profile.fetched_at == make.at(-60)


@pytest.mark.parametrize(
    "error", [NotSentError("refused"), OutcomeUnknownError("timeout"), UnsureError(2)]
)
async def test_trouble_is_tried_again_ever_more_rarely(error: Exception) -> None:
    world = World(error)
    profile, pauses = Profile(), []
    for _ in range(8):
        profile = await world.renewed(profile)
        assert profile.is_waiting
        assert profile.next_at is not None
        pauses.append((profile.next_at - world.now) / timedelta(minutes=1))
        world.now = profile.next_at
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (TokenRejectedError(190, 463), timedelta(minutes=5)),
        (RateLimitedError(613), BUDGET_WINDOW),
        (RateLimitedError(80006, retry_after_s=1800), timedelta(minutes=30)),
    ],
)
async def test_a_page_in_trouble_is_left_alone_with_all_its_people(
    error: GraphError, pause: timedelta
) -> None:
    world = World(error)
    profile = await world.renewed()
    assert (profile.is_waiting, profile.next_at) == (True, make.NOON + pause)
    await world.renewed()
    assert len(world.meta.asked) == 1
    world.reader.reconsider(PAGE)
    world.meta.answer = ANN
    assert (await world.renewed()).state == "known"


@pytest.mark.parametrize("status", ["expired", "revoked"])
async def test_without_a_good_token_nobody_is_asked(status: str) -> None:
    world = World()
    profile = await world.renewed(channel=CONNECTED.model_copy(update={"status": status}))
    assert (profile.is_waiting, world.meta.asked) == (True, [])


async def test_a_token_that_cannot_be_decrypted_is_no_good() -> None:
    world = World()
    profile = await world.renewed(channel=CHANNEL)
    assert (profile.reason, world.meta.asked) == ("no_token", [])


async def test_a_page_asks_ten_times_in_ten_minutes_and_the_others_wait() -> None:
    world = World()
    states = [(await world.renewed()).state for _ in range(12)]
    assert states == ["known"] * 10 + ["unknown"] * 2
    waiting = await world.renewed()
    assert (waiting.next_at, waiting.reason) == (make.NOON + BUDGET_WINDOW, "no_budget")
    world.now = make.NOON + BUDGET_WINDOW
    assert (await world.renewed()).state == "known"


@PATIENTLY
@given(st.lists(st.floats(0, 3600), max_size=60), st.integers(1, 12))
def test_no_ten_minutes_hold_more_calls_than_allowed(moments: list[float], most: int) -> None:
    calls: tuple[datetime, ...] = ()
    granted: list[datetime] = []
    for moment in sorted(moments):
        spent = profiles.spend(calls, at(moment), most)
        if spent is None:
            free = profiles.next_call_at(calls, at(moment), most)
            assert at(moment) < free <= at(moment) + BUDGET_WINDOW
            assert profiles.spend(calls, free, most) is not None
        else:
            calls = spent
            granted.append(at(moment))
    for start in granted:
        assert sum(start <= each < start + BUDGET_WINDOW for each in granted) <= most


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Ann  Lee", "ann lee"),
        ("ANN LEE", "ann lee"),
        ("Ａｎｎ Lee", "ann lee"),
        ("José Núñez", "josé núñez"),
        ("Facebook User", ""),
        (None, ""),
    ],
)
def test_names_are_compared_as_people_would(name: str | None, key: str) -> None:
    assert name_key(name) == key


def test_one_word_is_no_full_name() -> None:
    assert not profiles.is_full_name("ann")
    assert profiles.is_full_name("ann lee")


@PATIENTLY
@given(st.builds(dict, name=st.text(), first_name=st.text(), picture_url=st.text()))
def test_nobody_is_called_by_a_name_that_meta_did_not_give(answer: dict[str, Any]) -> None:
    profile = profiles.given(make.NOON, **answer)
    if profile is not None and profile.shown_name:
        for word in profile.shown_name.split():
            assert word in answer["name"] + answer["first_name"]
