"""What comes on standby is read as if the thread were ours, and never answered."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.common.events import AnyRecord
from services.conversation.domain import receive
from services.conversation.domain.archive import activity_of
from services.conversation.domain.state import State
from services.gateway.domain.splitting import to_events
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import APP, PAGE, PATIENTLY, PSID, arrivals, rules
from tests.unit.conversation.test_archive import Documents

INBOX = 263902037430900  # Meta's own
STICKER = {"type": "sticker", "payload": {"sticker_id": 369}}
IMAGE = {"type": "image", "payload": {"url": "https://cdn.example.org/1.jpg"}}

FROM_PERSON: list[dict[str, Any]] = [
    {"message": {"mid": "m1", "text": "do you have rye?"}},
    {"message": {"mid": "m2", "attachments": [IMAGE, {"type": 7}, "?"]}},
    {"message": {"mid": "m3", "attachments": [STICKER]}},
    {"message": {"mid": "m4", "text": "this one", "reply_to": {"mid": "e2"}}},
    {"message": {"mid": "m5"}},
    {"message": {"mid": "m1", "is_deleted": True}},
    {"message_edit": {"mid": "m1", "text": "do you have spelt?", "num_edit": 1}},
    {"postback": {"mid": "p1", "title": "Opening hours", "payload": "HOURS"}},
    {"reaction": {"mid": "e2", "action": "react", "emoji": "❤", "reaction": "love"}},
    {"reaction": {"mid": "e2", "action": "unreact"}},
    {"referral": {"ref": "r", "source": "SHORTLINK", "type": "OPEN_THREAD"}},
    {"referral": {"source": "ADS", "type": "OPEN_THREAD", "ad_id": "7"}},
]
FROM_PAGE: list[dict[str, Any]] = [
    {"mid": "e1", "text": "An answer of ours", "app_id": int(APP), "metadata": "c1:0"},
    {"mid": "e2", "text": "Ann here: we have", "app_id": INBOX},
    {"mid": "e3", "attachments": [IMAGE], "app_id": str(INBOX)},
    {"mid": "e4", "text": "No app at all"},
]


def told(body: dict[str, Any], seconds: int, channel: str) -> AnyRecord:
    """As the gateway makes it of Meta's webhook, which has no payload of a button on standby."""
    at_ms = int(make.at(seconds).timestamp() * 1000)
    sender, recipient = (PAGE, PSID) if body in FROM_PAGE else (PSID, PAGE)
    element = {"message": {**body, "is_echo": True}} if body in FROM_PAGE else body
    if channel == "standby" and "postback" in element:
        element = {"postback": {"mid": "p1", "title": "Opening hours"}}
    raw = {
        "sender": {"id": sender},
        "recipient": {"id": recipient},
        "timestamp": at_ms,
        **element,
    }
    webhook = {"object": "page", "entry": [{"id": PAGE, "time": at_ms, channel: [raw]}]}
    [event] = to_events(webhook, make.at(seconds))
    return event  # type: ignore[return-value]


def taken_in(events: list[AnyRecord]) -> State:
    return receive.receive(State(), arrivals(*events), rules())


def remembered(state: State) -> list[tuple[str, str, str]]:
    return [(line.role, line.text, line.quoted) for line in state.history]


BODIES = [*FROM_PERSON, *FROM_PAGE]


@PATIENTLY
@given(st.lists(st.sampled_from(BODIES), unique_by=BODIES.index))
@example(BODIES)
@example([*reversed(BODIES)])
async def test_standby_is_remembered_and_kept_as_its_normal_kind_is_and_waits_for_nobody(
    bodies: list[dict[str, Any]],
) -> None:
    direct = [told(body, index, "messaging") for index, body in enumerate(bodies)]
    standby = [told(body, index, "standby") for index, body in enumerate(bodies)]
    there, here = taken_in(standby), taken_in(direct)
    assert remembered(there) == remembered(here)
    assert there.last_user_message_at == here.last_user_message_at
    assert (there.pending, there.inbound_count, there.last_direct_message_at) == ((), 0, None)
    shown, expected = await Documents().read(*standby), await Documents().read(*direct)
    for document in expected.values():
        document.pop("payload", None)
    assert shown == expected


@PATIENTLY
@given(
    st.lists(
        st.tuples(st.sampled_from(BODIES), st.sampled_from(["messaging", "standby"])),
        unique_by=lambda each: BODIES.index(each[0]),
    )
)
def test_memory_and_archive_agree_on_the_window_whichever_way_it_is_told(
    bodies: list[tuple[dict[str, Any], str]],
) -> None:
    events = [told(body, index, channel) for index, (body, channel) in enumerate(bodies)]
    activity = activity_of(events)
    shown = activity.last_user_message_at if activity else None
    assert taken_in(events).last_user_message_at == shown


@pytest.mark.parametrize("channels", [("standby", "messaging"), ("messaging", "standby")])
async def test_an_answer_of_ours_that_comes_on_standby_is_no_second_message(
    channels: tuple[str, ...],
) -> None:
    echoes = [told(FROM_PAGE[0], index, channel) for index, channel in enumerate(channels)]
    assert taken_in(echoes).history == ()
    shown = await Documents().read(make.sent("c1"), *echoes)
    assert list(shown) == [f"{PAGE}:c1:0"]
    assert shown[f"{PAGE}:c1:0"]["origin"] == "assistant"


@pytest.mark.parametrize("body", [FROM_PERSON[8], FROM_PERSON[10]], ids=["reaction", "link"])
def test_what_opens_the_window_on_standby_does_not_make_the_thread_ours(
    body: dict[str, Any],
) -> None:
    state = taken_in([told(body, 5, "standby")])
    assert (state.last_user_message_at, state.last_direct_message_at) == (make.at(5), None)


async def test_standby_takes_no_payload_from_a_button_that_was_told_to_us() -> None:
    tap = FROM_PERSON[7]
    for channels in (("messaging", "standby"), ("standby", "messaging")):
        events = [told(tap, 0, channel) for channel in channels]
        assert (await Documents().read(*events))[f"{PAGE}:p1"]["payload"] == "HOURS"
