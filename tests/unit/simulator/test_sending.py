"""Meta's rules for sending, as tables."""

from random import Random
from typing import Any

import pytest

from simulator.world.limits import CallWindow, DailyCalls, PageLimits
from simulator.world.model import INBOX_APP_ID, Behaviour, Page, Person
from simulator.world.refusals import Refusal
from simulator.world.sending import check_send, utf16_length
from simulator.world.world import Said, World

NOW = 1_795_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR


@pytest.fixture
def world() -> World:
    return World(random=Random(1))


@pytest.fixture
def page(world: World) -> Page:
    return world.add_page("Bakery")


@pytest.fixture
def person(world: World, page: Page) -> Person:
    """Somebody who wrote an hour ago."""
    person = world.add_person(page, "Mia", "Torres")
    world.write(page, person.psid, Said("hello"), NOW - HOUR)
    return person


def request(person: Person, **params: object) -> dict[str, Any]:
    return {"recipient": {"id": person.psid}, "message": {"text": "hi"}, **params}


def refusal(page: Page, params: dict[str, Any], now: int = NOW) -> tuple[int, int | None]:
    with pytest.raises(Refusal) as caught:
        check_send(page, params, now)
    return caught.value.code, caught.value.subcode


TAGGED = {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}


@pytest.mark.parametrize(
    ("age", "params", "allowed"),
    [
        (0, {}, True),
        (DAY - 1, {}, True),
        (DAY - 1, {"messaging_type": "UPDATE"}, True),
        (DAY, {}, False),
        (DAY, {"messaging_type": "UPDATE"}, False),
        (DAY, TAGGED, True),
        (25 * HOUR, {}, False),
        (25 * HOUR, TAGGED, True),
        (6 * DAY, TAGGED, True),
        (7 * DAY - 1, TAGGED, True),
        (7 * DAY, TAGGED, False),
        (8 * DAY, TAGGED, False),
    ],
)
def test_window_counts_from_the_last_action(
    world: World, page: Page, person: Person, age: int, params: dict[str, Any], allowed: bool
) -> None:
    world.write(page, person.psid, Said("later"), NOW)
    if allowed:
        assert check_send(page, request(person, **params), NOW + age).text == "hi"
    else:
        assert refusal(page, request(person, **params), NOW + age) == (10, 2018278)


@pytest.mark.parametrize(
    ("age", "plain", "tagged"),
    [(HOUR, True, True), (25 * HOUR, False, True), (6 * DAY, False, True), (8 * DAY, False, False)],
)
def test_a_message_of_long_ago_that_comes_now_opens_the_window_of_then(
    world: World, page: Page, age: int, plain: bool, tagged: bool
) -> None:
    person = world.add_person(page, "Jonas", "Weber")
    world.write(page, person.psid, Said("hello"), NOW - age)
    for params, allowed in (({}, plain), (TAGGED, tagged)):
        if allowed:
            assert check_send(page, request(person, **params), NOW).text == "hi"
        else:
            assert refusal(page, request(person, **params)) == (10, 2018278)


@pytest.mark.parametrize("age", [HOUR, 25 * HOUR, 8 * DAY])
def test_without_approval_no_message_is_tagged_whenever_the_person_wrote(
    world: World, page: Page, person: Person, age: int
) -> None:
    page.behaviour = Behaviour(human_agent="not_granted")
    assert refusal(page, request(person, **TAGGED), NOW - HOUR + age) == (100, 2018276)
    assert check_send(page, request(person), NOW).text == "hi"


@pytest.mark.parametrize("params", [{}, TAGGED, {"message": None, "sender_action": "typing_on"}])
def test_nothing_goes_out_in_a_thread_of_another_app(
    world: World, page: Page, person: Person, params: dict[str, Any]
) -> None:
    world.own(page, person.psid, INBOX_APP_ID)
    assert refusal(page, request(person, **params)) == (10, 2018300)
    world.own(page, person.psid, None)
    assert check_send(page, request(person, **params), NOW).person is person


def test_nobody_may_be_written_to_who_never_wrote(world: World, page: Page) -> None:
    stranger = world.add_person(page, "Jonas", "Weber")
    assert refusal(page, request(stranger)) == (10, 2018278)
    assert refusal(page, request(stranger, **TAGGED)) == (10, 2018278)


@pytest.mark.parametrize("action", ["tap", "react"])
def test_taps_and_reactions_open_the_window_and_reading_does_not(
    world: World, page: Page, person: Person, action: str
) -> None:
    late = NOW + 2 * DAY
    world.read(page, person.psid, late)
    assert refusal(page, request(person), late) == (10, 2018278)
    if action == "tap":
        world.tap(page, person.psid, "Get Started", "GET_STARTED", late)
    else:
        mid = page.threads[person.psid].messages[0].mid
        world.react(page, person.psid, mid, "👍", late)
    assert check_send(page, request(person), late).text == "hi"


def test_an_older_message_that_comes_late_does_not_shrink_the_window(
    world: World, page: Page, person: Person
) -> None:
    world.write(page, person.psid, Said("old"), NOW - 10 * DAY)
    assert check_send(page, request(person), NOW).text == "hi"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"recipient": None}, (100, None)),
        ({"recipient": {}}, (100, None)),
        ({"recipient": {"id": "9"}}, (100, 2018001)),
        ({"recipient": {"user_ref": "x"}}, (100, 2018001)),
        ({"sender_action": "typing_on"}, (100, 2018014)),
        ({"message": None}, (100, 2018014)),
        ({"message": None, "sender_action": "dance"}, (100, None)),
        ({"message": "hi"}, (100, None)),
        ({"message": {}}, (100, 2018034)),
        ({"message": {"text": ""}}, (100, 2018034)),
        ({"message": {"text": " \n"}}, (100, 2018034)),
        ({"message": {"text": 5}}, (100, None)),
        ({"message": {"text": "a" * 2001}}, (100, None)),
        ({"message": {"text": "😀" * 1001}}, (100, None)),
        ({"message": {"text": "hi", "metadata": "m" * 1001}}, (100, None)),
        ({"message": {"text": "hi", "metadata": {"a": 1}}}, (100, None)),
        ({"message": {"text": "hi", "quick_replies": [{}] * 14}}, (100, None)),
        ({"message": {"text": "hi", "quick_replies": [{"title": "t" * 21}]}}, (100, None)),
        ({"message": {"attachment": {"type": "smell", "payload": {}}}}, (100, None)),
        ({"message": {"attachment": {"type": "image"}}}, (100, None)),
        ({"message": {"text": "hi", "attachments": []}}, (100, None)),
        ({"messaging_type": "SPAM"}, (100, None)),
        ({"messaging_type": "UTILITY"}, (200, None)),
        ({"messaging_type": "MESSAGE_TAG"}, (100, None)),
        ({"messaging_type": "MESSAGE_TAG", "tag": "ACCOUNT_UPDATE"}, (100, 1893061)),
        ({"messaging_type": "RESPONSE", "tag": "HUMAN_AGENT"}, (100, None)),
    ],
)
def test_what_is_wrong_with_a_request(
    page: Page, person: Person, params: dict[str, Any], expected: tuple[int, int | None]
) -> None:
    assert refusal(page, request(person, **params)) == expected


@pytest.mark.parametrize("text", ["a" * 2000, "😀" * 1000, "ä" * 2000])
def test_two_thousand_units_are_allowed(page: Page, person: Person, text: str) -> None:
    assert check_send(page, request(person, message={"text": text}), NOW).text == text
    assert utf16_length(text) == 2000


def test_too_long_a_text_is_refused_in_metas_words(page: Page, person: Person) -> None:
    with pytest.raises(Refusal) as caught:
        check_send(page, request(person, message={"text": "a" * 2001}), NOW)
    words = "(#100) Length of param message[text] must be less than or equal to 2000"
    assert caught.value.body("A1") == {
        "error": {
            "message": words,
            "type": "OAuthException",
            "code": 100,
            "fbtrace_id": "A1",
        }
    }


def test_missing_messaging_type_means_response(page: Page, person: Person) -> None:
    assert check_send(page, request(person), NOW).messaging_type == "RESPONSE"


def test_checks_come_in_the_documented_order(world: World, page: Page, person: Person) -> None:
    """Everything is wrong at first; each step puts right what was complained about."""
    page.behaviour = Behaviour(dev_mode=True, restricted=True)
    person.blocked = True
    params: dict[str, Any] = {"recipient": {"id": "9"}, "message": {"text": ""}}
    late = NOW + 30 * DAY
    assert refusal(page, params, late) == (100, 2018001)
    params["recipient"] = {"id": person.psid}
    assert refusal(page, params, late) == (200, 2018028)
    person.has_role = True
    params["sender_action"] = "typing_on"
    assert refusal(page, params, late) == (100, 2018014)
    del params["sender_action"]
    assert refusal(page, params, late) == (100, 2018034)
    params["message"] = {"text": "hi"}
    assert refusal(page, params, late) == (10, 1893063)
    page.behaviour = Behaviour(dev_mode=True)
    assert refusal(page, params, late) == (551, 1545041)
    person.blocked = False
    world.own(page, person.psid, INBOX_APP_ID)
    assert refusal(page, params, late) == (10, 2018300)
    world.own(page, person.psid, None)
    assert refusal(page, params, late) == (10, 2018278)
    world.write(page, person.psid, Said("again"), late)
    assert check_send(page, params, late).text == "hi"


@pytest.mark.parametrize("behaviour", [{"dev_mode": True}, {"published": False}])
def test_an_app_that_is_not_live_reaches_only_people_with_a_role(
    page: Page, person: Person, behaviour: dict[str, bool]
) -> None:
    page.behaviour = Behaviour.model_validate(behaviour)
    assert refusal(page, request(person)) == (200, 2018028)
    person.has_role = True
    assert check_send(page, request(person), NOW).text == "hi"


def test_sender_actions_need_no_window(world: World, page: Page) -> None:
    stranger = world.add_person(page, "Jonas", "Weber")
    params = {"recipient": {"id": stranger.psid}, "sender_action": "mark_seen"}
    assert check_send(page, params, NOW).action == "mark_seen"


def test_calls_are_counted_by_the_second_that_ends_with_them() -> None:
    window = CallWindow()
    assert [window.add(NOW + at) for at in (0, 500, 999, 1000, 1501)] == [1, 2, 3, 3, 3]


def test_calls_of_a_day_are_forgotten_by_the_hour() -> None:
    calls = DailyCalls()
    assert [calls.add(NOW + hours * HOUR) for hours in (0, 0, 1, 23, 24, 48)] == [1, 2, 3, 4, 3, 1]


def test_usage_grows_with_calls_and_shrinks_with_people() -> None:
    assert PageLimits(calls_today=100_000).usage_percent(people=2) == 50
    assert PageLimits(calls_today=100_000).usage_percent(people=2000) == 25
