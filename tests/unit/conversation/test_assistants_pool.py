"""One set of connections an assistant: made once, closed when it has changed and nobody replies."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from libs.common.crypto import KeyRing
from services.conversation.assistants.base import (
    AssistantRefusedError,
    ModelChoice,
    Prompt,
    Reply,
)
from services.conversation.assistants.pool import AssistantPool

KEYS = KeyRing({"k1": b"k" * 32})
KEY = "sk-canary-of-the-pool"
CONTEXT = "assistant:a1 openai "


class Model:
    """Replies with its name; may be held up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = 0
        self.asked = asyncio.Event()
        self.lets_go = asyncio.Event()
        self.lets_go.set()

    async def reply(self, prompt: Prompt) -> Reply:
        assert prompt.choice is None
        assert not self.closed
        self.asked.set()
        await self.lets_go.wait()
        assert not self.closed
        return Reply(self.name, "m", 0.0)

    async def aclose(self) -> None:
        self.closed += 1


class Made:
    """All that was made, with the keys, and by which threads."""

    def __init__(self) -> None:
        self.models: list[Model] = []
        self.keys: list[str | None] = []
        self.threads: set[int] = set()
        self.fails = False

    def __call__(self, choice: ModelChoice, key: str | None) -> Model:
        self.threads.add(threading.get_ident())
        self.keys.append(key)
        if self.fails:
            raise ValueError("no such thing")
        self.models.append(Model(f"{choice.provider} {len(self.models)}"))
        return self.models[-1]


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
async def pool(made: Made) -> AsyncIterator[AssistantPool]:
    pool = AssistantPool(Model("own"), made, KEYS, most_kept=2)
    yield pool
    await pool.aclose()
    assert [model.closed for model in made.models] == [1] * len(made.models)


def choice(name: str | None = "a1", url: str | None = "https://models.example/v1") -> ModelChoice:
    return ModelChoice("openai", url, keep_as=name)


def prompt(wanted: ModelChoice | None) -> Prompt:
    return Prompt("answer", "Be brief.", "", (), "Hi?", model="m", choice=wanted)


async def ask(pool: AssistantPool, wanted: ModelChoice | None) -> str:
    async with asyncio.timeout(10):
        return (await pool.reply(prompt(wanted))).text


async def closed(model: Model) -> None:
    async with asyncio.timeout(5):
        while not model.closed:
            await asyncio.sleep(0)


async def test_without_a_choice_the_services_own_answers(pool: AssistantPool, made: Made) -> None:
    assert await ask(pool, None) == "own"
    assert made.models == []


async def test_connections_are_made_once_however_many_ask_and_off_the_loop(
    pool: AssistantPool, made: Made
) -> None:
    texts = await asyncio.gather(*[ask(pool, choice()) for _ in range(20)])
    assert set(texts) == {"openai 0"}
    assert await ask(pool, choice()) == "openai 0"
    assert threading.get_ident() not in made.threads


async def test_changed_settings_make_new_ones_and_a_reply_in_flight_finishes(
    pool: AssistantPool, made: Made
) -> None:
    assert await ask(pool, choice()) == "openai 0"
    before = made.models[0]
    before.lets_go.clear()
    before.asked.clear()
    slow = asyncio.create_task(ask(pool, choice()))
    await before.asked.wait()
    assert await ask(pool, choice(url="https://others.example/v1")) == "openai 1"
    assert before.closed == 0
    before.lets_go.set()
    assert await slow == "openai 0"
    await closed(before)


async def test_who_was_asked_longest_ago_makes_room(pool: AssistantPool, made: Made) -> None:
    for name in ("a1", "a2", "a1", "a3"):
        await ask(pool, choice(name))
    await closed(made.models[1])
    assert made.models[0].closed == 0
    assert await ask(pool, choice("a1")) == "openai 0"


async def test_what_is_not_to_be_kept_is_closed_at_once(pool: AssistantPool, made: Made) -> None:
    assert await ask(pool, choice(None)) == "openai 0"
    await closed(made.models[0])


async def test_who_goes_away_leaves_what_is_being_made_to_the_others(
    pool: AssistantPool, made: Made
) -> None:
    first = asyncio.create_task(ask(pool, choice()))
    await asyncio.sleep(0)
    second = asyncio.create_task(ask(pool, choice()))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "openai 0"


async def test_what_could_not_be_made_is_tried_again(pool: AssistantPool, made: Made) -> None:
    made.fails = True
    with pytest.raises(ValueError, match="no such thing"):
        await ask(pool, choice())
    made.fails = False
    assert await ask(pool, choice()) == "openai 0"


async def test_a_key_is_opened_for_the_place_it_was_stored_for(
    pool: AssistantPool, made: Made
) -> None:
    sealed = KEYS.encrypt(KEY, context=CONTEXT)
    mine = ModelChoice("openai", None, sealed, CONTEXT, keep_as="a1")
    await ask(pool, mine)
    assert made.keys == [KEY]
    assert sealed not in repr(mine)
    elsewhere = replace(
        mine, base_url="https://evil.example/v1", key_context=CONTEXT + "https://evil.example/v1"
    )
    with capture_logs() as logs, pytest.raises(AssistantRefusedError) as raised:
        await ask(pool, elsewhere)
    assert raised.value.cause == "key_unreadable"
    assert made.keys == [KEY]
    assert KEY not in str(logs) + str(raised.value)


@pytest.mark.parametrize(
    ("provider", "url", "cause"),
    [("openai", None, "key_missing"), ("anthropic", "https://a.example", "key_missing")],
)
async def test_without_its_key_nobody_is_asked(
    pool: AssistantPool, made: Made, provider: str, url: str | None, cause: str
) -> None:
    wanted = replace(choice(url=url), provider=provider)  # type: ignore[arg-type]
    with pytest.raises(AssistantRefusedError) as raised:
        await ask(pool, wanted)
    assert raised.value.cause == cause
    assert made.models == []


async def test_without_a_models_name_nobody_is_asked(pool: AssistantPool, made: Made) -> None:
    with pytest.raises(AssistantRefusedError) as raised:
        await pool.reply(replace(prompt(choice()), model=None))
    assert raised.value.cause == "model_unknown"
    assert made.models == []
