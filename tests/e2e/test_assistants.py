"""An assistant is given a model of its own, and the next answer on its Page is that model's."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.admin import Api, open_admin
from simulator.client import Simulator
from tests.stack import LocalStack


@pytest.fixture
async def page(simulator: Simulator) -> str:
    """The Page that is connected on a fresh stack."""
    return str((await simulator.pages())[0]["id"])


@pytest.fixture
async def api(stack: LocalStack) -> AsyncIterator[Api]:
    scopes = ("assistants:read", "assistants:write", "channels:read")
    async with open_admin(stack.environment) as admin, admin.api("models", *scopes) as api:
        yield api


async def test_the_next_answer_is_the_new_models_and_a_refused_key_is_the_fallback(
    simulator: Simulator, stack: LocalStack, api: Api, page: str
) -> None:
    channel = await api.ask("GET", f"/channels/{page}")
    path = f"/assistants/{channel['assistant_id']}"
    before = await api.ask("GET", path)
    endpoint = f"{stack.url('simulator')}/v1"
    ann = await simulator.add_person(page, "Ann", "Lee")
    question = "When are you open on Sunday?"
    try:
        # twice: what is kept of the first has to go
        for provider in ("simulator", "openai"):
            change = {"provider": provider, "model": "small", "base_url": endpoint}
            await api.ask("PATCH", path, change)
            await simulator.set_model(reply=f"Asked: {provider}")
            tried = await api.ask("POST", f"{path}/test", {"question": question, "channel": page})
            assert (tried["text"], tried["model"]) == (f"Asked: {provider}", "small")
            await simulator.write(page, ann, question)
            count = 2 if provider == "openai" else 1
            answers = await simulator.wait_for_answers(page, ann, count, within_s=45)
            assert answers[-1]["text"] == f"Asked: {provider}"
        await simulator.set_model(status=401)
        await simulator.write(page, ann, question)
        answers = await simulator.wait_for_answers(page, ann, 3)
        assert "Sorry, I can't answer right now." in answers[-1]["text"]
        tried = await api.ask("POST", f"{path}/test", {"question": question, "channel": page})
        assert tried["failure"] == "key_refused"
    finally:
        await simulator.set_model()
        kept = {name: before[name] for name in ("provider", "model", "base_url")}
        await api.ask("PATCH", path, kept)
    await simulator.write(page, ann, question)
    answers = await simulator.wait_for_answers(page, ann, 4)
    assert "8:00 to 13:00" in answers[-1]["text"]
