"""What the cards show and what they give: the same, unless somebody types."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.channels import ChannelSettings, HandoverLanguage
from services.console.domain.cards import CARDS, FIELDS, SECRET, Card
from services.console.domain.setting_values import LEAST_IDLE_S, MOST_IDLE_S, MOST_MINUTES
from services.console.web.settings_forms import FORMS, HandoverForm, lines_of

lines = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=50)
VALUES = {"enabled": True, "assistant_id": "crumb", **ChannelSettings().model_dump()}
some_values = st.fixed_dictionaries(
    {
        "enabled": st.booleans(),
        "greeting": st.text(st.characters(codec="ascii", categories=["L"]), max_size=160),
        "quiet_window_s": st.floats(0, 10).map(lambda each: round(each, 3)),
        "max_message_length": st.integers(50, 2000),
        "handover_languages": st.lists(
            st.sampled_from(get_args(HandoverLanguage)), unique=True
        ).map(tuple),
        "handover_phrases": st.lists(lines, max_size=50, unique=True).map(tuple),
        "notification_secret": st.sampled_from(["", "v1.k1.sealed"]),
        "auto_resume_minutes": st.none() | st.integers(5, MOST_MINUTES),
        "daily_model_calls": st.none() | st.integers(0, 10**12),
        "session_idle_s": st.integers(LEAST_IDLE_S, MOST_IDLE_S).map(float),
        "loop_pause_s": st.integers(60, 86_400).map(float),
    }
)


def typed(card: Card, values: dict[str, Any]) -> dict[str, Any]:
    """What a browser sends back of a card that nobody has touched."""
    sent: dict[str, Any] = {}
    for name, value in FORMS[card].shown(values).items():
        if name in SECRET or value is None or value is False or value in ("", ()):
            continue  # not sent back, left empty, not ticked
        sent[name] = list(value) if isinstance(value, tuple) else str(value)
    return sent


@given(some_values)
def test_a_card_that_nobody_has_touched_changes_nothing(values: dict[str, Any]) -> None:
    stored = VALUES | values
    for card in CARDS:
        given_ = FORMS[card].model_validate(typed(card, stored)).given()
        assert given_ == {name: stored[name] for name in given_}
        assert set(given_) == set(FIELDS[card]) - SECRET


@pytest.mark.parametrize(
    ("secret", "forget", "given_"),
    [("", False, None), ("new", False, "new"), ("", True, ""), ("new", True, "new")],
)
def test_a_secret_stays_unless_it_is_replaced_or_removed(
    secret: str, given_: str | None, *, forget: bool
) -> None:
    form = HandoverForm(handover_text="Soon.", notification_secret=secret, forget_secret=forget)
    assert form.given().get("notification_secret") == given_


def test_each_line_is_a_sentence_once() -> None:
    assert lines_of(" a \r\n\r\nb\na\n") == ("a", "b")
