"""The Graph API as the console uses it: logging in, connecting a Page, setting it up.

A login code, the app's secret and tokens to be exchanged go in bodies, never in addresses. One
call leaves no choice: `debug_token` is a GET, and the token it asks about is in its query.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter
from yarl import URL

from libs.common.graph.calls import Call, GraphCaller, Reply, UsageHook, open_caller, validated
from libs.common.graph.connecting_answers import (
    ACCESS_TOKEN,
    ACCOUNTS,
    APP_SUBSCRIPTIONS,
    IDS_FOR_PAGES,
    MESSENGER_PROFILE,
    PAGE,
    PERMISSIONS,
    PROFILE_FIELDS,
    SUBSCRIBED_APPS,
    SUCCESS,
    TOKEN_INFO,
    USER,
    AccessToken,
    AppSubscription,
    FacebookUser,
    IdForPage,
    MessengerProfile,
    PageAccount,
    PageInfo,
    Permission,
    ProfileField,
    SubscribedApp,
    TokenInfo,
)
from libs.common.graph.errors import OutcomeUnknownError, login_error_type
from libs.common.settings import GraphSettings

ACCOUNTS_AT_ONCE = 100
MOST_ACCOUNT_CALLS = 50  # 5000 Pages; a list that goes on beyond is not believed

T = TypeVar("T")


def login_url(
    dialog_url: str,
    version: str,
    *,
    app_id: str,
    redirect_uri: str,
    state: str,
    permissions: Iterable[str],
    config_id: str | None = None,
    ask_again: bool = False,
) -> str:
    """Where the person's browser goes to log in.

    Args:
        dialog_url: the host of the dialog, such as `https://www.facebook.com`.
        state: random, good for one login of one session.
        config_id: of Facebook Login for Business; it fixes the permissions, so none are named.
        ask_again: also for permissions that the person declined before.
    """
    query = {
        "client_id": app_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "response_type": "code",
    }
    if config_id:
        query |= {"config_id": config_id, "override_default_response_type": "true"}
    else:
        query["scope"] = ",".join(permissions)
    if ask_again:
        query["auth_type"] = "rerequest"
    return str(URL(dialog_url.rstrip("/")) / version / "dialog" / "oauth" % query)


@asynccontextmanager
async def open_connecting(
    settings: GraphSettings, *, timeout_s: float, on_usage: UsageHook | None = None
) -> AsyncIterator["ConnectingClient"]:
    """A client whose calls take at most `timeout_s` each."""
    async with open_caller(settings, timeout_s=timeout_s, on_usage=on_usage) as caller:
        yield ConnectingClient(caller, settings)


class ConnectingClient:
    """Calls with a person's token, a Page's token, or as the app itself.

    Every method raises:
        GraphError: Graph refused; the subclass says why.
        NotSentError: the call never left.
        OutcomeUnknownError: it may or may not have had its effect.
    """

    def __init__(self, caller: GraphCaller, settings: GraphSettings) -> None:
        self._caller = caller
        self._app_id = settings.facebook_app_id
        self._app_secret = settings.facebook_app_secret

    # Logging in

    async def exchange_code(self, code: str, redirect_uri: str) -> AccessToken:
        """The person's token for the code that came back from the dialog.

        `redirect_uri` is the one that the dialog was opened with, to the byte.

        Raises:
            CodeRejectedError: the code is used up, too old, or not for this `redirect_uri`.
            AppRejectedError: the app's id or secret is wrong.
        """
        return await self._login({"code": code, "redirect_uri": redirect_uri}, code)

    async def long_lived(self, user_token: str) -> AccessToken:
        """A token of about 60 days for one of hours; Pages' tokens got with it do not expire.

        Raises:
            TokenRejectedError: the token is not valid any more: log in again.
            AppRejectedError: the app's id or secret is wrong.
        """
        grant = {"grant_type": "fb_exchange_token", "fb_exchange_token": user_token}
        return await self._login(grant, user_token)

    async def debug_token(self, token: str) -> TokenInfo:
        """What Meta says of any token of this app, also of one that is not valid."""
        params = {"input_token": token}
        path = ("debug_token",)
        call = Call("debug_token", "GET", path, self._app_token, params, secrets=(token,))
        return await self._caller.call(call, _data(TOKEN_INFO))

    async def user(self, user_token: str) -> FacebookUser:
        """Who it was that logged in."""
        call = Call("user", "GET", ("me",), user_token, {"fields": "id,name"})
        return await self._caller.call(call, _whole(USER))

    async def permissions(self, user_token: str) -> tuple[Permission, ...]:
        """What the app asked for and what the person said; what was never asked for is missing."""
        call = Call("permissions", "GET", ("me", "permissions"), user_token, {"limit": 100})
        return await self._caller.call(call, _data(PERMISSIONS))

    async def remove_app(self, user_token: str) -> None:
        """Take back all that the person gave: every token of theirs ends."""
        call = Call("permissions", "DELETE", ("me", "permissions"), user_token, {})
        await self._caller.call(call, _succeeded)

    async def accounts(self, user_token: str) -> tuple[PageAccount, ...]:
        """All Pages that the person has a role on and chose; none is a normal answer."""
        found: list[PageAccount] = []
        after: str | None = None
        for _ in range(MOST_ACCOUNT_CALLS):
            params: dict[str, Any] = {
                "fields": "id,name,access_token,category,tasks",
                "limit": ACCOUNTS_AT_ONCE,
            }
            if after is not None:
                params["after"] = after
            call = Call("accounts", "GET", ("me", "accounts"), user_token, params)
            answer = await self._caller.call(call, _whole(ACCOUNTS))
            found += answer.data
            if answer.paging.next is None:
                return tuple(found)
            if answer.paging.cursors.after in (None, after):
                break  # it goes on, and does not say where
            after = answer.paging.cursors.after
        raise OutcomeUnknownError("incomplete list of Pages")

    async def ids_for_pages(self, user_id: str) -> tuple[IdForPage, ...]:
        """What somebody who is known to the app is called on each Page that they wrote to.

        Args:
            user_id: app-scoped, as it stands in a `signed_request`.
        """
        found: list[IdForPage] = []
        after: str | None = None
        for _ in range(MOST_ACCOUNT_CALLS):
            params: dict[str, Any] = {"limit": ACCOUNTS_AT_ONCE}
            if after is not None:
                params["after"] = after
            path = (user_id, "ids_for_pages")
            call = Call("ids_for_pages", "GET", path, self._app_token, params)
            answer = await self._caller.call(call, _whole(IDS_FOR_PAGES))
            found += answer.data
            if answer.paging.next is None:
                return tuple(found)
            if answer.paging.cursors.after in (None, after):
                break  # it goes on, and does not say where
            after = answer.paging.cursors.after
        raise OutcomeUnknownError("incomplete list of a person's ids")

    # A Page

    async def page(self, page_id: str, token: str) -> PageInfo:
        """The Page, with its own token or one of a person who has a role on it."""
        params = {"fields": "id,name,is_published,category,link,picture{url}"}
        call = Call("page", "GET", (page_id,), token, params, page_id)
        return await self._caller.call(call, _whole(PAGE))

    async def subscribed_apps(
        self, page_id: str, page_token: str | None = None
    ) -> tuple[SubscribedApp, ...]:
        """The app with what it hears of the Page; empty if it is not subscribed.

        Without a `page_token` the app asks for itself.
        """
        token = page_token or self._app_token
        call = Call("subscribed_apps", "GET", (page_id, "subscribed_apps"), token, {}, page_id)
        return await self._caller.call(call, _data(SUBSCRIBED_APPS))

    async def subscribe_page(self, page_id: str, page_token: str, fields: Iterable[str]) -> None:
        """Hear of these fields of the Page; always name all of them."""
        params = {"subscribed_fields": ",".join(fields)}
        path = (page_id, "subscribed_apps")
        call = Call("subscribed_apps", "POST", path, page_token, params, page_id)
        await self._caller.call(call, _succeeded)

    async def unsubscribe_page(self, page_id: str, page_token: str | None = None) -> None:
        """Hear of the Page no more. Without a `page_token`, as when it is dead, the app does it."""
        token = page_token or self._app_token
        call = Call("subscribed_apps", "DELETE", (page_id, "subscribed_apps"), token, {}, page_id)
        await self._caller.call(call, _succeeded)

    async def messenger_profile(
        self,
        page_id: str,
        page_token: str,
        fields: Iterable[ProfileField] = PROFILE_FIELDS,
    ) -> MessengerProfile:
        """What the Page shows before the first message."""
        params = {"fields": ",".join(fields)}
        call = self._profile_call("GET", page_id, page_token, params)
        answers = await self._caller.call(call, _data(MESSENGER_PROFILE))
        return answers[0] if answers else MessengerProfile()

    async def set_messenger_profile(
        self, page_id: str, page_token: str, profile: MessengerProfile
    ) -> None:
        """Write what is not None in one call: a Page has 10 of them in 10 minutes."""
        call = self._profile_call("POST", page_id, page_token, profile.to_body())
        await self._caller.call(call, _succeeded)

    async def delete_messenger_profile(
        self, page_id: str, page_token: str, fields: Iterable[ProfileField]
    ) -> None:
        """Remove these fields. A menu has to go before Get Started does, or with it."""
        call = self._profile_call("DELETE", page_id, page_token, {"fields": list(fields)})
        await self._caller.call(call, _succeeded)

    # The app

    async def debug_app(self) -> TokenInfo:
        """What Meta says of the app's own token, made of its id and secret.

        Raises:
            TokenRejectedError: it doesn't know the two together.
        """
        return await self.debug_token(self._app_token)

    async def app_subscriptions(self) -> tuple[AppSubscription, ...]:
        """Where the app's webhooks go and what it hears of, for each object (`page`)."""
        path = (self._app_id, "subscriptions")
        call = Call("subscriptions", "GET", path, self._app_token, {})
        return await self._caller.call(call, _data(APP_SUBSCRIPTIONS))

    async def subscribe_app(
        self, callback_url: str, verify_token: str, fields: Iterable[str]
    ) -> None:
        """Send the Pages' webhooks there. Meta asks the address for its challenge meanwhile.

        Raises:
            CallbackRejectedError: the address did not answer as it must.
        """
        params = {
            "object": "page",
            "callback_url": callback_url,
            "verify_token": verify_token,
            "fields": ",".join(fields),
            "include_values": "true",
        }
        path = (self._app_id, "subscriptions")
        call = Call("subscriptions", "POST", path, self._app_token, params, secrets=(verify_token,))
        await self._caller.call(call, _succeeded)

    async def unsubscribe_app(self) -> None:
        """No webhook of any Page any more."""
        path = (self._app_id, "subscriptions")
        call = Call("subscriptions", "DELETE", path, self._app_token, {"object": "page"})
        await self._caller.call(call, _succeeded)

    # How

    @property
    def _app_token(self) -> str:
        return f"{self._app_id}|{self._app_secret.get_secret_value()}"

    async def _login(self, grant: Mapping[str, str], secret: str) -> AccessToken:
        app_secret = self._app_secret.get_secret_value()
        params = {"client_id": self._app_id, "client_secret": app_secret, **grant}
        call = Call(
            "login",
            "POST",
            ("oauth", "access_token"),
            None,
            params,
            secrets=(secret, app_secret),
            kind=login_error_type,
        )
        return await self._caller.call(call, _whole(ACCESS_TOKEN))

    @staticmethod
    def _profile_call(
        method: Literal["GET", "POST", "DELETE"],
        page_id: str,
        token: str,
        params: Mapping[str, Any],
    ) -> Call:
        path = ("me", "messenger_profile")
        return Call("messenger_profile", method, path, token, params, page_id)


def _whole(adapter: TypeAdapter[T]) -> Callable[[Reply], T]:
    """Reads the answer."""
    return lambda reply: validated(adapter, reply.document, reply)


def _data(adapter: TypeAdapter[T]) -> Callable[[Reply], T]:
    """Reads what stands under the answer's `data`."""
    return lambda reply: validated(adapter, reply.document.get("data"), reply)


def _succeeded(reply: Reply) -> None:
    if not validated(SUCCESS, reply.document, reply).is_success:
        raise OutcomeUnknownError("no success", http_status=reply.status)
