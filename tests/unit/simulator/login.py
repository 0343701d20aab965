"""Logging in to the simulated Facebook, as the app and its person do it together."""

from typing import Any
from urllib.parse import urlencode

from aiohttp.test_utils import TestClient
from yarl import URL

from simulator.client import Simulator as Control
from simulator.client import SimulatorError
from simulator.signing import appsecret_proof
from tests.unit.simulator.harness import APP_ID, SECRET, Facebook

REDIRECT = "http://127.0.0.1:8080/connect/callback"
ALL = (
    "pages_show_list",
    "pages_messaging",
    "pages_manage_metadata",
    "pages_read_engagement",
    "business_management",
)
APP_TOKEN = f"{APP_ID}|{SECRET}"
DAY_MS = 86_400_000


def dialog_path(**changes: str | None) -> str:
    """The dialog's path and query; None leaves a parameter out."""
    query: dict[str, str | None] = {
        "client_id": APP_ID,
        "redirect_uri": REDIRECT,
        "state": "s1",
        "response_type": "code",
        "scope": ",".join(ALL),
        **changes,
    }
    given = {name: value for name, value in query.items() if value is not None}
    return f"/v26.0/dialog/oauth?{urlencode(given)}"


def code_and_subcode(answer: dict[str, Any]) -> tuple[int, int | None]:
    return answer["error"]["code"], answer["error"].get("error_subcode")


class App:
    """What the app asks Meta for."""

    def __init__(self, facebook: Facebook) -> None:
        self.facebook = facebook
        url = str(facebook.client.make_url("/"))
        self.control = Control(facebook.client.session, url)

    @property
    def client(self) -> TestClient[Any, Any]:
        return self.facebook.client

    async def dialog(self, path: str | None = None, **answer: Any) -> URL:  # noqa: ANN401
        """Where the dialog leads."""
        return URL(await self.control.answer_dialog(path or dialog_path(), **answer))

    async def code(self, **answer: Any) -> str:  # noqa: ANN401
        return (await self.dialog(**answer)).query["code"]

    async def exchange(self, **params: str) -> tuple[int, dict[str, Any]]:
        params = {"client_id": APP_ID, "client_secret": SECRET, **params}
        path = "/v26.0/oauth/access_token"
        async with self.client.post(path, json=params) as response:
            return response.status, await response.json(content_type=None)

    async def short_token(self, **answer: Any) -> str:  # noqa: ANN401
        code = await self.code(**answer)
        status, body = await self.exchange(code=code, redirect_uri=REDIRECT)
        assert status == 200, body
        return str(body["access_token"])

    async def long_token(self, **answer: Any) -> str:  # noqa: ANN401
        short = await self.short_token(**answer)
        status, body = await self.exchange(grant_type="fb_exchange_token", fb_exchange_token=short)
        assert status == 200, body
        return str(body["access_token"])

    async def call(
        self, token: str, method: str, path: str, body: object = None, **query: str
    ) -> tuple[int, dict[str, Any]]:
        """A Graph call with a token and its proof."""
        query = {"appsecret_proof": appsecret_proof(token, SECRET), **query}
        headers = {"Authorization": f"Bearer {token}"}
        async with self.client.request(
            method, f"/v26.0{path}", params=query, headers=headers, json=body
        ) as response:
            return response.status, await response.json(content_type=None)

    async def ok(
        self, token: str, method: str, path: str, body: object = None, **query: str
    ) -> dict[str, Any]:
        status, answer = await self.call(token, method, path, body, **query)
        assert status == 200, answer
        return answer

    async def refusal(
        self, token: str, method: str, path: str, body: object = None, **query: str
    ) -> tuple[int, int | None]:
        status, answer = await self.call(token, method, path, body, **query)
        assert status >= 400, answer
        return code_and_subcode(answer)

    async def accounts(self, token: str) -> list[dict[str, Any]]:
        return list((await self.ok(token, "GET", "/me/accounts"))["data"])

    async def page_token(self, user_token: str) -> str:
        """Of the world's first Page."""
        accounts = await self.accounts(user_token)
        (token,) = [each["access_token"] for each in accounts if each["id"] == self.facebook.page]
        return str(token)

    async def debug(self, token: str) -> dict[str, Any]:
        answer = await self.ok(APP_TOKEN, "GET", "/debug_token", input_token=token)
        return dict(answer["data"])

    async def user_named(self, name: str) -> str:
        users = await self.control.users()
        return next(str(user["id"]) for user in users if user["name"].startswith(name))


async def dialog_error(app: App, path: str, **answer: Any) -> str:  # noqa: ANN401
    """What the dialog shows instead of leading back."""
    try:
        await app.control.answer_dialog(path, **answer)
    except SimulatorError as error:
        return str(error)
    raise AssertionError("the dialog led back")
