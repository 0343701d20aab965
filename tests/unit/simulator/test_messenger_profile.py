"""What a Page shows before the first message: what is taken, what is refused, what is told."""

from typing import Any

import pytest

from simulator.world.messenger_profile import chosen, removed, written
from simulator.world.refusals import Refusal
from tests.unit.simulator.harness import Facebook
from tests.unit.simulator.login import code_and_subcode

GET_STARTED = {"payload": "GET_STARTED"}
GREETING = [{"locale": "default", "text": "Hello {{user_first_name}}!"}]
QUESTION = {"question": "Where are you?", "payload": "LOC"}
ICE_BREAKERS = [{"locale": "default", "call_to_actions": [QUESTION]}]
POSTBACK = {"type": "postback", "title": "Talk to a human", "payload": "CARE"}
SHOP = {"type": "web_url", "title": "Shop", "url": "https://shop.example"}


def menu(*items: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"locale": "default", "composer_input_disabled": False, "call_to_actions": [*items]}]


MENU = menu(POSTBACK, SHOP)
WHOLE = {
    "get_started": GET_STARTED,
    "greeting": GREETING,
    "ice_breakers": ICE_BREAKERS,
    "persistent_menu": MENU,
}


def localized(text: str, locale: str = "default") -> dict[str, str]:
    return {"locale": locale, "text": text}


@pytest.mark.parametrize(
    "given",
    [
        WHOLE,
        {"greeting": [localized("a" * 160)]},
        {"greeting": [localized("Hello"), localized("สวัสดี", "th_TH")]},
        {"get_started": {"payload": "a" * 1000}},
        {"ice_breakers": [QUESTION]},
        {"ice_breakers": [{"locale": "default", "call_to_actions": [QUESTION] * 4}]},
        {"get_started": GET_STARTED, "persistent_menu": menu(*[POSTBACK] * 20)},
    ],
)
def test_what_keeps_the_rules_is_taken(given: dict[str, Any]) -> None:
    assert written({}, given) == given


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"unheard_of": 1},
        {"get_started": "GET_STARTED"},
        {"get_started": {"payload": ""}},
        {"get_started": {"payload": "a" * 1001}},
        {"greeting": "Hello"},
        {"greeting": []},
        {"greeting": [localized("a" * 161)]},
        {"greeting": [localized("😀" * 81)]},
        {"greeting": [localized("")]},
        {"greeting": [localized("Hallo", "de_DE")]},
        {"greeting": [localized("a"), localized("b")]},
        {"greeting": ["Hello"]},
        {"ice_breakers": [{"locale": "default", "call_to_actions": [QUESTION] * 5}]},
        {"ice_breakers": [{"locale": "default", "call_to_actions": []}]},
        {"ice_breakers": [QUESTION] * 5},
        {"ice_breakers": [{"locale": "en_US", "call_to_actions": [QUESTION]}]},
        {"ice_breakers": [{"question": "a" * 81, "payload": "x"}]},
        {"ice_breakers": [{"question": "Where?"}]},
        {"get_started": GET_STARTED, "persistent_menu": menu(*[POSTBACK] * 21)},
        {"get_started": GET_STARTED, "persistent_menu": menu()},
        {"get_started": GET_STARTED, "persistent_menu": menu({**POSTBACK, "title": "a" * 31})},
        {"get_started": GET_STARTED, "persistent_menu": menu({**POSTBACK, "payload": "a" * 1001})},
        {"get_started": GET_STARTED, "persistent_menu": menu({**SHOP, "url": "shop"})},
        {"get_started": GET_STARTED, "persistent_menu": menu({**SHOP, "type": "call"})},
    ],
)
def test_what_breaks_a_rule_is_refused_and_changes_nothing(given: dict[str, Any]) -> None:
    profile = {"greeting": GREETING}
    with pytest.raises(Refusal) as refused:
        written(profile, given)
    assert (refused.value.code, refused.value.subcode) == (100, None)
    assert profile == {"greeting": GREETING}


def test_a_menu_needs_get_started_and_keeps_it() -> None:
    with pytest.raises(Refusal) as refused:
        written({}, {"persistent_menu": MENU})
    assert (refused.value.code, refused.value.subcode) == (100, 2018145)
    profile = written(written({}, {"get_started": GET_STARTED}), {"persistent_menu": MENU})
    with pytest.raises(Refusal) as refused:
        removed(profile, ["get_started"])
    assert refused.value.subcode == 2018145
    assert removed(profile, ["get_started", "persistent_menu"]) == {}
    assert removed(profile, ["persistent_menu"]) == {"get_started": GET_STARTED}


def test_a_nested_menu_is_a_thing_of_the_past() -> None:
    nested = {"type": "nested", "title": "More", "call_to_actions": [POSTBACK]}
    with pytest.raises(Refusal) as refused:
        written({}, {"get_started": GET_STARTED, "persistent_menu": menu(nested)})
    assert refused.value.code == 11


def test_only_what_is_given_is_replaced() -> None:
    profile = written(WHOLE, {"greeting": [localized("Hi")]})
    assert profile == {**WHOLE, "greeting": [localized("Hi")]}


def test_what_is_set_of_the_fields_is_told() -> None:
    profile = {"get_started": GET_STARTED, "greeting": GREETING}
    assert chosen(profile, "greeting,ice_breakers") == [{"greeting": GREETING}]
    assert chosen(profile, ["persistent_menu"]) == []


@pytest.mark.parametrize("fields", [None, "", [], "colour"])
def test_fields_must_be_known_ones(fields: object) -> None:
    with pytest.raises(Refusal):
        chosen({"greeting": GREETING}, fields)


@pytest.mark.parametrize("names", [None, [], ["colour"], "greeting"])
def test_what_is_removed_must_be_named(names: object) -> None:
    with pytest.raises(Refusal):
        removed({"greeting": GREETING}, names)


def test_what_was_not_set_can_be_removed() -> None:
    assert removed({}, ["greeting"]) == {}


async def test_it_is_written_read_and_removed_over_http(facebook: Facebook) -> None:
    path = "/me/messenger_profile"
    status, answer = await facebook.graph("POST", path, WHOLE)
    assert (status, answer) == (200, {"result": "success"})
    _, answer = await facebook.graph("GET", path, fields="get_started,greeting")
    assert answer == {"data": [{"get_started": GET_STARTED, "greeting": GREETING}]}
    _, answer = await facebook.graph("DELETE", path, {"fields": list(WHOLE)})
    assert answer == {"result": "success"}
    _, answer = await facebook.graph(
        "GET", f"/{facebook.page}/messenger_profile", fields="greeting"
    )
    assert answer == {"data": []}
    (page,) = (await facebook.control("GET", "/pages"))["pages"]
    assert page["messenger_profile"] == {}


async def test_ten_calls_in_ten_minutes_are_the_limit(facebook: Facebook) -> None:
    path = "/me/messenger_profile"
    for _ in range(10):
        assert (await facebook.graph("GET", path, fields="greeting"))[0] == 200
    _, answer = await facebook.graph("GET", path, fields="greeting")
    assert code_and_subcode(answer) == (613, 2534040)
    clock = facebook.simulator.now
    facebook.simulator.now = lambda: clock() + 600_001
    assert (await facebook.graph("GET", path, fields="greeting"))[0] == 200
    await facebook.behave(profile_calls_per_10_min=100)
    for _ in range(12):
        assert (await facebook.graph("GET", path, fields="greeting"))[0] == 200
