"""Every kind of event becomes the record that the contract asks for: the table is the mapping."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.events import Record, UnknownReceived, encode, key_of
from services.gateway.domain.kinds import KINDS
from services.gateway.domain.splitting import MAX_RECORD_BYTES, to_events, within_limit
from tests.unit.gateway.webhooks import (
    PAGE,
    PERSON,
    TIME_MS,
    entry,
    from_page,
    from_person,
    message,
    webhook,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=TIME_MS)
COMMON = {"page_id": PAGE, "psid": PERSON, "occurred_at": AT, "version": "1.0"}

AD = {
    "ref": "r",
    "ad_id": "6045",
    "source": "ADS",
    "type": "OPEN_THREAD",
    "ads_context_data": {"ad_title": "t", "post_id": "1"},
}
AD_REFERRAL = {
    "ref": "r",
    "ad_id": "6045",
    "source": "ADS",
    "type": "OPEN_THREAD",
    "ads_context": {"ad_title": "t", "post_id": "1"},
}
IMAGE = {"type": "image", "payload": {"url": "https://cdn.example/1"}}
LIKE = {"type": "sticker", "payload": {"url": "https://cdn.example/2", "sticker_id": 3692392632}}
OLD_FALLBACK = {"type": "fallback", "title": "t", "url": "https://x.example", "payload": None}
ECHO = {"is_echo": True, "app_id": 1517776481860111, "metadata": "out-7f3a", "mid": "m_e"}
PASS = {"previous_owner_app_id": "111", "new_owner_app_id": 222, "metadata": "m"}
OPTIN = {"type": "notification_messages", "payload": "p", "token_expiry_timestamp": "1"}

TYPED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "message.received",
        message(
            quick_reply={"payload": "P"},
            reply_to={"mid": "m_0", "is_self_reply": False},
            attachments=[IMAGE],
            referral=AD,
            commands=[{"name": "flights"}],
        ),
        {
            "mid": "m_1",
            "text": "hello",
            "quick_reply_payload": "P",
            "reply_to_mid": "m_0",
            "attachments": (
                {"type": "image", "url": "https://cdn.example/1", "payload": IMAGE["payload"]},
            ),
            "referral": AD_REFERRAL,
            "is_deleted": False,
        },
    ),
    (
        "message.received",
        from_person(message={"mid": "m_1", "attachments": [LIKE, OLD_FALLBACK, "?", {}]}),
        {
            "mid": "m_1",
            "attachments": (
                {
                    "type": "sticker",
                    "url": "https://cdn.example/2",
                    "sticker_id": "3692392632",
                    "payload": LIKE["payload"],
                },
                {"type": "fallback", "title": "t", "url": "https://x.example"},
                {"type": "unknown"},
                {"type": "unknown"},
            ),
            "is_deleted": False,
        },
    ),
    (
        "message.received",
        from_person(message={"mid": "m_1", "is_deleted": "true"}),
        {"mid": "m_1", "attachments": (), "is_deleted": True},
    ),
    (
        "message.received",  # pieces that don't matter may be anything
        message(quick_reply=[], reply_to="m", referral=7, attachments={"type": "image"}),
        {"mid": "m_1", "text": "hello", "attachments": (), "is_deleted": False},
    ),
    (
        "message.echoed",
        from_page(message={**ECHO, "text": "hi", "attachments": [{"type": "template"}]}),
        {
            "mid": "m_e",
            "text": "hi",
            "app_id": "1517776481860111",
            "send_id": "out-7f3a",
            "attachments": ({"type": "template"},),
        },
    ),
    (
        "message.echoed",  # written in the inbox: no app, no metadata
        from_page(message={"is_echo": "true", "mid": "m_e", "app_id": None}),
        {"mid": "m_e", "attachments": ()},
    ),
    (
        "message.echoed",  # not flagged, but sent by the Page: never to be answered
        from_page(message={"mid": "m_e", "text": "hi"}),
        {"mid": "m_e", "text": "hi", "attachments": ()},
    ),
    (
        "postback.received",
        from_person(
            postback={
                "mid": "m_p",
                "title": "Get Started",
                "payload": "GET_STARTED",
                "referral": {"ref": "campaign-7", "source": "SHORTLINK", "type": "OPEN_THREAD"},
            }
        ),
        {
            "mid": "m_p",
            "title": "Get Started",
            "payload": "GET_STARTED",
            "referral": {"ref": "campaign-7", "source": "SHORTLINK", "type": "OPEN_THREAD"},
        },
    ),
    ("postback.received", from_person(postback={"payload": "P"}), {"payload": "P"}),
    (
        "message.delivered",
        from_person(delivery={"mids": ["m_a", None, "m_b"], "watermark": 1458668856253}),
        {"mids": ("m_a", "m_b"), "watermark_ms": 1458668856253},
    ),
    (
        "message.delivered",
        from_person(delivery={"watermark": "1458668856"}),
        {"mids": (), "watermark_ms": 1458668856000},
    ),
    (
        "message.read",
        from_person(read={"watermark": 1458668856253, "seq": 0}),
        {"watermark_ms": 1458668856253},
    ),
    (
        "reaction.received",
        from_person(
            reaction={"reaction": "love", "emoji": "\u2764\ufe0f", "action": "react", "mid": "m_t"}
        ),
        {"mid": "m_t", "action": "react", "reaction": "love", "emoji": "\u2764\ufe0f"},
    ),
    (
        "reaction.received",
        from_person(reaction={"action": "unreact", "mid": "m_t"}),
        {"mid": "m_t", "action": "unreact"},
    ),
    (
        "message.edited",
        from_person(message_edit={"mid": "m_same", "text": "new text", "num_edit": "2"}),
        {"mid": "m_same", "text": "new text", "edit_number": 2},
    ),
    ("referral.received", from_person(referral=AD), {"referral": AD_REFERRAL}),
    (
        "referral.received",
        from_person(referral={"type": "LEAD_COMPLETE"}, lead={"data": [{"question": "q"}]}),
        {
            "referral": {
                "type": "LEAD_COMPLETE",
                "ads_context": {"lead": {"data": [{"question": "q"}]}},
            }
        },
    ),
    ("optin.received", from_person(optin=OPTIN), {"optin": OPTIN}),
    (
        "handover.changed",
        from_person(pass_thread_control=PASS),
        {"action": "pass", "previous_app_id": "111", "new_app_id": "222", "metadata": "m"},
    ),
    (
        "handover.changed",
        from_page(take_thread_control={"previous_owner_app_id": None, "new_owner_app_id": "1"}),
        {"action": "take", "new_app_id": "1"},
    ),
    (
        "handover.changed",
        from_person(request_thread_control={"requested_owner_app_id": 333, "metadata": "m"}),
        {"action": "request", "new_app_id": "333", "metadata": "m"},
    ),
    (
        "handover.changed",
        from_person(app_roles={"111": ["primary_receiver"]}),
        {"action": "roles", "metadata": '{"111":["primary_receiver"]}'},
    ),
]

STANDBY: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (message(), {"kind": "message", "mid": "m_1", "text": "hello", "is_echo": False}),
    (
        from_page(message={**ECHO, "text": "hi"}),
        {"kind": "message", "mid": "m_e", "text": "hi", "is_echo": True},
    ),
    (
        from_person(postback={"mid": "m_p", "title": "t"}),
        {"kind": "postback", "mid": "m_p", "is_echo": False},
    ),
    (from_person(read={"watermark": 1}), {"kind": "read", "is_echo": False}),
    (from_person(news={"a": 1}), {"kind": "news", "is_echo": False}),
]

UNKNOWN: list[tuple[Any, str, str, str | None]] = [
    # the element, its kind, the reason, the person
    (from_person(account_linking={"status": "linked"}), "account_linking", "unknown_kind", PERSON),
    (from_person(response_feedback={"mid": "m"}), "response_feedback", "unknown_kind", PERSON),
    (from_person(order={"source": "x"}), "order", "unknown_kind", PERSON),
    (from_person(brand_new={}), "brand_new", "unknown_kind", PERSON),
    (from_person(), "empty", "unknown_kind", PERSON),
    (
        {"recipient": {"id": PAGE}, "timestamp": 1, "policy_enforcement": {"action": "block"}},
        "policy_enforcement",
        "unknown_kind",
        None,
    ),
    ({"recipient": {"id": PAGE}, "app_roles": {"111": []}}, "app_roles", "no_person", None),
    (
        {"recipient": {"id": PAGE}, "optin": {"ref": "r", "user_ref": "u"}},
        "optin",
        "no_person",
        None,
    ),
    ({**message(), "sender": {"id": None}}, "message", "no_person", None),
    ({**message(), "sender": {"id": "2:00"}}, "message", "no_person", None),
    ({**message(), "sender": {"id": True}}, "message", "no_person", None),
    ({**message(), "sender": PERSON}, "message", "no_person", None),
    ({**message(), "sender": {"id": PAGE}}, "message", "no_person", None),
    (from_page(read={"watermark": 1}), "read", "no_person", None),
    (from_person(message={"text": "no mid"}), "message", "no_mid", PERSON),
    (from_person(message={"mid": "", "text": "x"}), "message", "no_mid", PERSON),
    (from_person(message={"mid": "m\x00", "text": "x"}), "message", "no_mid", PERSON),
    (from_person(message={"mid": "m\ud800", "text": "x"}), "message", "no_mid", PERSON),
    (from_person(message={"mid": "m_1", "text": {"a": 1}}), "message", "invalid", PERSON),
    (from_person(message="hello"), "message", "invalid", PERSON),
    (from_person(message=None), "message", "invalid", PERSON),
    (from_person(delivery={"mids": ["m_a"]}), "delivery", "invalid", PERSON),
    (from_person(read={"watermark": 2**63}), "read", "invalid", PERSON),
    (from_person(read={"watermark": -1}), "read", "invalid", PERSON),
    (from_person(read={"watermark": 4102444800000}), "read", "invalid", PERSON),
    (from_person(reaction={"mid": "m"}), "reaction", "invalid", PERSON),
    (from_person(referral=[]), "referral", "invalid", PERSON),
    ("element", "messaging", "invalid", None),
    (None, "messaging", "invalid", None),
    ([], "messaging", "invalid", None),
]


def only(payload: object) -> Record:
    (record,) = to_events(payload, NOW)
    return record


def facts(record: Record) -> dict[str, Any]:
    return record.model_dump(exclude_none=True, exclude={"type", "event_id"})


@pytest.mark.parametrize(("record_type", "element", "expected"), TYPED)
def test_each_kind_becomes_its_record(
    record_type: str, element: dict[str, Any], expected: dict[str, Any]
) -> None:
    record = only(webhook(element))
    assert record.type == record_type
    assert facts(record) == {**COMMON, **expected}
    assert key_of(record) == b"100:200"


@pytest.mark.parametrize(("element", "expected"), STANDBY)
def test_what_another_app_answers_travels_as_standby(
    element: dict[str, Any], expected: dict[str, Any]
) -> None:
    record = only(webhook(element, name="standby"))
    assert record.type == "standby.received"
    assert facts(record) == {**COMMON, **expected, "raw": element}


@pytest.mark.parametrize(("element", "kind", "reason", "psid"), UNKNOWN)
def test_what_is_not_understood_is_kept_as_it_came(
    element: object, kind: str, reason: str, psid: str | None
) -> None:
    record = only(webhook(element))
    assert isinstance(record, UnknownReceived)
    assert (record.kind, record.reason, record.psid) == (kind, reason, psid)
    assert UnknownReceived.model_validate_json(encode(record)) == record
    assert key_of(record) == (b"100:200" if psid else b"100")


@pytest.mark.parametrize(
    ("payload", "page", "kind", "reason"),
    [
        (None, "unknown", "payload", "invalid"),
        ([1, 2], "unknown", "payload", "invalid"),
        ({}, "unknown", "entry", "no_entries"),
        ({"object": "page", "entry": []}, "unknown", "entry", "no_entries"),
        ({"object": "page", "entry": {"id": "1"}}, "unknown", "entry", "no_entries"),
        ({"object": "page", "entry": ["x"]}, "unknown", "entry", "invalid"),
        ({"object": "page", "entry": [{"id": "100", "time": 1}]}, "100", "entry", "no_messaging"),
        ({"object": "page", "entry": [entry()]}, "100", "entry", "no_messaging"),
        ({"object": "page", "entry": [{"id": 7, "messaging": {}}]}, "7", "messaging", "invalid"),
        ({"object": "page", "entry": [entry(message(), page="a:b")]}, "100", None, None),
        ({"object": "page", "entry": [entry(message(), page=None)]}, "100", None, None),
        ({"object": "instagram", "entry": [entry(message())]}, "100", "instagram", "wrong_object"),
        ({"object": 1, "entry": [entry(message())]}, "100", "object", "wrong_object"),
        ({"object": "user", "entry": [None]}, "unknown", "user", "wrong_object"),
    ],
)
def test_odd_envelopes(payload: object, page: str, kind: str | None, reason: str | None) -> None:
    record = only(payload)
    assert record.page_id == page
    assert getattr(record, "kind", None) == kind
    assert getattr(record, "reason", None) == reason


def test_message_without_any_page_is_kept() -> None:
    lost = {"sender": {"id": PERSON}, "message": {"mid": "m_1"}}
    record = only({"object": "page", "entry": [{"messaging": [lost]}]})
    assert isinstance(record, UnknownReceived)
    assert (record.page_id, record.reason) == ("unknown", "no_page")


def test_changes_of_the_page_itself() -> None:
    feed = {"field": "feed", "value": {"item": "post"}}
    record = only(
        {"object": "page", "entry": [{"id": PAGE, "time": 1458692752, "changes": [feed]}]}
    )
    assert isinstance(record, UnknownReceived)
    assert (record.kind, record.reason) == ("feed", "unsupported")
    assert record.occurred_at == datetime.fromtimestamp(1458692752, UTC)


def test_a_batch_of_pages_and_kinds_keeps_its_order() -> None:
    entries = [
        entry(message("m_1"), message("m_2")),
        entry({"brand": "new"}, "broken", message("m_3"), page="101"),
        {"id": "102", "messaging": [message("m_4")], "standby": [message("m_5")], "changes": [{}]},
    ]
    records = to_events({"object": "page", "entry": entries}, NOW)
    assert [(r.page_id, r.type, getattr(r, "mid", None)) for r in records] == [
        ("100", "message.received", "m_1"),
        ("100", "message.received", "m_2"),
        ("101", "unknown.received", None),
        ("101", "unknown.received", None),
        ("101", "message.received", "m_3"),
        ("102", "message.received", "m_4"),
        ("102", "standby.received", "m_5"),
        ("102", "unknown.received", None),
    ]
    assert len({record.event_id for record in records}) == len(records)


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (1763900000001, AT),
        ("1763900000001", AT),
        (1763900000001.0, AT),
        (1763900000, AT - timedelta(milliseconds=1)),
        ("1763900000", AT - timedelta(milliseconds=1)),
        (1, datetime.fromtimestamp(1, UTC)),
        (1795521600000, NOW),  # this very moment
        # not believed: the entry's own time stands in
        (2**63, AT + timedelta(milliseconds=122)),
        (-5, AT + timedelta(milliseconds=122)),
        (1e300, AT + timedelta(milliseconds=122)),
        (float("inf"), AT + timedelta(milliseconds=122)),
        ("soon", AT + timedelta(milliseconds=122)),
        ("９", AT + timedelta(milliseconds=122)),
        (True, AT + timedelta(milliseconds=122)),
        (None, AT + timedelta(milliseconds=122)),
        (4102444800000, AT + timedelta(milliseconds=122)),  # in 2100: would keep a window open
    ],
)
def test_timestamps_in_every_form(timestamp: object, expected: datetime) -> None:
    assert only(webhook({**message(), "timestamp": timestamp})).occurred_at == expected


def test_without_any_moment_the_receipt_counts() -> None:
    bare = {"id": PAGE, "messaging": [{**message(), "timestamp": None}]}
    assert only({"object": "page", "entry": [bare]}).occurred_at == NOW


def test_what_cannot_be_written_is_replaced() -> None:
    record = only(
        webhook(
            message(
                text="a\x00b\ud83dc",
                attachments=[{"type": "x\udc00", "payload": {"k\x00": 2**80, "inf": 1e999}}],
            )
        )
    )
    assert facts(record)["text"] == "a\ufffdb\ufffdc"
    assert facts(record)["attachments"] == (
        {"type": "x\ufffd", "payload": {"k\ufffd": str(2**80), "inf": None}},
    )
    assert encode(record).decode("utf-8")


def test_a_record_too_large_for_kafka_is_cut() -> None:
    small, large = message("m_1"), message("m_2", text='"' * 500_000)
    records = to_events(webhook(small, large, {"x": "\\" * 900_000}), NOW)
    kept = within_limit(records)
    assert kept[0] is records[0]
    assert isinstance(kept[1], UnknownReceived)
    assert (kept[1].kind, kept[1].reason) == ("message.received", "too_large")
    assert kept[1].psid == PERSON
    assert max(len(encode(record)) for record in kept) <= MAX_RECORD_BYTES


def test_a_fault_of_ours_in_one_kind_costs_neither_the_batch_nor_the_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(KINDS, "delivery", lambda element: element.raw["no such key"])
    delivery = from_person(delivery={"watermark": 5})
    first, second = to_events(webhook(delivery, message()), NOW)
    assert isinstance(first, UnknownReceived)
    assert (first.kind, first.reason, first.psid) == ("delivery", "gateway_error", PERSON)
    assert second.type == "message.received"
