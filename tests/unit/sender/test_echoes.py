"""Which events are evidence of ours."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from libs.common.events import MessageDelivered, MessageEchoed, MessageRead
from services.sender import echoes
from services.sender.echoes import Echoes
from tests.unit.sender.world import APP_ID, PAGE, PSID, STARTED_AT


def echo(mid: str = "m_1", send_id: str | None = "c1:0", app_id: str | None = APP_ID) -> Any:  # noqa: ANN401
    return MessageEchoed(
        event_id=mid,
        page_id=PAGE,
        psid=PSID,
        occurred_at=STARTED_AT,
        mid=mid,
        send_id=send_id,
        app_id=app_id,
    )


def duplicates() -> float:
    return REGISTRY.get_sample_value("assistant_duplicate_sends_total") or 0.0


@pytest.mark.parametrize("app_id", [APP_ID, None], ids=["our app", "no app named"])
def test_our_own_echo_names_the_parts_message(app_id: str | None) -> None:
    heard = Echoes(APP_ID)
    heard.heard(echo(app_id=app_id))
    assert heard.mid_of("c1:0") == "m_1"
    assert heard.mid_of("c1:1") is None


@pytest.mark.parametrize(
    "other",
    [
        echo(app_id="263902037430900"),
        echo(app_id=None, send_id=None),
        echo(send_id=None),
        MessageRead(event_id="r", page_id=PAGE, psid=PSID, occurred_at=STARTED_AT, watermark_ms=1),
    ],
    ids=["the inbox", "a human", "no metadata", "another event"],
)
def test_what_others_say_is_no_evidence(other: Any) -> None:  # noqa: ANN401
    heard = Echoes(APP_ID)
    heard.heard(other)
    assert heard.mid_of("c1:0") is None


def test_two_messages_of_one_part_are_noticed_and_a_redelivered_echo_is_not() -> None:
    heard, before = Echoes(APP_ID), duplicates()
    heard.heard(echo())
    heard.heard(echo())
    assert duplicates() == before
    heard.heard(echo("m_2"))
    assert duplicates() == before + 1
    assert heard.mid_of("c1:0") == "m_1"


async def test_who_waits_is_told_at_once_whether_before_or_after() -> None:
    heard = Echoes(APP_ID)
    with heard.awaiting("c1:0", "100:200") as first:
        assert not first.echoed.is_set()
        heard.heard(echo())
        assert first.echoed.is_set()
    with heard.awaiting("c1:0", "100:200") as second:
        assert second.echoed.is_set()


def test_only_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echoes, "KEPT", 2)
    heard = Echoes(APP_ID)
    for number in range(3):
        heard.heard(echo(f"m_{number}", f"c{number}:0"))
    assert [heard.mid_of(f"c{number}:0") for number in range(3)] == [None, "m_1", "m_2"]


def receipt(*mids: str, psid: str = PSID) -> MessageDelivered:
    return MessageDelivered(
        event_id="d", page_id=PAGE, psid=psid, occurred_at=STARTED_AT, watermark_ms=1, mids=mids
    )


async def test_receipts_are_kept_while_a_part_of_the_conversation_is_in_doubt() -> None:
    heard, conversation = Echoes(APP_ID), f"{PAGE}:{PSID}"
    heard.heard(receipt("m_0"))
    with heard.awaiting("c1:0", conversation) as told:
        assert heard.awaits_receipts(conversation)
        heard.heard(receipt("m_9", psid="201"))
        heard.heard(receipt())
        assert not told.any.is_set()
        heard.heard(receipt("m_1", "m_2"))
        heard.heard(receipt("m_2"))
        assert told.any.is_set()
        assert heard.receipts(conversation) == ["m_1", "m_2"]
        heard.heard(receipt(*[f"m_{number}" for number in range(500)]))
        assert len(heard.receipts(conversation)) == 50
    assert heard.receipts(conversation) == []
    assert not heard.awaits_receipts(conversation)
