"""What the Graph client says becomes an outcome, and nothing else leaks out."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from libs.common.channels import Channel
from libs.common.crypto import KeyRing
from libs.common.graph import (
    GraphError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    SendResult,
    TokenRejectedError,
)
from libs.common.window import Send
from services.sender.domain.evidence import Seen
from services.sender.domain.outcome import Outcome, RateLimited, Refused, Sent, Uncertain
from services.sender.domain.outcome import TokenRejected as TokenRejectedOutcome
from services.sender.graph_meta import UNREADABLE_TOKEN, GraphMeta, payload_of
from services.sender.meta import ThreadUnreadableError
from tests.unit.sender.world import CHANNEL, PAGE, PSID, STARTED_AT

KEYS = KeyRing.parse("k1:" + base64.b64encode(b"1" * 32).decode())
TOKEN = "page-token"
CONNECTED = CHANNEL.model_copy(update={"token": KEYS.encrypt(TOKEN, context=PAGE)})
AS_RESPONSE = Send("RESPONSE", None, "standard_window", STARTED_AT + timedelta(hours=24))
AS_HUMAN = Send("MESSAGE_TAG", "HUMAN_AGENT", "human_agent_window", STARTED_AT + timedelta(days=7))


@dataclass
class FakeClient:
    """Answers every call the same."""

    answer: Any = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    async def send_message(self, *given: Any) -> SendResult:  # noqa: ANN401
        return await self._answered(*given)  # type: ignore[no-any-return]

    async def read_thread(self, *given: Any) -> Sequence[Any]:  # noqa: ANN401
        return await self._answered(*given)  # type: ignore[no-any-return]

    async def read_message(self, *given: Any) -> Any:  # noqa: ANN401
        return await self._answered(*given)

    async def send_action(self, *given: Any) -> None:  # noqa: ANN401
        await self._answered(*given)

    async def _answered(self, *given: Any) -> Any:  # noqa: ANN401
        self.calls.append(given)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def meta(client: FakeClient) -> GraphMeta:
    return GraphMeta(client, KEYS)  # type: ignore[arg-type]


async def outcome_of(answer: object, channel: Channel = CONNECTED) -> Outcome:
    sent = await meta(FakeClient(answer)).send(channel, PSID, "hi", "c1:0", AS_RESPONSE)
    return sent.outcome


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (AS_RESPONSE, {"messaging_type": "RESPONSE"}),
        (AS_HUMAN, {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}),
    ],
)
def test_the_payload_names_the_part_and_carries_a_tag_only_where_there_is_one(
    decision: Send, expected: Mapping[str, str]
) -> None:
    assert payload_of(PSID, "hi", "c1:0", decision) == {
        "recipient": {"id": PSID},
        "message": {"text": "hi", "metadata": "c1:0"},
        **expected,
    }


async def test_a_part_is_posted_once_with_the_pages_own_token() -> None:
    client = FakeClient(SendResult("m_1"))
    answer = await meta(client).send(CONNECTED, PSID, "hi", "c1:0", AS_RESPONSE)
    assert answer.outcome == Sent("m_1")
    assert client.calls == [(PAGE, TOKEN, payload_of(PSID, "hi", "c1:0", AS_RESPONSE))]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OutcomeUnknownError("reset"), Uncertain("no_answer")),
        (OutcomeUnknownError("no id", http_status=200), Uncertain("unreadable_answer")),
        (OutcomeUnknownError("html", http_status=502), Uncertain("server_error")),
        (
            OutcomeUnknownError("x", http_status=429, retry_after_s=9.0),
            Uncertain("too_many_calls", retry_after_s=9.0),
        ),
        (GraphError(2), Uncertain("meta_unsure", 2)),
        (RateLimitedError(613, retry_after_s=7.0), RateLimited("page", 7.0, 613)),
    ],
)
async def test_what_is_not_certain_is_never_taken_for_a_refusal(
    error: Exception, expected: Outcome
) -> None:
    assert await outcome_of(error) == expected


async def test_a_call_that_never_left_was_certainly_not_sent() -> None:
    outcome = await outcome_of(NotSentError("refused"))
    assert isinstance(outcome, Refused)
    assert outcome.refusal.retry == "soon"


async def test_a_refusal_keeps_metas_trace_and_words() -> None:
    error = GraphError(551, 1545041, f"User {PSID} is away", fbtrace_id="trace")
    answer = await meta(FakeClient(error)).send(CONNECTED, PSID, "hi", "c1:0", AS_RESPONSE)
    assert isinstance(answer.outcome, Refused)
    assert (answer.outcome.refusal.reason, answer.fbtrace_id) == ("person_unavailable", "trace")
    assert answer.message == "User [person] is away"


async def test_a_rejected_token_says_why() -> None:
    outcome = await outcome_of(TokenRejectedError(190, 460))
    assert isinstance(outcome, TokenRejectedOutcome)
    assert outcome.cause.cause == "password_changed"


async def test_a_token_that_cannot_be_decrypted_stops_the_page_and_calls_nobody() -> None:
    client = FakeClient(SendResult("m_1"))
    answer = await meta(client).send(CHANNEL, PSID, "hi", "c1:0", AS_RESPONSE)
    assert answer.outcome == TokenRejectedOutcome(UNREADABLE_TOKEN, code=0)
    with pytest.raises(ThreadUnreadableError):
        await meta(client).thread(CHANNEL, PSID)
    assert client.calls == []


async def test_a_thread_says_which_messages_are_the_pages() -> None:
    messages = [
        SimpleNamespace(mid="m_2", from_id=PAGE, text="hi", created_at=STARTED_AT),
        SimpleNamespace(mid="m_1", from_id=PSID, text="hello", created_at=STARTED_AT),
    ]
    assert await meta(FakeClient(messages)).thread(CONNECTED, PSID) == [
        Seen("m_2", True, "hi", STARTED_AT),
        Seen("m_1", False, "hello", STARTED_AT),
    ]


@pytest.mark.parametrize(
    "error",
    [GraphError(100), NotSentError("refused"), OutcomeUnknownError("reset"), RateLimitedError(613)],
)
async def test_a_thread_that_cannot_be_read_is_no_evidence(error: Exception) -> None:
    with pytest.raises(ThreadUnreadableError):
        await meta(FakeClient(error)).thread(CONNECTED, PSID)
    with pytest.raises(ThreadUnreadableError):
        await meta(FakeClient(error)).message(CONNECTED, "m_1")


async def test_one_message_can_be_read_by_its_id() -> None:
    message = SimpleNamespace(mid="m_2", from_id=PAGE, text="hi", created_at=STARTED_AT)
    assert await meta(FakeClient(message)).message(CONNECTED, "m_2") == Seen(
        "m_2", True, "hi", STARTED_AT
    )
