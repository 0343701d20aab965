"""Graph's answers about logins, tokens, permissions, Pages and subscriptions.

Tokens are `SecretStr`: an answer may stand in a log or an error without giving one away.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AliasPath,
    BeforeValidator,
    Field,
    SecretStr,
    TypeAdapter,
)

from libs.common.graph.answers import Answer

LATEST_S = 253_402_300_799  # the end of the year 9999


def _moment(given: object) -> object:
    """Meta's seconds since 1970; 0 stands for never."""
    if not isinstance(given, int) or isinstance(given, bool):
        return given
    if given > LATEST_S:
        raise ValueError("no moment")
    return datetime.fromtimestamp(given, UTC) if given > 0 else None


def _names(given: object) -> object:
    """Fields of a subscription: names, or objects with a name and a version."""
    if not isinstance(given, list):
        return given
    return [each.get("name") if isinstance(each, dict) else each for each in given]


def _localized(given: object) -> object:
    """An old flat list of questions is the one of the default locale."""
    if isinstance(given, list) and given and all(_is_question(each) for each in given):
        return [{"locale": "default", "call_to_actions": given}]
    return given


def _is_question(given: object) -> bool:
    return isinstance(given, dict) and "question" in given


def _as_string(given: object) -> object:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


Id = Annotated[str, BeforeValidator(_as_string), Field(min_length=1)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
FieldNames = Annotated[tuple[str, ...], BeforeValidator(_names)]


class AccessToken(Answer):
    """A token and for how many seconds it lives; None: Meta did not say, or for ever."""

    access_token: SecretStr = Field(min_length=1)
    expires_in: int | None = None


class TokenProblem(Answer):
    """Why a token is not valid, with Meta's code and subcode. `message` may be localised."""

    code: int | None = None
    subcode: int | None = None
    message: str = ""


class GranularScope(Answer):
    """A permission and what it was given for: Page ids; None: for all there are."""

    scope: str
    target_ids: tuple[Id, ...] | None = None


class TokenInfo(Answer):
    """What Meta says of a token. `user_id` is the app-scoped id of who logged in."""

    is_valid: bool
    type: str | None = None  # USER, PAGE, APP, SYSTEM_USER
    app_id: Id | None = None
    user_id: Id | None = None
    profile_id: Id | None = None  # the Page of a Page's token
    scopes: tuple[str, ...] = ()
    granular_scopes: tuple[GranularScope, ...] = ()
    issued_at: Moment = None
    expires_at: Moment = None
    data_access_expires_at: Moment = None
    error: TokenProblem | None = None

    def pages_of(self, permission: str) -> tuple[str, ...] | None:
        """The Pages that a permission was given for; None: all, or Meta does not say."""
        for granular in self.granular_scopes:
            if granular.scope == permission:
                return granular.target_ids
        return None


class FacebookUser(Answer):
    """Who logged in; `id` is app-scoped and no PSID."""

    id: Id
    name: str = ""


class PageOfPerson(Answer):
    """A Page that a person has written to; it may name itself by nothing but its id."""

    id: Id


class IdForPage(Answer):
    """What a person is called on one Page: their page-scoped id."""

    id: Id
    page: PageOfPerson


class Permission(Answer):
    """One that was asked for, and what the person said: `granted`, `declined`, `expired`."""

    permission: str
    status: str

    @property
    def is_granted(self) -> bool:
        return self.status == "granted"


class PageAccount(Answer):
    """A Page that the person has a role on and chose for the app.

    `access_token` is the Page's; it is missing if the person may do nothing that needs one.
    `tasks` are what the person may do on the Page: `MESSAGING` to send, and one of `MANAGE`,
    `MODERATE`, `CREATE_CONTENT` to subscribe.
    """

    id: Id
    name: str = ""
    access_token: SecretStr | None = None
    category: str | None = None
    tasks: tuple[str, ...] = ()


class PageInfo(Answer):
    """A Page. What Meta did not tell is None."""

    id: Id
    name: str = ""
    is_published: bool | None = None
    category: str | None = None
    link: str | None = None
    picture: str | None = Field(None, validation_alias=AliasPath("picture", "data", "url"))


class SubscribedApp(Answer):
    """An app that hears of a Page, and of what."""

    id: Id
    name: str = ""
    subscribed_fields: FieldNames = ()


class AppSubscription(Answer):
    """Where the app's webhooks of one object go; `fields` is what it hears of at all."""

    object: str
    callback_url: str = ""
    active: bool = True
    fields: FieldNames = ()


class GetStarted(Answer):
    payload: str


class Greeting(Answer):
    text: str
    locale: str = "default"


class IceBreaker(Answer):
    question: str
    payload: str


class IceBreakers(Answer):
    call_to_actions: tuple[IceBreaker, ...]
    locale: str = "default"


class MenuItem(Answer):
    """A `postback` has a payload, a `web_url` an address."""

    type: str
    title: str
    payload: str | None = None
    url: str | None = None
    webview_height_ratio: str | None = None


class PersistentMenu(Answer):
    call_to_actions: tuple[MenuItem, ...]
    locale: str = "default"
    composer_input_disabled: bool = False


ProfileField = Literal["get_started", "greeting", "ice_breakers", "persistent_menu"]
PROFILE_FIELDS: tuple[ProfileField, ...] = (
    "get_started",
    "greeting",
    "ice_breakers",
    "persistent_menu",
)


class MessengerProfile(Answer):
    """What a Page shows before the first message. None: not set, or not to be touched.

    Each list needs an entry of the `default` locale.
    """

    get_started: GetStarted | None = None
    greeting: tuple[Greeting, ...] | None = None
    ice_breakers: Annotated[tuple[IceBreakers, ...] | None, BeforeValidator(_localized)] = None
    persistent_menu: tuple[PersistentMenu, ...] | None = None

    def to_body(self) -> dict[str, Any]:
        """As Meta takes it: what is None is left out."""
        return self.model_dump(mode="json", exclude_none=True)


class _Cursors(Answer):
    after: str | None = None


class _Paging(Answer):
    cursors: _Cursors = _Cursors()
    next: str | None = None


class Accounts(Answer):
    data: tuple[PageAccount, ...]
    paging: _Paging = _Paging()


class IdsForPages(Answer):
    data: tuple[IdForPage, ...]
    paging: _Paging = _Paging()


class Success(Answer):
    """What Meta answers where there is nothing to tell; in samples a string, in truth a boolean."""

    success: bool | None = None
    result: str | None = None

    @property
    def is_success(self) -> bool:
        return self.success is True or self.result == "success"


ACCESS_TOKEN = TypeAdapter(AccessToken)
TOKEN_INFO = TypeAdapter(TokenInfo)
USER = TypeAdapter(FacebookUser)
PERMISSIONS = TypeAdapter(tuple[Permission, ...])
ACCOUNTS = TypeAdapter(Accounts)
IDS_FOR_PAGES = TypeAdapter(IdsForPages)
PAGE = TypeAdapter(PageInfo)
SUBSCRIBED_APPS = TypeAdapter(tuple[SubscribedApp, ...])
APP_SUBSCRIPTIONS = TypeAdapter(tuple[AppSubscription, ...])
MESSENGER_PROFILE = TypeAdapter(tuple[MessengerProfile, ...])
SUCCESS = TypeAdapter(Success)
