"""How the local stack connects its Pages in the console, and what it does where it can't."""

from collections.abc import AsyncIterator, Mapping

import pytest

from deploy.local.admin import ConsoleError, open_admin
from deploy.local.seed import connect_in_console
from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from simulator.client import Simulator
from tests.browser.site import Site
from tests.integration.console import ADMIN, PASSWORD, Console, running_console


@pytest.fixture
async def console(database: Database, mongo: MongoSettings, site: Site) -> AsyncIterator[Console]:
    async with running_console(database, mongo, facebook_url=site.url) as console:
        yield console


@pytest.fixture
def env(console: Console, site: Site, mongo: MongoSettings) -> dict[str, str]:
    return {
        "GRAPH_API_URL": site.url,
        "CONSOLE_URL": console.url,
        "ADMIN_EMAIL": ADMIN,
        "ADMIN_PASSWORD": PASSWORD,
        "MONGODB_URI": mongo.uri.get_secret_value(),
        "MONGODB_DATABASE": mongo.database,
    }


async def channels(console: Console) -> dict[str, str]:
    found = await console.database["channels"].find().to_list(None)
    return {each["page_name"]: each["status"] for each in found}


async def test_pages_are_connected_once_and_stay_as_somebody_left_them(
    console: Console, facebook: Simulator, env: Mapping[str, str]
) -> None:
    first = (await facebook.pages())[0]
    assert (
        await connect_in_console(env) == f"connected in the console: Corner Bakery ({first['id']})"
    )
    stored = await console.database["channels"].find_one({"_id": first["id"]})
    assert stored is not None
    assistants = await console.database["assistants"].find().to_list(None)
    assert [(each["name"], each["_id"]) for each in assistants] == [
        ("Crumb", stored["assistant_id"])
    ]
    assert "Opening hours" in assistants[0]["knowledge"]
    assert stored["connection"]["facebook_user_name"] == "Alex Morgan"
    browser = await console.admin()
    name = {"page_name": "Corner Bakery"}
    assert (await browser.post(f"/channels/{first['id']}/disconnect", name)).status == 303
    await facebook.add_page("Corner Shop", subscribed=False)
    await connect_in_console(env)
    assert await console.database["assistants"].count_documents({}) == 1
    assert await channels(console) == {"Corner Bakery": "disconnected", "Corner Shop": "active"}


async def test_whoever_chose_another_password_connects_pages_themselves(
    console: Console, env: Mapping[str, str]
) -> None:
    said = await connect_in_console({**env, "ADMIN_PASSWORD": "is another one by now"})
    assert said.startswith("not connected: Corner Bakery")
    assert "ADMIN_PASSWORD" in said
    assert await channels(console) == {}


async def test_a_first_page_that_cannot_be_connected_is_an_error_with_the_consoles_words(
    facebook: Simulator, env: Mapping[str, str]
) -> None:
    page = (await facebook.pages())[0]["id"]
    await facebook.add_fault(endpoint="subscribed_apps", page=page, status=500, times=20)
    with pytest.raises(ConsoleError, match="“Corner Bakery” was not connected"):
        await connect_in_console(env)
    await facebook.clear_faults()
    await connect_in_console(env)
    await facebook.add_page("Corner Shop", subscribed=False)
    await facebook.change_app(mode="development")
    for user in await facebook.users():
        await facebook.set_app_role(user["id"], "none")
    assert (await connect_in_console(env)).startswith("not connected: Corner Shop")


async def test_a_console_that_gives_no_answer_stops_only_a_stack_without_a_page(
    facebook: Simulator, env: Mapping[str, str]
) -> None:
    nowhere = {**env, "CONSOLE_URL": "http://127.0.0.1:1"}
    with pytest.raises(ConsoleError, match="gives no answer"):
        await connect_in_console(nowhere)
    await connect_in_console(env)
    await facebook.add_page("Corner Shop", subscribed=False)
    said = await connect_in_console(nowhere)
    assert said.startswith("not connected: Corner Shop")
    assert "gives no answer" in said


async def test_its_api_token_ends_with_its_work(env: Mapping[str, str]) -> None:
    async with open_admin(env) as admin:
        async with admin.api("a test", "channels:read") as api:
            assert (await api.ask("GET", "/channels"))["channels"] == []
        with pytest.raises(ConsoleError, match="401"):
            await api.ask("GET", "/channels")
