"""An administrator tries an assistant: as people get it, and nothing is sent or kept."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from libs.common.channels import Assistant as AssistantProfile
from libs.common.channels import Channel, ChannelSettings
from libs.common.web import Late, Readiness, base_app, json_errors
from services.conversation.assistants.base import (
    AssistantRefusedError,
    Handover,
    ModelChoice,
    Reply,
)
from services.conversation.assistants.offline import OfflineAssistant
from services.conversation.domain.spending import Spent
from services.conversation.trying import (
    MOST_OF_A_WORKSPACE,
    Draft,
    Said,
    TooManyTrialsError,
    Trial,
    Trials,
    UnknownAssistantError,
    UnknownPageError,
    drafted,
)
from services.conversation.trying_handlers import LARGEST_BODY, TRIALS, add_trial_routes
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import PAGE
from tests.unit.conversation.world import ASSISTANT, CHANNEL, World

SEALED = "v1.k1.sealed"
STORED = ASSISTANT.model_copy(
    update={
        "provider": "openai",
        "model": "small",
        "api_key": SEALED,
        "base_url": "https://m.ex/v1",
    }
)


class Office(World):
    """A world in which the assistant is read as it is, on whatever Page."""

    def __init__(self, **own: Any) -> None:  # noqa: ANN401
        super().__init__(**own)
        self.spent_by: list[str] = []

    async def assistant_now(self, assistant_id: str) -> AssistantProfile | None:
        return self.profile if assistant_id == "a1" else None

    async def channel(self, page_id: str) -> Channel | None:
        return self.page if page_id == PAGE else None

    async def begin(self, page_id: str, limits: ChannelSettings, expected: Spent) -> Any:  # noqa: ANN401
        self.spent_by.append(page_id)
        return await super().begin(PAGE, limits, expected)

    @property
    def trials(self) -> Trials:
        return Trials(self, self, self.settings, self, self.now)


@pytest.fixture
def office() -> Office:
    return Office()


async def test_it_is_asked_what_a_person_on_the_page_would_have_it_asked(office: Office) -> None:
    office.write(make.message("m1", "Are you open?"))
    await office.handle_all()
    answer = await office.trials.run("a1", Trial(question="Are you open?", page_id=PAGE))
    real, tried = office.prompts
    assert tried == real
    assert (answer.kind, answer.text, answer.model) == ("answer", "Answer 2", "small")
    assert (answer.input_tokens, answer.output_tokens) == (3, 2)


async def test_nothing_is_sent_or_kept_and_it_counts(office: Office) -> None:
    await office.trials.run("a1", Trial(question="Are you open?", page_id=PAGE))
    assert (office.published, office.shown, office.stored.version) == ([], [], 0)
    assert office.spent == Spent(1, 3, 2)
    await office.trials.run("a1", Trial(question="Are you open?"))
    assert office.spent_by == [PAGE, "workspace:w1"]


async def test_what_was_said_before_is_known(office: Office) -> None:
    said = (Said(role="person", text="Hi"), Said(role="assistant", text="Hello!"))
    await office.trials.run("a1", Trial(question="And now?", history=said))
    [prompt] = office.prompts
    assert [(line.role, line.text) for line in prompt.history] == [
        ("person", "Hi"),
        ("assistant", "Hello!"),
    ]
    assert prompt.question == "And now?"


async def test_who_asks_for_a_human_is_handed_over_without_a_model(office: Office) -> None:
    answer = await office.trials.run(
        "a1", Trial(question="I want to talk to a human", page_id=PAGE)
    )
    assert answer.kind == "handover"
    assert answer.text == CHANNEL.settings.handover_text
    assert answer.request is not None
    assert answer.request.reason == "asked"
    assert office.prompts == []


async def test_the_models_own_call_for_a_human_is_shown(office: Office) -> None:
    office.answers = [Reply("", "small", 0.1, 3, 2, Handover("angry", "The cake is late"))]
    answer = await office.trials.run("a1", Trial(question="Where is it?!", page_id=PAGE))
    assert (answer.kind, answer.text) == ("handover", CHANNEL.settings.handover_text)


async def test_a_reached_limit_and_a_refusal_are_told(office: Office) -> None:
    office.answers = [AssistantRefusedError("HTTP 401", cause="key_refused")]
    answer = await office.trials.run("a1", Trial(question="Hi?", page_id=PAGE))
    assert (answer.kind, answer.failure) == ("fallback", "key_refused")
    limits = CHANNEL.settings.model_copy(update={"daily_model_calls": 1})
    office.page = CHANNEL.model_copy(update={"settings": limits})
    answer = await office.trials.run("a1", Trial(question="Hi?", page_id=PAGE))
    assert answer.failure == "daily_limit"


async def test_who_or_what_is_not_there(office: Office) -> None:
    with pytest.raises(UnknownAssistantError):
        await office.trials.run("a2", Trial(question="Hi?"))
    with pytest.raises(UnknownPageError):
        await office.trials.run("a1", Trial(question="Hi?", page_id="999"))
    office.page = CHANNEL.model_copy(update={"workspace_id": "w2"})
    with pytest.raises(UnknownPageError):
        await office.trials.run("a1", Trial(question="Hi?", page_id=PAGE))


async def test_a_workspace_tries_a_few_at_once(office: Office) -> None:
    lets_go, waiting = asyncio.Event(), asyncio.Event()

    async def hold(count: int) -> None:
        if count == MOST_OF_A_WORKSPACE:
            waiting.set()
        await lets_go.wait()

    office.on_ask = hold
    trials = office.trials
    running = [
        asyncio.create_task(trials.run("a1", Trial(question="Hi?")))
        for _ in range(MOST_OF_A_WORKSPACE)
    ]
    await waiting.wait()
    with pytest.raises(TooManyTrialsError):
        await trials.run("a1", Trial(question="Hi?"))
    lets_go.set()
    await asyncio.gather(*running)
    await trials.run("a1", Trial(question="Hi?"))


@pytest.mark.parametrize(
    ("draft", "key", "kept"),
    [
        ({}, SEALED, "a1"),
        ({"system_prompt": "Be rude."}, SEALED, "a1"),
        ({"model": "large"}, SEALED, "a1"),
        ({"base_url": "https://evil.example/v1"}, None, None),
        ({"provider": "anthropic"}, None, None),
        ({"api_key": "v1.k1.other"}, "v1.k1.other", None),
        ({"api_key": None}, None, None),
        ({"base_url": "https://other.example", "api_key": "v1.k1.o"}, "v1.k1.o", None),
        ({"provider": "offline"}, None, ":offline"),
    ],
)
def test_a_stored_key_is_tried_only_where_it_was_stored_for(
    draft: dict[str, Any], key: str | None, kept: str | None
) -> None:
    profile, choice = drafted(STORED, Draft(**draft))
    assert choice is not None
    assert (choice.key, choice.keep_as) == (key, kept)
    assert profile.system_prompt == draft.get("system_prompt", "You are Crumb.")


def test_a_draft_may_go_back_to_the_services_own() -> None:
    assert drafted(STORED, Draft(provider=None))[1] is None
    assert isinstance(drafted(STORED, None)[1], ModelChoice)


# --- over HTTP


@pytest.fixture
async def client(office: Office) -> AsyncIterator[TestClient[Any, Any]]:
    app = base_app(Readiness(), json_errors, client_max_size=LARGEST_BODY)
    app[TRIALS] = Late("the database")
    trials = Trials(office, OfflineAssistant(), office.settings, office, office.now)
    app[TRIALS].set(trials)
    add_trial_routes(app)
    async with TestClient(TestServer(app)) as client:
        yield client


PATH = "/internal/v1/assistants/a1/test"


async def test_an_answer_over_http_says_that_it_is_the_demos(client: TestClient[Any, Any]) -> None:
    draft = {"knowledge": "# Opening hours\n\nWe open at seven.", "provider": "offline"}
    body = {"question": "When do you open?", "page_id": PAGE, "draft": draft}
    async with client.post(PATH, json=body) as response:
        told = await response.json()
    assert response.status == 200
    assert "seven" in told["text"]
    assert (told["model"], told["is_demo"], told["failure"]) == ("offline-demo", True, None)


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "field"),
    [
        (PATH, {"question": ""}, 422, "invalid", "question"),
        (PATH, {"question": "Hi", "draft": {"name": "x"}}, 422, "invalid", "draft"),
        (PATH, [1], 422, "invalid", None),
        (PATH, {"question": "Hi", "page_id": "9"}, 404, "page_not_found", "page_id"),
        ("/internal/v1/assistants/a2/test", {"question": "Hi"}, 404, "not_found", None),
    ],
)
async def test_what_is_refused_over_http(
    client: TestClient[Any, Any], path: str, body: object, status: int, code: str, field: str | None
) -> None:
    async with client.post(path, json=body) as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"], error.get("field")) == (status, code, field)


async def test_what_is_no_json_is_refused(client: TestClient[Any, Any]) -> None:
    async with client.post(PATH, data=b"{") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "not_json")
