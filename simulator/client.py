"""The simulator's control API as a Python client, for whoever scripts a conversation.

It speaks HTTP and nothing else, and holds no knowledge of the services.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp

Thread = dict[str, Any]
Call = dict[str, Any]
POLL_S = 0.05


class SimulatorError(Exception):
    """The simulator refused a request, or what was waited for did not come in time."""


class Simulator:
    """One simulator, over a session that the caller opens and closes."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url.rstrip("/")

    async def pages(self) -> list[dict[str, Any]]:
        """Every Page: `id`, `name`, `access_token`."""
        return list((await self._call("GET", "/pages"))["pages"])

    async def add_page(self, name: str, *, subscribed: bool = True) -> dict[str, Any]:
        """A new Page; of one that is not `subscribed`, nobody hears anything."""
        return await self._call("POST", "/pages", {"name": name, "subscribed": subscribed})

    async def add_person(self, page: str, first_name: str, last_name: str, **more: Any) -> str:  # noqa: ANN401
        """A new person, with `profile_pic` or without a `profile` to see; their page-scoped id."""
        body = {"first_name": first_name, "last_name": last_name, **more}
        return str((await self._call("POST", f"/pages/{page}/people", body))["psid"])

    async def people(self, page: str) -> list[dict[str, Any]]:
        """The Page's people, those who wrote last first, with their `last_message`."""
        return list((await self._call("GET", f"/pages/{page}/people"))["people"])

    async def write(self, page: str, psid: str, text: str | None = None, **more: Any) -> str:  # noqa: ANN401
        """The person writes, or sends `attachments=[{"type": "image", …}]`; the message's id."""
        body = {"psid": psid, **more} | ({"text": text} if text is not None else {})
        return str((await self._call("POST", f"/pages/{page}/messages", body))["mid"])

    async def tap(self, page: str, psid: str, payload: str, title: str) -> None:
        body = {"psid": psid, "payload": payload, "title": title}
        await self._call("POST", f"/pages/{page}/postbacks", body)

    async def read(self, page: str, psid: str) -> None:
        """The person opens the thread."""
        await self._call("POST", f"/pages/{page}/reads", {"psid": psid})

    async def write_in_inbox(self, page: str, psid: str, text: str) -> None:
        """Somebody answers in Meta's own inbox."""
        await self._call("POST", f"/pages/{page}/inbox-messages", {"psid": psid, "text": text})

    async def give_thread(self, page: str, psid: str, app: str, how: str | None = None) -> None:
        """`inbox` or `other` has the thread from now on, or `ours`: by `take` or `pass`."""
        body = {"psid": psid, "app": app} | ({"how": how} if how is not None else {})
        await self._call("POST", f"/pages/{page}/thread-owner", body)

    async def request_thread(self, page: str, psid: str, app: str = "inbox") -> None:
        """Another app asks for the thread."""
        await self._call("POST", f"/pages/{page}/thread-requests", {"psid": psid, "app": app})

    async def webhook(self, page: str, body: bytes) -> dict[str, Any]:
        """Any body, signed and posted as it is; what the receiver answered."""
        return await self._call("POST", f"/pages/{page}/webhooks", body)

    async def thread(self, page: str, psid: str) -> Thread:
        return await self._call("GET", f"/pages/{page}/threads/{psid}")

    async def calls(self, page: str, psid: str | None = None, since: int = 0) -> list[Call]:
        """Every call to the Graph API for this Page, or one person, in order, with its outcome.

        `since` leaves out what is known: all up to the call with that `n`.
        """
        who = f"&psid={psid}" if psid is not None else ""
        return list((await self._call("GET", f"/calls?page={page}&since={since}{who}"))["calls"])

    async def webhooks(self) -> dict[str, int]:
        """How many are `pending`, were `posted`, `accepted`, `forbidden`, or are `lost`."""
        return await self._call("GET", "/webhooks")

    async def behaviour(self, page: str) -> dict[str, Any]:
        """How Meta treats the Page, as `behave` takes it."""
        return await self._call("GET", f"/pages/{page}/behaviour")

    async def behave(self, page: str, **behaviour: Any) -> None:  # noqa: ANN401
        await self._call("PUT", f"/pages/{page}/behaviour", behaviour)

    async def set_token(self, page: str, state: str) -> None:
        await self._call("PUT", f"/pages/{page}/token", {"state": state})

    # Facebook's users and the app

    async def users(self) -> list[dict[str, Any]]:
        """Who can log in: `id`, `name`, `app_role`, `roles` by Page, what they gave the app."""
        return list((await self._call("GET", "/users"))["users"])

    async def add_user(self, name: str, app_role: str = "none") -> str:
        """Somebody who can log in and has no Page; their id."""
        body = {"name": name, "app_role": app_role}
        return str((await self._call("POST", "/users", body))["id"])

    async def set_app_role(self, user: str, app_role: str) -> None:
        await self._call("PATCH", f"/users/{user}", {"app_role": app_role})

    async def set_role(self, user: str, page: str, role: str) -> None:
        """`admin`, `editor`, `moderator`, `advertiser`, `analyst`, or `none` on a Page."""
        await self._call("PUT", f"/users/{user}/roles/{page}", {"role": role})

    async def set_user_tokens(self, user: str, state: str) -> None:
        """All tokens that the user's logins gave so far become so."""
        await self._call("PUT", f"/users/{user}/tokens", {"state": state})

    async def change_password(self, user: str) -> None:
        """Every token of the user's logins ends."""
        await self._call("POST", f"/users/{user}/password-change")

    async def remove_app(self, user: str) -> None:
        """The user takes everything back, and the app gets the deauthorize callback."""
        await self._call("POST", f"/users/{user}/app-removal")

    async def request_deletion(self, user: str) -> dict[str, Any]:
        """The app's `status` and `answer` to the data-deletion callback."""
        return await self._call("POST", f"/users/{user}/data-deletion")

    async def wants_deletion(self, page: str, psid: str, **how: Any) -> dict[str, Any]:  # noqa: ANN401
        """A person wants their data deleted: `user_id`, the app's `status` and `answer`."""
        return await self._call("POST", f"/pages/{page}/people/{psid}/data-deletion", how)

    async def answer_dialog(self, url: str, **answer: Any) -> str:  # noqa: ANN401
        """Where the login dialog at this address leads when somebody answers it.

        `user`, `permissions` or `without`, `pages`, `answer="cancel"`; all is given by default.
        """
        return str((await self._call("POST", "/logins", {"url": url, **answer}))["redirect"])

    async def app(self) -> dict[str, Any]:
        """The app's dashboard: `mode`, `reviewed`, `redirect_uris`, addresses and `fields`."""
        return await self._call("GET", "/app")

    async def change_app(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        return await self._call("PATCH", "/app", changes)

    async def reset_app_secret(self) -> str:
        """The new secret: it counts at once, and the old one no more."""
        return str((await self._call("POST", "/app/secret"))["app_secret"])

    async def add_fault(self, **fault: Any) -> None:  # noqa: ANN401
        await self._call("POST", "/faults", fault)

    async def clear_faults(self) -> None:
        await self._call("DELETE", "/faults")

    async def model(self) -> dict[str, Any]:
        """How the model is set, how many `calls` it had, and the last `requests`."""
        return await self._call("GET", "/model")

    async def set_model(self, **answer: Any) -> None:  # noqa: ANN401
        await self._call("PUT", "/model", answer)

    async def add_model_fault(self, **fault: Any) -> None:  # noqa: ANN401
        """What the next questions meet, those `about` this text if it is given."""
        await self._call("POST", "/model/faults", fault)

    async def clear_model_faults(self) -> None:
        await self._call("DELETE", "/model/faults")

    async def model_calls(self, about: str = "") -> list[dict[str, Any]]:
        """What the model was asked: `n`, `at`, `question`, and the `fault` it met."""
        found = await self._call("GET", f"/model/calls?{urlencode({'about': about})}")
        return list(found["calls"])

    async def wait_for_answers(
        self, page: str, psid: str, count: int = 1, within_s: float = 15.0
    ) -> list[dict[str, Any]]:
        """The Page's messages in a thread, as soon as there are `count` of them."""
        thread = await self.wait_for_thread(
            page, psid, lambda found: len(answers_in(found)) >= count, within_s
        )
        return answers_in(thread)

    async def wait_for_thread(
        self, page: str, psid: str, wanted: Callable[[Thread], bool], within_s: float = 15.0
    ) -> Thread:
        """The thread, as soon as it is as wanted.

        Raises:
            SimulatorError: it is not, in time.
        """
        try:
            async with asyncio.timeout(within_s):
                while not wanted(thread := await self.thread(page, psid)):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise SimulatorError(f"not within {within_s:g} s") from None
        return thread

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None
    ) -> dict[str, Any]:
        sent: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        url = f"{self.url}/simulator/api{path}"
        async with self._session.request(method, url, **sent) as response:
            if response.status >= 400:
                raise SimulatorError(f"{method} {path}: {response.status} {await response.text()}")
            answer: dict[str, Any] = await response.json() if response.status != 204 else {}
            return answer


def answers_in(thread: Thread) -> list[dict[str, Any]]:
    """What the Page wrote, in order."""
    return [message for message in thread["messages"] if message["from"] == "page"]
