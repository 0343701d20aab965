"""The internal HTTP API over real sockets, on a world in memory."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient as Client
from aiohttp.test_utils import TestServer

from libs.common.events import SendText
from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.takeover.domain.state import Thread
from services.takeover.handlers import KEEPER, PERMISSIONS, ROWS, WRITER, add_routes
from services.takeover.human_agent import TagRefusal
from services.takeover.messages import KnownKey, Writer
from services.takeover.store import Found
from tests.unit.takeover.world import (
    CHANNEL,
    CONVERSATION,
    MINUTE,
    NOON,
    PAGE,
    TOKEN,
    Channels,
    Log,
    Rows,
    World,
    claim,
    settings,
)

HERE = f"/internal/v1/conversations/{CONVERSATION}"
TAKEOVER, MESSAGES = f"{HERE}/takeover", f"{HERE}/messages"
ANN = {"by": "user:ann", "by_name": "Ann"}
NOON_TEXT = "2026-11-25T12:00:00Z"
REFUSAL = TagRefusal(refused_at=NOON, explanation="Not approved.", advice="Ask Meta.")


class Permissions:
    """What Meta last said about the tag."""

    def __init__(self) -> None:
        self.known: TagRefusal | None = None

    async def refusal(self, _page_id: str) -> TagRefusal | None:
        return self.known


class Keys:
    """As `KeyStore`."""

    def __init__(self) -> None:
        self.kept: dict[str, KnownKey] = {}

    async def known(self, command_id: str) -> KnownKey | None:
        return self.kept.get(command_id)

    async def claim(
        self,
        command_id: str,
        _person: str,
        digest: str,
        _now: Any,  # noqa: ANN401
    ) -> KnownKey | None:
        known = self.kept.get(command_id)
        self.kept.setdefault(command_id, KnownKey(digest, None))
        return known

    async def done(self, command_id: str, answer: dict[str, Any]) -> None:
        self.kept[command_id] = KnownKey(self.kept[command_id].digest, answer)


class Api:
    """A client that holds the service token."""

    def __init__(self, client: "Client[Any, Any]", world: World, permissions: Permissions) -> None:
        self.client, self.world, self.permissions = client, world, permissions

    async def post(self, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:  # noqa: ANN401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        async with self.client.post(path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.client.get(path, headers=headers) as response:
            return response.status, await response.json()

    async def write(self, text: str, key: str = "k1", **who: str) -> tuple[int, Any]:
        return await self.post(MESSAGES, {**ANN, **who, "text": text}, key)

    def wrote(self, ago: timedelta) -> None:
        """The person wrote, and somebody has the conversation since."""
        found = self.world.conversations[CONVERSATION]
        self.world.conversations[CONVERSATION] = Found(
            CONVERSATION, found.state, found.untold, self.world.now - ago
        )

    def commands(self) -> list[SendText]:
        return [record for record in self.world.log if isinstance(record, SendText)]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    world, permissions = World(), Permissions()
    config = settings()
    app = base_app(Readiness(), json_errors, require_service_token(config.internal.service_token))
    keeper = world.keeper()
    writer = Writer(keeper, Channels(world), Keys(), Log(world), world.clock)
    for key, value in (
        (KEEPER, keeper),
        (WRITER, writer),
        (ROWS, Rows(world)),
        (PERMISSIONS, permissions),
    ):
        app[key] = late = Late("a test")  # type: ignore[var-annotated]
        late.set(value)
    add_routes(app)
    async with Client(TestServer(app)) as client:
        yield Api(client, world, permissions)


async def test_take_extend_resume(api: Api) -> None:
    status, state = await api.post(TAKEOVER, {**ANN, "auto_resume_minutes": 30})
    assert (status, state) == (
        200,
        {
            "conversation": CONVERSATION,
            "mode": "human",
            "epoch": 1,
            "by": "user:ann",
            "by_name": "Ann",
            "since": NOON_TEXT,
            "reason": "taken",
            "auto_resume_at": "2026-11-25T12:30:00Z",
            "thread": None,
            "human_agent": None,
        },
    )
    assert await api.get(TAKEOVER) == (200, state)
    again = await api.post(TAKEOVER, {**ANN, "auto_resume_minutes": 60})
    assert again == (200, state), "who has it already has it, and the timer stays"
    status, state = await api.post(f"{TAKEOVER}/extend", {**ANN, "auto_resume_minutes": 60})
    assert (status, state["auto_resume_at"]) == (200, "2026-11-25T13:00:00Z")
    status, state = await api.post(f"{TAKEOVER}/resume", {"by": "user:bob"})
    assert (status, state["mode"], state["by"], state["epoch"]) == (200, "ai", "user:bob", 2)
    assert await api.post(f"{TAKEOVER}/resume", {"by": "user:bob"}) == (200, state)


async def test_the_loser_of_a_race_is_told_who_has_it(api: Api) -> None:
    await api.post(TAKEOVER, {**ANN, "auto_resume_minutes": 5})
    status, answer = await api.post(TAKEOVER, {"by": "user:bob"})
    assert status == 409
    assert answer["error"] == {
        "code": "already_taken",
        "message": "somebody else has it",
        "by": "user:ann",
        "by_name": "Ann",
        "since": "2026-11-25T12:00:00+00:00",
        "auto_resume_at": "2026-11-25T12:05:00+00:00",
    }
    status, state = await api.post(TAKEOVER, {"by": "user:bob", "take_from": "user:ann"})
    assert (status, state["by"], state["epoch"]) == (200, "user:bob", 2)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (TAKEOVER, {**ANN, "auto_resume_minutes": 4}, "auto_resume_minutes"),
        (TAKEOVER, {**ANN, "auto_resume_minutes": 10_081}, "auto_resume_minutes"),
        (TAKEOVER, {**ANN, "auto_resume_minutes": "30"}, "auto_resume_minutes"),
        (TAKEOVER, {**ANN, "auto_resume_minutes": 30.5}, "auto_resume_minutes"),
        (TAKEOVER, {**ANN, "auto_resume_minutes": True}, "auto_resume_minutes"),
        (f"{TAKEOVER}/extend", {**ANN, "auto_resume_minutes": 4}, "auto_resume_minutes"),
        (f"{TAKEOVER}/extend", ANN, "auto_resume_minutes"),
        (TAKEOVER, {**ANN, "auto_resume": 30}, "auto_resume"),
        (TAKEOVER, {}, "by"),
        (TAKEOVER, {"by": " "}, "by"),
        (TAKEOVER, {"by": "facebook"}, "by"),
        (f"{TAKEOVER}/resume", {"by": "timer"}, "by"),
        (MESSAGES, {**ANN, "text": " \n"}, "text"),
        (MESSAGES, {**ANN, "text": "x" * 20_001}, "text"),
        (MESSAGES, ANN, "text"),
    ],
)
async def test_what_is_wrong_is_named(api: Api, path: str, body: Any, field: str) -> None:  # noqa: ANN401
    status, answer = await api.post(path, body, key="k1")
    assert (status, answer["error"]["field"]) == (422, field)
    assert api.world.state().mode == "ai"


@pytest.mark.parametrize("key", [None, " ", "k" * 201, "kéy"])
async def test_a_message_needs_a_key(api: Api, key: str | None) -> None:
    status, answer = await api.post(MESSAGES, {**ANN, "text": "hi"}, key)
    assert (status, answer["error"]["field"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize("path", ["takeover", "takeover/extend", "takeover/resume", "messages"])
async def test_a_conversation_that_nobody_knows_is_not_found(api: Api, path: str) -> None:
    body: dict[str, Any] = {**ANN}
    body |= {"auto_resume_minutes": 5} if path.endswith("extend") else {}
    body |= {"text": "hi"} if path == "messages" else {}
    unknown = f"/internal/v1/conversations/{PAGE}:999/{path}"
    status, answer = await api.post(unknown, body, key="k1")
    assert (status, answer["error"]["code"]) == (404, "not_found")


async def test_there_is_nothing_to_extend_where_the_assistant_has_it(api: Api) -> None:
    status, answer = await api.post(f"{TAKEOVER}/extend", {**ANN, "auto_resume_minutes": 5})
    assert (status, answer["error"]["code"]) == (409, "not_taken_over")


async def test_who_takes_over_again_after_a_lost_answer_waits_for_the_fence_as_well(
    api: Api,
) -> None:
    await api.post(TAKEOVER, ANN)
    state = api.world.state()
    api.world.conversations[CONVERSATION] = Found(CONVERSATION, state, claim=claim())
    api.world.steps.clear()

    def late(name: str) -> None:
        if name == "delivery":
            api.world.now += MINUTE  # the claim's time is over at the second look

    api.world.on_step = late
    status, _ = await api.post(TAKEOVER, ANN)
    assert status == 200
    assert "delivery" in api.world.steps


async def test_a_message_is_sent_once_for_each_key(api: Api) -> None:
    await api.post(TAKEOVER, ANN)
    api.wrote(MINUTE)
    status, answer = await api.write("**Hello** there\n", "k1")
    assert status == 202
    assert answer["window"] == {
        "rule": "standard_window",
        "messaging_type": "RESPONSE",
        "tag": None,
        "expires_at": "2026-11-26T11:59:00Z",
    }
    assert await api.write("**Hello** there\n", "k1") == (202, answer)
    other = await api.write("**Hello** there\n", "k2")
    assert other[1]["command_id"] != answer["command_id"]
    first, second = api.commands()
    assert first.command_id == answer["command_id"] != second.command_id
    assert (first.text, first.origin, first.epoch) == ("**Hello** there\n", "human", None)
    assert (first.by, first.by_name) == ("user:ann", "Ann")


async def test_a_key_belongs_to_its_message(api: Api) -> None:
    await api.post(TAKEOVER, ANN)
    api.wrote(MINUTE)
    await api.write("Hello", "k1")
    status, answer = await api.write("Goodbye", "k1")
    assert (status, answer["error"]["code"]) == (422, "idempotency_key_reused")
    assert answer["error"]["field"] == "Idempotency-Key"
    assert len(api.commands()) == 1


async def test_the_answer_of_before_comes_also_after_the_takeover_has_ended(api: Api) -> None:
    await api.post(TAKEOVER, ANN)
    api.wrote(MINUTE)
    accepted = await api.write("Hello", "k1")
    await api.post(f"{TAKEOVER}/resume", ANN)
    assert await api.write("Hello", "k1") == accepted
    assert len(api.commands()) == 1


async def test_what_could_not_be_published_is_published_when_it_is_asked_for_again(
    api: Api,
) -> None:
    await api.post(TAKEOVER, ANN)
    api.wrote(MINUTE)
    api.world.kafka_is_away = True
    status, answer = await api.write("Hello", "k1")
    assert (status, answer["error"]["code"]) == (503, "transient")
    api.world.kafka_is_away = False
    status, answer = await api.write("Hello", "k1")
    assert (status, len(api.commands())) == (202, 1)
    assert answer["command_id"] == api.commands()[0].command_id


async def test_what_may_have_been_published_is_not_refused_as_if_it_had_not(api: Api) -> None:
    await api.post(TAKEOVER, ANN)
    api.wrote(MINUTE)
    api.world.kafka_is_away = True
    await api.write("Hello", "k1")
    api.world.kafka_is_away = False
    await api.post(f"{TAKEOVER}/resume", ANN)
    status, answer = await api.write("Hello", "k1")
    assert (status, answer["error"]["code"]) == (409, "may_be_sent")
    assert api.commands() == []
    status, answer = await api.write("Hello", "k2")  # of this one it is known
    assert (status, answer["error"]["code"]) == (409, "not_taken_over")
    await api.post(TAKEOVER, ANN)
    status, answer = await api.write("Hello", "k1")
    assert (status, answer["command_id"]) == (202, api.commands()[0].command_id)


async def test_who_may_not_write_is_told_why(api: Api) -> None:
    api.wrote(MINUTE)
    status, answer = await api.write("hi")
    assert (status, answer["error"]["code"]) == (409, "not_taken_over")
    await api.post(TAKEOVER, ANN)
    status, answer = await api.write("hi", by="user:bob")
    assert (status, answer["error"]["code"]) == (409, "taken_by_other")
    assert (answer["error"]["by"], answer["error"]["by_name"]) == ("user:ann", "Ann")
    theirs = Thread(ours=False, owner_app_id="999", since=NOON)
    state = api.world.state().model_copy(update={"thread": theirs})
    api.world.conversations[CONVERSATION] = Found(CONVERSATION, state, (), NOON)
    status, answer = await api.write("hi")
    assert (status, answer["error"]["code"]) == (409, "thread_owned_by_other_app")
    assert answer["error"]["owner_app_id"] == "999"
    assert api.commands() == []


@pytest.mark.parametrize(
    ("ago", "status", "tag"),
    [
        (timedelta(hours=24, seconds=-1), 202, None),
        (timedelta(hours=25), 202, "HUMAN_AGENT"),
        (timedelta(days=7, seconds=-1), 202, "HUMAN_AGENT"),
        (timedelta(days=8), 409, None),
    ],
)
async def test_the_window_decides_at_once(
    api: Api, ago: timedelta, status: int, tag: str | None
) -> None:
    await api.post(TAKEOVER, ANN)
    api.wrote(ago)
    got, answer = await api.write("hi")
    assert got == status
    if status == 202:
        assert answer["window"]["tag"] == tag
    else:
        assert answer["error"]["code"] == "window_closed"
        assert answer["error"]["closed_at"] == "2026-11-24T12:00:00+00:00"
        assert "7 days" in answer["error"]["message"]


async def test_a_refused_tag_is_shown_where_it_matters(api: Api) -> None:
    await api.post(TAKEOVER, ANN)
    api.permissions.known = REFUSAL
    shown = {"refused_at": NOON_TEXT, "explanation": "Not approved.", "advice": "Ask Meta."}
    assert (await api.get(TAKEOVER))[1]["human_agent"] == shown
    api.wrote(MINUTE)
    assert (await api.write("hi", "k1"))[1]["human_agent"] is None, "it needs no tag"
    api.wrote(timedelta(hours=30))
    assert (await api.write("hi", "k2"))[1]["human_agent"] == shown


async def test_a_message_waits_for_reconnect_and_is_refused_where_the_channel_is_off(
    api: Api,
) -> None:
    await api.post(TAKEOVER, ANN)
    api.wrote(MINUTE)
    api.world.channels[PAGE] = CHANNEL.model_copy(update={"status": "expired"})
    status, answer = await api.write("hi", "k1")
    assert (status, answer["waits_for"]) == (202, "channel_expired")
    api.world.channels[PAGE] = CHANNEL.model_copy(update={"enabled": False})
    status, answer = await api.write("hi", "k2")
    assert (status, answer["error"]["code"]) == (409, "channel_disabled")
    del api.world.channels[PAGE]
    assert (await api.write("hi", "k3"))[0] == 409


async def test_the_list_is_paged_the_latest_first(api: Api) -> None:
    names = [f"{PAGE}:{number}" for number in range(3)]
    for name in names:
        api.world.conversations[name] = Found(name)
        api.world.now += MINUTE
        await api.post(f"/internal/v1/conversations/{name}/takeover", ANN)
    here = f"/internal/v1/pages/{PAGE}/takeovers"
    status, first = await api.get(f"{here}?limit=2")
    assert status == 200
    assert [each["conversation"] for each in first["takeovers"]] == [names[2], names[1]]
    assert first["takeovers"][0]["by_name"] == "Ann"
    _, rest = await api.get(f"{here}?limit=2&cursor={first['next']}")
    assert [each["conversation"] for each in rest["takeovers"]] == [names[0]]
    assert rest["next"] is None
    status, answer = await api.get(f"{here}?limit=0")
    assert (status, answer["error"]["field"]) == (422, "limit")


async def test_what_meta_says_of_a_pages_late_messages_can_be_asked_for(api: Api) -> None:
    here = f"/internal/v1/pages/{PAGE}/human-agent"
    assert await api.get(here) == (200, {"refusal": None})
    api.permissions.known = TagRefusal(refused_at=api.world.now, explanation="not approved")
    status, answer = await api.get(here)
    assert (status, answer["refusal"]["explanation"]) == (200, "not approved")


async def test_it_describes_itself(api: Api) -> None:
    status, document = await api.get("/internal/v1/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
