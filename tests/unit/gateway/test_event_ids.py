"""Ids: the same for every copy of a fact, never the same for two facts."""

from datetime import timedelta
from typing import Any

import pytest

from services.gateway.domain.splitting import to_events
from tests.unit.gateway.test_splitting import NOW, TYPED, only
from tests.unit.gateway.webhooks import entry, from_page, from_person, message, webhook

SAME_BUT_DIFFERENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (message("m_1"), message("m_2")),
    (message("m_1"), from_page(message={"mid": "m_1", "is_echo": True})),
    (message("m_1"), message("m_1", is_deleted=True)),
    (message("m_1"), from_person(postback={"mid": "m_1"})),
    (from_person(postback={"payload": "A"}), from_person(postback={"payload": "B"})),
    (
        from_person(postback={"payload": "A"}),
        {**from_person(postback={"payload": "A"}), "timestamp": 2},
    ),
    (from_person(delivery={"watermark": 5}), from_person(read={"watermark": 5})),
    (from_person(delivery={"watermark": 5}), from_person(delivery={"watermark": 6})),
    (from_person(delivery={"watermark": 5}), from_person(delivery={"watermark": 5, "mids": ["m"]})),
    (
        from_person(message_edit={"mid": "m", "num_edit": 1}),
        from_person(message_edit={"mid": "m", "num_edit": 2}),
    ),
    (
        from_person(reaction={"mid": "m", "action": "react", "emoji": "a"}),
        from_person(reaction={"mid": "m", "action": "react", "emoji": "b"}),
    ),
    (
        from_person(reaction={"mid": "m", "action": "react"}),
        {**from_person(reaction={"mid": "m", "action": "react"}), "timestamp": 2},
    ),
    (
        from_person(reaction={"mid": "m", "action": "react"}),
        {**from_person(reaction={"mid": "m", "action": "react"}), "sender": {"id": "201"}},
    ),
    (from_person(referral={"ref": "a"}), from_person(referral={"ref": "b"})),
    (from_person(brand_new=1), from_person(brand_new=2)),
    (from_person(optin={"a": 1}), {**from_person(optin={"a": 1}), "sender": {"id": "201"}}),
]


@pytest.mark.parametrize(("one", "other"), SAME_BUT_DIFFERENT)
@pytest.mark.parametrize("name", ["messaging", "standby"])
def test_different_facts_have_different_ids(
    one: dict[str, Any], other: dict[str, Any], name: str
) -> None:
    assert only(webhook(one, name=name)).event_id != only(webhook(other, name=name)).event_id


def test_the_same_mid_on_two_pages_is_two_facts() -> None:
    one, other = to_events(
        {"object": "page", "entry": [entry(message()), entry(message(), page="101")]}, NOW
    )
    assert one.event_id != other.event_id


@pytest.mark.parametrize("element", [element for _, element, _ in TYPED])
def test_a_redelivered_webhook_makes_the_same_ids(element: dict[str, Any]) -> None:
    later = NOW + timedelta(minutes=40)
    for name in ("messaging", "standby"):
        again = dict(reversed(element.items()))  # nobody promises the order of keys
        first = to_events(webhook(element, name=name), NOW)
        second = to_events(webhook(again, name=name), later)
        assert [record.event_id for record in first] == [record.event_id for record in second]
