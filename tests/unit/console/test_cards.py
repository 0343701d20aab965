"""Changes of a Page's settings that cross each other, and how they are told."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from libs.common.channels import Channel, ChannelSettings
from libs.common.text import utf16_length
from services.console.domain.cards import (
    CARD_OF,
    CARDS,
    FIELDS,
    OF_THE_CHANNEL,
    Author,
    Card,
    CardState,
    ChangedMeanwhileError,
    cards_of,
    changed,
    differing,
    document_changes,
    host_of,
    told,
)
from services.console.domain.setting_values import (
    MOST_GREETING,
    Greeting,
    Payload,
    Sent,
    previewed,
)
from services.console.web.settings_forms import FORMS

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ADA = Author("usr_ada", "Ada", NOW)
VALUES: dict[str, Any] = {
    "enabled": True,
    "assistant_id": "crumb",
    **ChannelSettings().model_dump(),
}
START = CardState(VALUES)


def test_every_setting_is_on_one_card() -> None:
    names = [name for card in CARDS for name in FIELDS[card]]
    assert len(names) == len(set(names))
    assert set(names) - OF_THE_CHANNEL == set(ChannelSettings.model_fields)
    assert set(Channel.model_fields) >= OF_THE_CHANNEL
    assert set(FORMS) == set(CARDS)


def test_what_is_so_already_is_no_change() -> None:
    assert changed(START, {"enabled": True, "greeting": ""}, seen=0, author=ADA) is START


def test_a_change_is_one_version_and_says_who_made_it() -> None:
    after = changed(START, {"greeting": "Hi", "loop_turns": 8}, seen=0, author=ADA)
    assert (after.version, after.values["greeting"]) == (1, "Hi")
    assert set(after.changed) == {"greeting"}
    assert after.changed["greeting"].by_name == "Ada"
    assert document_changes(START, after) == {
        "settings.greeting": "Hi",
        "settings_version": 1,
        "changed.greeting": {"version": 1, "by": "usr_ada", "by_name": "Ada", "at": NOW},
    }


def test_the_channels_own_are_not_below_its_settings() -> None:
    after = changed(START, {"enabled": False}, seen=None, author=ADA)
    assert document_changes(START, after)["enabled"] is False


def test_the_second_on_a_card_is_told_who_was_first() -> None:
    first = changed(START, {"greeting": "Hi"}, seen=0, author=ADA)
    with pytest.raises(ChangedMeanwhileError, match="changed by Ada at 2026-11-25 12:00") as late:
        changed(first, {"welcome_prompt": "Hello."}, seen=0, author=ADA)
    assert late.value.card == "greeting"
    assert changed(first, {"loop_turns": 3}, seen=0, author=ADA).version == 2
    assert changed(first, {"welcome_prompt": "Hello."}, seen=1, author=ADA).version == 2
    assert changed(first, {"greeting": "Hi"}, seen=0, author=ADA) is first  # both want the same
    assert changed(first, {"greeting": "No"}, seen=None, author=ADA).version == 2


@dataclass(frozen=True)
class Save:
    """Somebody saves a card, from what they saw so many saves ago."""

    card: Card
    value: int
    saw: int  # saves ago


saves = st.lists(
    st.builds(Save, st.sampled_from(CARDS), st.integers(0, 3), st.integers(0, 6)), max_size=25
)


@given(saves)
def test_nothing_is_lost_in_whatever_order_people_save(steps: list[Save]) -> None:
    """A change stays until somebody replaces it who has seen it; other cards are never touched."""
    states = [CardState(dict.fromkeys(CARD_OF, 0))]
    for step in steps:
        now = states[-1]
        seen = states[max(0, len(states) - 1 - step.saw)]
        given_ = dict.fromkeys(FIELDS[step.card], step.value)
        is_seen = step.card not in now.changed or now.changed[step.card].version <= seen.version
        if not is_seen and differing(now.values, given_):
            with pytest.raises(ChangedMeanwhileError) as late:
                changed(now, given_, seen=seen.version, author=ADA)
            assert late.value.card == step.card
            after = now
        else:
            after = changed(now, given_, seen=seen.version, author=ADA)
            assert all(after.values[name] == step.value for name in FIELDS[step.card])
            others = set(CARD_OF) - set(FIELDS[step.card])
            assert all(after.values[name] == now.values[name] for name in others)
        states.append(after)
    versions = [state.version for state in states]
    assert versions == sorted(versions)


@given(st.dictionaries(st.sampled_from(sorted(CARD_OF)), st.integers(), max_size=8))
def test_what_is_written_is_what_changed(given_: dict[str, int]) -> None:
    after = changed(START, given_, seen=0, author=ADA)
    written = document_changes(START, after)
    names = {path.rpartition(".")[2] for path in written} - {"settings_version", *CARDS}
    assert names == set(differing(VALUES, given_)) - set(CARDS)
    assert {path.removeprefix("changed.") for path in written if path.startswith("changed.")} == (
        set(cards_of(differing(VALUES, given_)))
    )


def test_the_log_is_told_in_short_and_no_secret() -> None:
    before = {
        **VALUES,
        "notification_url": "https://hooks.example.org/services/T0/secret",
        "notification_secret": "v1.k1.sealed",
    }
    new = {
        "enabled": False,
        "max_message_length": 300,
        "auto_resume_minutes": 30,
        "handover_languages": ("en", "de"),
        "prompt_addition": "word " * 100,
        "notification_url": "https://me:pw@chat.example.org/hooks/other?key=secret",
        "notification_secret": "typed in the clear",
    }
    words = told(before, new)
    assert words["enabled"] == "on → off"
    assert words["max_message_length"] == "2000 → 300"
    assert words["auto_resume_minutes"] == "none → 30"
    assert words["handover_languages"].endswith("→ en, de")
    assert words["notification_url"] == "hooks.example.org → chat.example.org"
    assert words["notification_secret"] == "replaced"
    assert len(words["prompt_addition"]) < 100
    assert "secret" not in str(list(words.values()))
    assert told(VALUES, {"notification_secret": "x"}) == {"notification_secret": "stored"}
    assert told(before, {"notification_secret": ""}) == {"notification_secret": "removed"}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://hooks.example.org/a/b", "hooks.example.org"),
        ("https://hooks.example.org?key=1", "hooks.example.org"),
        ("https://127.0.0.1:8443", "127.0.0.1:8443"),
        ("", ""),
    ],
)
def test_of_an_address_the_host_is_told(url: str, host: str) -> None:
    assert host_of(url) == host


class Texts(BaseModel):
    greeting: Greeting = ""
    payload: Payload = ""
    sent: Sent = "a"


@pytest.mark.parametrize(
    ("name", "text", "taken"),
    [
        ("greeting", "a" * 160, True),
        ("greeting", "a" * 161, False),
        ("greeting", "😀" * 80, True),
        ("greeting", "😀" * 81, False),
        ("greeting", "สวัสดี" * 26, True),
        ("greeting", "Hi {{user_first_name}} {{user_last_name}}, {{user_full_name}}", True),
        ("greeting", "Hi {{ user_first_name }}", False),
        ("greeting", "Hi {{}}", False),
        ("greeting", "{user}", True),
        ("payload", "a" * 1000, True),
        ("payload", "a" * 1001, False),
        ("sent", "", False),
        ("sent", "a" * 2001, False),
        ("sent", "\ud800", False),
    ],
)
def test_texts_are_counted_as_facebook_and_browsers_do(
    name: str, text: str, *, taken: bool
) -> None:
    try:
        Texts.model_validate({name: text})
    except ValidationError:
        assert not taken
    else:
        assert taken


@given(st.text())
def test_what_is_taken_fits(text: str) -> None:
    try:
        Texts.model_validate({"greeting": text})
    except ValidationError:
        return
    assert utf16_length(text) == len(text.encode("utf-16-le")) // 2 <= MOST_GREETING


def test_a_preview_fills_in_names_and_leaves_the_rest() -> None:
    assert previewed("Hi {{user_full_name}}, {{who}}!") == "Hi Alex Morgan, {{who}}!"
