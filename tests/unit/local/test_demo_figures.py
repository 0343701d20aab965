"""The demo's comparison of figures: what is added, and what Facebook's record and the log say."""

from types import SimpleNamespace
from typing import Any

from deploy.local.demo import figures
from deploy.local.demo.figures import INBOX_APP_ID, Figures, flat, since
from deploy.local.demo.log import Log
from libs.common.events import (
    AnyRecord,
    MessageFailed,
    MessageSent,
    TakeoverEnded,
    TakeoverRequested,
    TakeoverStarted,
)

ABOUT: dict[str, Any] = {
    "page_id": "100",
    "psid": "200",
    "occurred_at": "2026-03-01T12:00:00Z",
}


def report(inbound: int = 0, *, failed: int = 0, in_takeover: int = 0, **by: int) -> dict[str, Any]:
    """As analytics answers, as far as the demo looks at it."""
    return {
        "messages": {"inbound": inbound, "delivered": sum(by.values()), "outbound_by": by},
        "hand_overs": {
            "requested_by_reason": {},
            "started_by_reason": {"taken": in_takeover},
            "ended_by_reason": {},
        },
        "failures": [{"reason": "window_closed", "count": failed}] if failed else [],
        "conversations": {"in_takeover": in_takeover},
    }


def part(send_id: str) -> dict[str, Any]:
    command_id, _, number = send_id.partition(":")
    return {
        **ABOUT,
        "command_id": command_id,
        "send_id": send_id,
        "part": int(number),
        "parts": 1,
        "origin": "assistant",
        "text": "hello",
        "rule": "standard_window",
    }


def test_what_was_added_leaves_out_what_stayed_as_it_was() -> None:
    before = flat(report(3, failed=1, assistant=2))
    after = report(5, failed=1, in_takeover=1, assistant=2, human=1)
    assert since(after, before) == Figures(
        {"in": 2, "delivered": 1, "out.human": 1, "started.taken": 1, "in_takeover": 1}
    )
    assert since(report(3, failed=1, assistant=2), before) == Figures()


def test_a_figure_that_went_down_is_seen() -> None:
    assert since(report(2), flat(report(3))) == Figures({"in": -1})


def test_who_wrote_a_message_is_told_by_its_app_and_by_the_log() -> None:
    origins = {"m1": "human"}
    assert figures._written({"mid": "m0", "app_id": INBOX_APP_ID}, origins) == "out.human_facebook"
    assert figures._written({"mid": "m1", "app_id": "7"}, origins) == "out.human"
    assert figures._written({"mid": "m2", "app_id": "7"}, origins) == "out.assistant"


def test_the_log_counts_each_fact_once_and_what_was_sent_in_the_end_did_not_fail() -> None:
    log = Log()
    failures = {"reason": "window_closed", "explanation": "too late"}
    facts: list[AnyRecord] = [
        MessageFailed(event_id="1", **part("a:0"), **failures),
        MessageFailed(event_id="1", **part("a:0"), **failures),
        MessageFailed(event_id="2", **part("b:0"), **failures),
        MessageSent(event_id="3", **part("b:0"), mid="m", messaging_type="RESPONSE"),
        TakeoverRequested(event_id="4", reason="asked", **ABOUT),
        TakeoverRequested(event_id="4", reason="asked", **ABOUT),
        TakeoverStarted(event_id="5", epoch=1, by="user:ann", reason="taken", **ABOUT),
        TakeoverEnded(event_id="6", epoch=2, by="timer", reason="auto_resume", **ABOUT),
        TakeoverStarted(event_id="7", epoch=3, by="facebook", reason="facebook_reply", **ABOUT),
    ]
    for fact in facts:
        log.heard(fact)
    stage: Any = SimpleNamespace(log=log)
    assert Figures(figures._told(stage, "200")) == Figures(
        {
            "failed.window_closed": 1,
            "requested.asked": 1,
            "started.taken": 1,
            "started.facebook_reply": 1,
            "ended.auto_resume": 1,
            "in_takeover": 1,
        }
    )
    log.heard(TakeoverEnded(event_id="8", epoch=4, by="user:ann", reason="resumed", **ABOUT))
    assert "in_takeover" not in Figures(figures._told(stage, "200"))
