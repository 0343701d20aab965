"""An administrator at the console who is a program: connects Pages as a person does, form by form.

Facebook's dialog is the simulator's, answered over its control API as its first user would.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from html import unescape
from typing import Any

import aiohttp

from deploy.local.errors import StackError
from simulator.client import Simulator, SimulatorError

WITHIN_S = 30.0
_OURS = {"Sec-Fetch-Site": "same-origin"}  # what a browser says of a form on the console's own page
_DIALOG = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')
_TOKEN = re.compile(r"mat_([0-9a-f]{16})_[\w-]{43}")
_TAGS = re.compile(r"<script.*?</script>|<[^>]+>", re.DOTALL)
_MAIN = re.compile(r"<h1.*?</main>", re.DOTALL)  # the frame's words above it are not the page's


class ConsoleError(StackError):
    """The console did not do what was asked; the message says what it showed instead."""


class SignInRefusedError(ConsoleError):
    """E-mail address and password are not, or no longer, those of an administrator."""


class Admin:
    """Somebody who is signed in."""

    def __init__(self, session: aiohttp.ClientSession, url: str, simulator: Simulator) -> None:
        self._session = session
        self._url = url
        self._simulator = simulator

    async def sign_in(self, email: str, password: str) -> None:
        """Raises: SignInRefusedError."""
        status, _, text = await self._post("/sign-in", {"email": email, "password": password})
        if status == 422:
            raise SignInRefusedError("the console doesn't take ADMIN_EMAIL and ADMIN_PASSWORD")
        if status != 303:
            raise ConsoleError(f"signing in: {_shown(status, text)}")

    async def sign_out(self) -> None:
        await self._post("/sign-out", {})

    async def connect(
        self, page_ids: Sequence[str], *, again: bool = False, assistant: str | None = None
    ) -> None:
        """Log in at Facebook, give all that is asked for, choose these Pages, connect them.

        Args:
            again: it is the reconnecting of the one Page there is.
            assistant: who answers on Pages that are new; None: the workspace's first one.

        Raises:
            ConsoleError: with the words of the page that came instead.
        """
        form = {"page": page_ids[0]} if again else {}
        status, _, text = await self._post("/channels/connect", form)
        if (found := _DIALOG.search(text)) is None:
            raise ConsoleError(f"connecting: {_shown(status, text)}")
        try:
            back = await self._simulator.answer_dialog(unescape(found[1]))
        except SimulatorError as error:
            raise ConsoleError(f"Facebook's dialog: {error}") from error
        status, where, text = await self._ask("GET", back.removeprefix(self._url))
        if status != 303:
            raise ConsoleError(f"back from Facebook: {_shown(status, text)}")
        chosen = [("pages", page_id) for page_id in page_ids]
        if assistant is not None:
            chosen.append(("assistant", assistant))
        status, where, text = await self._post(where, chosen)
        if status != 303:
            raise ConsoleError(f"choosing Pages: {_shown(status, text)}")
        _, _, text = await self._ask("GET", where)
        if 'class="note note-bad"' in text:
            raise ConsoleError(f"connecting: {_shown(200, text)}")

    async def page(self, path: str) -> tuple[int, str]:
        """A page of the console as it is: status and HTML."""
        status, _, text = await self._ask("GET", path)
        return status, text

    @asynccontextmanager
    async def api(self, name: str, *scopes: str) -> AsyncIterator["Api"]:
        """The management API, with a token for as long as the block is."""
        form = [("name", name), ("valid_days", "30"), *(("scopes", scope) for scope in scopes)]
        status, _, text = await self._post("/api-tokens", form)
        if (token := _TOKEN.search(text)) is None:
            raise ConsoleError(f"making an API token: {_shown(status, text)}")
        try:
            yield Api(self._session, self._url, token[0])
        finally:
            await self._post(f"/api-tokens/{token[1]}/revoke", {})

    async def _post(
        self, path: str, form: Mapping[str, str] | Sequence[tuple[str, str]]
    ) -> tuple[int, str, str]:
        return await self._ask("POST", path, form)

    async def _ask(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    ) -> tuple[int, str, str]:
        """Status, where it leads, and the page."""
        with _answering():
            async with self._session.request(
                method, self._url + path, data=form, headers=_OURS, allow_redirects=False
            ) as response:
                return response.status, response.headers.get("Location", ""), await response.text()


class Api:
    """`/api/v1`, as programs use it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = f"{url}/api/v1"
        self.token = token
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Raises: ConsoleError: it was refused."""
        status, text = await self.answer(method, path, body)
        if status >= 400:
            raise ConsoleError(f"{method} /api/v1{path}: {status} {text[:300]}")
        answer: dict[str, Any] = json.loads(text) if text else {}
        return answer

    async def answer(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, str]:
        """Status and body, whatever they are."""
        with _answering():
            async with self._session.request(
                method, self._url + path, json=body, headers=self._headers
            ) as response:
                return response.status, await response.text()

    async def channel(self, page_id: str) -> dict[str, Any]:
        """A Page's connection: `status`, `cause`, `since` and more."""
        return await self.ask("GET", f"/channels/{page_id}")


@asynccontextmanager
async def open_admin(env: Mapping[str, str]) -> AsyncIterator[Admin]:
    """Signed in for the block.

    Args:
        env: the stack's environment: `CONSOLE_URL`, `ADMIN_EMAIL`, `ADMIN_PASSWORD`,
            `GRAPH_API_URL`.

    Raises:
        SignInRefusedError: somebody has changed the password since.
    """
    timeout = aiohttp.ClientTimeout(total=WITHIN_S)
    cookies = aiohttp.CookieJar(unsafe=True)  # or it keeps none of an address without a name
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=cookies) as session:
        admin = Admin(session, env["CONSOLE_URL"], Simulator(session, env["GRAPH_API_URL"]))
        await admin.sign_in(env["ADMIN_EMAIL"], env["ADMIN_PASSWORD"])
        try:
            yield admin
        finally:
            with suppress(ConsoleError):  # what was to be done is done; the session ends by itself
                await admin.sign_out()


@contextmanager
def _answering() -> Iterator[None]:
    """Raises: ConsoleError: there is no answer, or none in time."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConsoleError(f"the console gives no answer ({type(error).__name__})") from error


def _shown(status: int, text: str) -> str:
    """What a person would read there."""
    main = _MAIN.search(text)
    words = " ".join(unescape(_TAGS.sub(" ", main[0] if main else text)).split())
    return f"{status}: {words[:400]}"
