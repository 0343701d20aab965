"""A conversation as it is shown: grouped, dated, linked, and with what may be done."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.domain.messages import Attachment, Message, is_web_address
from services.console.domain.thread import (
    Choice,
    Hands,
    Item,
    Known,
    Part,
    _trimmed,
    choice_of,
    day_words,
    items_of,
    pieces_of,
    silence,
)
from services.console.domain.thread_words import status_of, system_line, why

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
TODAY = NOON.date()
AI, HUMAN = Hands(False, True, True), Hands(True, True, True)


def said(text: str = "Hello", *, after: float = 0, **facts: Any) -> Message:  # noqa: ANN401
    at = NOON + timedelta(seconds=after)
    return Message.model_validate(
        {"id": f"1:{after}", "at": at, "direction": "in", "text": text, **facts}
    )


def ours(text: str = "Hi", *, after: float = 0, **facts: Any) -> Message:  # noqa: ANN401
    told = {"direction": "out", "origin": "assistant", "status": "sent", "send_id": "c:0"}
    return said(text, after=after, **told | facts)


def shown(*messages: Message, **known: Any) -> tuple[Item, ...]:  # noqa: ANN401
    return items_of(messages, Known(**known), TODAY)


def test_messages_of_one_hand_within_two_minutes_stand_under_one_name() -> None:
    items = shown(
        said(),
        said(after=119),
        said(after=240),
        ours(after=241),
        ours(after=242, origin="human", by="a"),
        ours(after=243, origin="human", by="b"),
    )
    assert [item.opens_group for item in items] == [True, False, True, True, True, True]


def test_a_line_between_two_messages_parts_them() -> None:
    line = said(after=1, kind="system", event="takeover.started", by="a", by_name="Mo")
    items = shown(ours(), line, ours(after=2))
    assert [item.opens_group for item in items] == [True, True, True]
    assert items[1].line is not None
    assert items[1].line.words == "Mo took over"


def test_each_day_is_named_once() -> None:
    items = shown(said(after=-90_000), said(after=-80_000), said(), said(after=1))
    assert [item.opens_day for item in items] == ["Yesterday", None, "Today", None]
    assert [day_words(date(2026, 11, 20), TODAY), day_words(date(2025, 11, 20), TODAY)] == [
        "Friday, 20 November",
        "Thursday, 20 November 2025",
    ]


def test_what_is_quoted_is_shown_where_it_is_known() -> None:
    question = ours("Which  one\nof the two?", mid="m1")
    answer = said("The first", after=5, reply_to_mid="m1")
    assert shown(question, answer)[1].quote == "Which one of the two?"
    assert shown(answer)[0].quote is None


def test_a_revision_changes_with_what_is_read_and_with_nothing_else() -> None:
    first = shown(ours())[0].revision
    assert shown(ours())[0].revision == first
    assert shown(ours(status="read"))[0].revision != first
    assert shown(ours("Ho"))[0].revision != first
    held = ours(status="held")
    part = {"c:0": Part("held", 1)}
    assert (
        shown(held, parts=part, hands=AI)[0].revision
        != shown(held, parts={"c:0": Part("held", 2)}, hands=AI)[0].revision
    )


def test_texts_are_not_in_what_a_traceback_shows() -> None:
    items = shown(said("my secret https://secret.example"), find="secret")
    assert "secret" not in repr(items)


@pytest.mark.parametrize(
    ("message", "part", "hands", "expected"),
    [
        (ours(status="held"), Part("held", 3), AI, Choice("c:0", 3, True, True)),
        (ours(status="failed"), Part("failed"), AI, Choice("c:0", 0, False, True)),
        (ours(status="failed"), None, AI, None),
        (ours(status="failed"), Part("failed"), None, None),
        (ours(status="sent"), Part("held"), AI, None),
        (ours(status="held"), Part("again", 4), AI, None),
    ],
)
def test_what_may_be_decided_about_a_message(
    message: Message, part: Part | None, hands: Hands | None, expected: Choice | None
) -> None:
    assert choice_of(message, part, hands) == expected


def test_an_assistants_message_is_not_sent_again_while_a_human_has_the_conversation() -> None:
    choice = choice_of(ours(status="failed"), Part("failed"), HUMAN)
    assert choice is not None
    assert not choice.may_send_again
    by_human = choice_of(ours(status="failed", origin="human"), Part("failed"), HUMAN)
    assert by_human is not None
    assert by_human.may_send_again
    late = choice_of(ours(status="failed"), Part("failed"), Hands(False, False, True))
    assert late is not None
    assert late.why_not == "Nothing may be sent to the person at the moment."


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("See https://a.example/x.", ["https://a.example/x"]),
        ("(https://a.example/x_(y))", ["https://a.example/x_(y)"]),
        ("HTTPS://A.example and http://b.example", ["HTTPS://A.example", "http://b.example"]),
        ("javascript:alert(1) data:text/html,x ftp://a.example", []),
        ("(see https://a.example/x_(y)).)", ["https://a.example/x_(y)"]),
        ("https://a.example/)))))", ["https://a.example/"]),
        ("https://user:secret@bank.example/", []),
        ("https://", []),
        ("http://[::1", []),
    ],
)
def test_addresses_become_links(text: str, links: list[str]) -> None:
    assert [each.link for each in pieces_of(text) if each.link] == links


def test_a_long_tail_of_punctuation_is_no_work() -> None:
    class Counted(str):
        """Tells how often somebody goes through all of it."""

        __slots__ = ()
        times = 0

        def count(self, *wanted: Any) -> int:  # noqa: ANN401
            Counted.times += 1
            return super().count(*wanted)

        def __getitem__(self, place: Any) -> "Counted":  # noqa: ANN401
            return Counted(super().__getitem__(place))

    assert _trimmed(Counted("https://a.example/" + ")" * 500)) == "https://a.example/"
    assert Counted.times <= 2


@given(st.text(max_size=200), st.text(max_size=5))
def test_pieces_are_the_text_again(text: str, find: str) -> None:
    pieces = pieces_of(text, find)
    assert "".join(each.text for each in pieces) == text
    assert all(is_web_address(each.link) for each in pieces if each.link)


def test_what_is_searched_for_is_marked() -> None:
    assert [(each.text, each.is_found) for each in pieces_of("A cake. Cakes!", "cake")] == [
        ("A ", False),
        ("cake", True),
        (". ", False),
        ("Cake", True),
        ("s!", False),
    ]


def test_attachments_lead_nowhere_but_to_the_web() -> None:
    assert Attachment(url="https://cdn.example/x").link == "https://cdn.example/x"
    for url in ("javascript:alert(1)", "data:text/html,x", "//a.example", "https://a.example/ b"):
        assert Attachment(url=url).link is None
    place = {"coordinates": {"lat": 52.52, "long": "13.405"}}
    assert Attachment(payload=place).place == "52.52000, 13.40500"
    for odd in ({"coordinates": 1}, {"coordinates": {"lat": "x", "long": 1}}, {}, None):
        assert Attachment(payload=odd).place is None


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"paused": True}, "No answer: the assistant is paused on this Page."),
        ({"who": "Mo"}, "No answer from the assistant: Mo has the conversation."),
        ({"ours": False, "who": "Mo"}, "No answer: another app has this conversation at Facebook."),
        ({}, None),
    ],
)
def test_why_nobody_answered(facts: dict[str, Any], words: str | None) -> None:
    told = {"paused": False, "who": None, "ours": True} | facts
    line = said(after=9, kind="system", event="takeover.ended", by="a")
    assert silence([ours(), said(after=1), line], **told) == words
    assert silence([said(), ours(after=1)], **told) is None


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"event": "takeover.requested", "reason": "angry"}, "human: the person is angry"),
        ({"event": "takeover.requested", "reason": "new_one"}, "The assistant asked for a human"),
        ({"event": "takeover.started", "by": "facebook"}, "Somebody answered on Facebook"),
        ({"event": "takeover.ended", "by": "timer"}, "The time was over"),
        ({"event": "takeover.ended", "by": "a", "by_name": "Mo"}, "Mo returned it"),
        ({"event": "handover.changed", "action": "pass", "new_app_id": "9"}, "another app"),
        ({"event": "handover.changed", "action": "pass", "new_app_id": "5"}, "came back"),
        ({"event": "messages.expired", "days": 30}, "Older messages were deleted after 30 days"),
    ],
)
def test_what_became_of_the_conversation_in_words(facts: dict[str, Any], words: str) -> None:
    line = system_line(said(kind="system", **facts), own_app_id="5")
    assert line is not None
    assert words in line.words


def test_a_line_that_nobody_has_words_for_is_left_out() -> None:
    assert shown(said(kind="system", event="something.new")) == ()


def test_how_a_message_stands() -> None:
    def label(message: Message, *, is_again: bool = False) -> str | None:
        status = status_of(message, is_again=is_again)
        return status.label if status else None

    assert label(said()) is None
    assert label(ours(status="read")) == "Read"
    assert label(ours(status="held"), is_again=True) == "Being sent again"
    assert label(ours(status="failed", reason="discarded")) == "Discarded"
    assert label(ours(status=None)) == "Sending"
    assert label(ours(status="something_new")) == "Sending"


def test_why_says_the_rule_and_the_window_and_keeps_ids_for_support() -> None:
    facts = {
        each.label: each.words
        for each in why(
            ours(
                rule="human_agent_window",
                messaging_type="MESSAGE_TAG",
                tag="HUMAN_AGENT",
                window_expires_at=NOON,
                epoch=3,
                attempts=2,
                command_id="cmd",
                part=1,
                parts=2,
            )
        )
    }
    assert "only a human may answer" in facts["Rule"]
    assert facts["Sent as"] == "MESSAGE_TAG with the tag HUMAN_AGENT: a human wrote it"
    assert facts["Window until"] == "25 Nov 2026, 12:00 UTC"
    assert facts["Takeover epoch"].startswith("3:")
    assert (facts["Attempts"], facts["Part"], facts["Command"]) == ("2", "2 of 2", "cmd")


def test_why_says_what_facebook_answered() -> None:
    facts = {
        each.label: each.words
        for each in why(
            ours(
                status="failed",
                rule="meta_refused",
                explanation="It refused.",
                advice="Wait.",
                error_code=10,
                error_subcode=2018278,
                meta_message="outside of allowed window",
            )
        )
    }
    assert facts["Rule"] == "Facebook took the question and refused it."
    answer = "“outside of allowed window” · code 10, subcode 2018278"
    assert facts["Facebook's answer"] == answer
    assert (facts["What happened"], facts["What to do"]) == ("It refused.", "Wait.")


@pytest.mark.parametrize("rule", ["found_by_echo", "found_by_thread"])
def test_why_says_that_it_was_found_out(rule: str) -> None:
    assert "found to have arrived" in why(ours(rule=rule))[0].words


def test_a_rule_without_words_is_named() -> None:
    assert why(ours(rule="new_rule"))[0].words == "Rule new_rule."
