"""Connecting a Page: from the dialog at Facebook to a channel that other services know.

Of each Page, Facebook comes first and our own one write last: subscribe, make sure, then store. A
subscription that nobody stored does no harm and is taken back; a stored channel without one would
look connected and be deaf.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog

from libs.common.channels import Assistant
from libs.common.crypto import DecryptionError, KeyRing
from libs.common.errors import PermanentError
from libs.common.events import derived_id
from libs.common.graph import (
    ConnectingClient,
    GraphError,
    NotFoundError,
    OutcomeUnknownError,
    PageAccount,
    PermissionMissingError,
    TokenInfo,
    UnsureError,
    login_url,
)
from services.console.audit import Actor, AuditLog, Clock
from services.console.channels_store import ChannelStore
from services.console.domain.facebook_login import (
    CHOICE_FOR,
    FIELDS,
    PERMISSIONS,
    STATE_FOR,
    AskedLogin,
    StateProblem,
    state_problem,
)
from services.console.domain.no_pages import Answers, Cause, Hidden, causes, missing_permissions
from services.console.domain.page_choice import KnownChannel, Standing, standing
from services.console.domain.tokens import hashed, new_secret
from services.console.facebook_words import FACEBOOK_ERRORS, facebook_words
from services.console.logins_store import FacebookLoginStore
from services.console.records import (
    ConnectedChannel,
    Connection,
    FacebookLogin,
    FoundPage,
    News,
    NewsKind,
    PageResult,
)
from services.console.signing_in import Visitor

CALLBACK = "/channels/connect/callback"
MOST_LOOKED_UP = 20  # Pages that were ticked and are not in the list
ATTEMPTS = 4  # at one write, when others change the same channel

FIRST_ASSISTANT = "Assistant"
FIRST_PROMPT = (
    "You are the friendly assistant of a business and answer its customers in Messenger, briefly "
    "and in their language. If you don't know something, say so and offer to pass the question on."
)

log = structlog.get_logger(__name__)


class StateRefusedError(PermanentError):
    """An answer came back from Facebook that is not taken."""

    code = "state_refused"

    def __init__(self, problem: StateProblem) -> None:
        super().__init__(problem)
        self.problem = problem


class LoginCancelledError(PermanentError):
    """Whoever was asked at Facebook said no, or Facebook did for them."""

    code = "login_cancelled"

    def __init__(self, why: str, wanted_page: str | None) -> None:
        super().__init__(why)
        self.wanted_page = wanted_page


class LoginFailedError(PermanentError):
    """Facebook's answer could not be used; `words` say why and what to do."""

    code = "login_failed"

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class UnknownLoginError(PermanentError):
    """No such login in this session, or it is over."""

    code = "not_found"


class WrongNameError(PermanentError):
    """To disconnect a Page its name has to be given."""

    code = "wrong_name"


class ChannelBusyError(PermanentError):
    """Others change the same channel."""

    code = "try_again"


class NotConnectedError(PermanentError):
    """A Page could not be connected, and nothing was changed; `words` say why."""

    code = "not_connected"

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


@dataclass(frozen=True)
class FacebookApp:
    """What the dialog has to know."""

    app_id: str
    dialog_url: str
    version: str
    console_url: str
    config_id: str = ""
    extra_permissions: tuple[str, ...] = ()

    @property
    def permissions(self) -> tuple[str, ...]:
        """What the dialog asks for, unless a configuration does."""
        return tuple(dict.fromkeys((*PERMISSIONS, *self.extra_permissions)))

    @property
    def redirect_uri(self) -> str:
        return f"{self.console_url}{CALLBACK}"


@dataclass(frozen=True)
class OfferedPage:
    """A Page to choose, or the reason why it can't be chosen."""

    page: FoundPage
    standing: Standing


@dataclass(frozen=True)
class Choice:
    """What a login brought: Pages, and what is wrong if none can be connected."""

    login: FacebookLogin
    pages: tuple[OfferedPage, ...]
    causes: tuple[Cause, ...]

    @property
    def can_choose(self) -> bool:
        return not self.causes and any(each.standing.can_be_chosen for each in self.pages)

    @property
    def not_given(self) -> tuple[str, ...]:
        """Permissions that were asked for and not given."""
        given = self.login.permissions
        return tuple(name for name in PERMISSIONS if given.get(name) != "granted")


class Connecting:
    """Logins and channels of one installation."""

    def __init__(
        self,
        app: FacebookApp,
        meta: ConnectingClient,
        keys: KeyRing,
        logins: FacebookLoginStore,
        channels: ChannelStore,
        audit: AuditLog,
        clock: Clock,
        wake: Callable[[], None],
        look_after: Callable[[str], None],
    ) -> None:
        """`wake`: there are news to be told. `look_after`: this Page is connected now."""
        self._app = app
        self._meta = meta
        self._keys = keys
        self._logins = logins
        self._channels = channels
        self._audit = audit
        self._clock = clock
        self._wake = wake
        self._look_after = look_after

    # Logging in at Facebook

    async def begin(
        self, visitor: Visitor, *, ask_again: bool = False, wanted_page: str | None = None
    ) -> str:
        """The address of Facebook's dialog, for this session and the next ten minutes."""
        state = new_secret()
        login = FacebookLogin(
            id=hashed(state),
            session_id=visitor.session.id,
            account_id=visitor.account.id,
            workspace_id=visitor.workspace.id,
            expires_at=self._clock() + STATE_FOR,
            wanted_page=wanted_page,
        )
        await self._logins.add(login)
        return login_url(
            self._app.dialog_url,
            self._app.version,
            app_id=self._app.app_id,
            redirect_uri=self._app.redirect_uri,
            state=state,
            permissions=self._app.permissions,
            config_id=self._app.config_id or None,
            ask_again=ask_again,
        )

    async def answered(
        self, visitor: Visitor, *, state: str, code: str | None, error: str | None
    ) -> FacebookLogin:
        """What came back from the dialog. The `state` is used up, whatever comes of it.

        Raises:
            StateRefusedError: not asked for here, used, or too old; Facebook was asked nothing.
            LoginCancelledError: there is an `error` instead of a `code`.
            LoginFailedError: Facebook's answers could not be used.
        """
        login_id, session_id = hashed(state), visitor.session.id
        login = await self._logins.login(login_id)
        problem = state_problem(_asked(login), session_id, self._clock())
        if problem is None and not await self._logins.use(login_id, session_id, self._clock()):
            problem = "used"
        if problem is not None:
            raise StateRefusedError(problem)
        if code is None:
            raise LoginCancelledError(error or "no code", login.wanted_page if login else None)
        try:
            await self._logins.change(login_id, await self._fetch(login_id, code))
        except FACEBOOK_ERRORS as failure:
            log.warning("facebook_login_failed", error=type(failure).__name__, reason=str(failure))
            raise LoginFailedError(facebook_words(failure)) from failure
        return await self._own(visitor, login_id)

    async def choice(self, visitor: Visitor, login_id: str) -> Choice:
        """What there is to choose.

        Raises:
            UnknownLoginError: not of this session, or too long ago.
        """
        login = await self._own(visitor, login_id)
        pages = login.pages or ()
        known = await self._channels.channels([page.id for page in pages])
        offered = tuple(
            OfferedPage(page, self._standing(page, known.get(page.id), visitor.workspace.id))
            for page in sorted(pages, key=lambda page: (page.name.casefold(), page.id))
        )
        answers = Answers(
            permissions=login.permissions,
            page_count=len(offered),
            usable_count=sum(each.standing.can_be_chosen for each in offered),
            ticked=login.ticked,
            hidden=login.hidden,
        )
        return Choice(login, offered, causes(answers))

    # Pages

    async def connect(
        self,
        visitor: Visitor,
        login_id: str,
        page_ids: Sequence[str],
        assistant_id: str | None = None,
    ) -> tuple[PageResult, ...]:
        """Connect each of the chosen Pages; one that fails leaves the others alone.

        Args:
            assistant_id: who answers on Pages that are new here; None: the workspace's first one.

        Raises:
            UnknownLoginError: not of this session, or too long ago.
        """
        choice = await self.choice(visitor, login_id)
        wanted = [each for each in choice.pages if each.page.id in page_ids]
        results = []
        for offered in wanted:
            result = await self._connect(visitor, choice.login, offered, assistant_id)
            results.append(result)
        await self._logins.change(
            login_id, {"results": [result.model_dump() for result in results]}
        )
        return tuple(results)

    async def channel(self, workspace_id: str, page_id: str) -> ConnectedChannel:
        """Raises: UnknownChannelError: not in this workspace."""
        return await self._channels.in_workspace(workspace_id, page_id)

    async def disconnect(self, actor: Actor, page_id: str, page_name: str) -> bool:
        """Forget the token, tell everybody, and unsubscribe at Facebook.

        Settings and history stay. Returns False if Facebook could not be told: what it sends is
        left lying, and the next connecting or a person at Facebook ends it.

        Raises:
            UnknownChannelError: not in this workspace.
            WrongNameError: `page_name` is not the Page's.
            ChannelBusyError: others change it at this moment.
        """
        channel = await self.channel(actor.workspace_id, page_id)
        async with self._audit.doing(
            actor, "channel.disconnected", target=channel.page_name, target_id=page_id
        ):
            if page_name.strip() != channel.page_name.strip():
                raise WrongNameError("type the Page's name as it stands here")
            if channel.status == "disconnected":
                return True
            now = self._clock()
            changes = {
                "status": "disconnected",
                "cause": "by_us",
                "status_since": now,
                "token": "",
                "news": news_of("channel.disconnected", page_id, now).model_dump(),
            }
            if not await self._channels.change(channel, changes):
                raise ChannelBusyError("somebody else is changing this Page: try again")
            self._wake()
            return await self._unsubscribe(channel)

    # How

    async def _own(self, visitor: Visitor, login_id: str) -> FacebookLogin:
        login = await self._logins.login(login_id)
        if (
            login is None
            or login.session_id != visitor.session.id
            or login.workspace_id != visitor.workspace.id
            or login.expires_at <= self._clock()
            or login.pages is None
        ):
            raise UnknownLoginError("there is no such login in this session")
        return login

    async def _fetch(self, login_id: str, code: str) -> dict[str, object]:
        """All that the login brought, as it is kept. The person's own token is not."""
        short = await self._meta.exchange_code(code, self._app.redirect_uri)
        long = await self._meta.long_lived(short.access_token.get_secret_value())
        token = long.access_token.get_secret_value()
        info = await self._meta.debug_token(token)
        if not info.is_valid or info.app_id not in (None, self._app.app_id):
            raise OutcomeUnknownError("a token that is not for this app, or not valid")
        person = await self._meta.user(token)
        permissions = {each.permission: each.status for each in await self._meta.permissions(token)}
        accounts = await self._meta.accounts(token)
        ticked = info.pages_of("pages_show_list")
        return {
            "facebook_user_id": person.id,
            "facebook_user_name": person.name,
            "permissions": permissions,
            "pages": [self._found(login_id, each).model_dump() for each in accounts],
            "ticked": None if ticked is None else list(ticked),
            "hidden": await self._hidden(token, ticked or (), {each.id for each in accounts}),
            "expires_at": self._clock() + CHOICE_FOR,
        }

    def _found(self, login_id: str, account: PageAccount) -> FoundPage:
        token = account.access_token
        context = _login_context(login_id, account.id)
        return FoundPage(
            id=account.id,
            name=account.name or account.id,
            tasks=account.tasks,
            token=self._keys.encrypt(token.get_secret_value(), context=context) if token else None,
        )

    async def _hidden(
        self, token: str, ticked: Sequence[str], shown: set[str]
    ) -> dict[str, Hidden]:
        """Why Pages that were ticked are not in the list."""
        found: dict[str, Hidden] = {}
        for page_id in [each for each in ticked if each not in shown][:MOST_LOOKED_UP]:
            try:
                page = await self._meta.page(page_id, token)
            except (NotFoundError, PermissionMissingError):
                found[page_id] = "not_shown"
            except GraphError:
                continue
            else:
                found[page_id] = "unpublished" if page.is_published is False else "not_shown"
        return found

    @staticmethod
    def _standing(page: FoundPage, channel: ConnectedChannel | None, workspace_id: str) -> Standing:
        known = KnownChannel(channel.workspace_id, channel.status == "active") if channel else None
        return standing(
            frozenset(page.tasks),
            has_token=page.token is not None,
            known=known,
            workspace_id=workspace_id,
        )

    async def _connect(
        self,
        visitor: Visitor,
        login: FacebookLogin,
        offered: OfferedPage,
        assistant_id: str | None,
    ) -> PageResult:
        page, was_here = offered.page, offered.standing in (Standing.HERE, Standing.LOST)
        action = "channel.reconnected" if was_here else "channel.connected"
        try:
            async with self._audit.doing(
                visitor.actor, action, target=page.name, target_id=page.id
            ):
                await self._connect_or_refuse(visitor, login, offered, assistant_id)
        except NotConnectedError as error:
            return PageResult(
                page_id=page.id, page_name=page.name, outcome="failed", words=error.words
            )
        self._wake()
        self._look_after(page.id)
        outcome: Literal["reconnected", "connected"] = "reconnected" if was_here else "connected"
        return PageResult(page_id=page.id, page_name=page.name, outcome=outcome)

    async def _connect_or_refuse(
        self,
        visitor: Visitor,
        login: FacebookLogin,
        offered: OfferedPage,
        assistant_id: str | None,
    ) -> None:
        page = offered.page
        if not offered.standing.can_be_chosen or page.token is None:
            raise NotConnectedError(offered.standing.words)
        try:
            token = self._keys.decrypt(page.token, context=_login_context(login.id, page.id))
        except DecryptionError:  # the installation's keys were replaced since
            raise NotConnectedError(
                "What Facebook gave can't be read any more. Log in again."
            ) from None
        try:
            await self._verify(page.id, token)
            await self._subscribe(page.id, token)
        except NotConnectedError:
            await self._take_back(page.id, token)
            raise
        except FACEBOOK_ERRORS as error:
            await self._take_back(page.id, token)
            log.warning("page_not_connected", page_id=page.id, error=type(error).__name__)
            raise NotConnectedError(facebook_words(error)) from error
        await self._store(visitor, login, page, token, assistant_id)

    async def _verify(self, page_id: str, token: str) -> None:
        """The token is the Page's, valid, of this app, and may do what is needed."""
        info = await self._meta.debug_token(token)
        if not info.is_valid or not self._is_ours(info, page_id):
            raise NotConnectedError("Facebook gave a token that doesn't work. Log in again.")
        given = dict.fromkeys(info.scopes, "granted") | {"pages_show_list": "granted"}
        if missing := missing_permissions(given):
            raise NotConnectedError(
                f"The permission {missing[0]} was not given for this Page. Log in again and leave "
                "it switched on."
            )

    def _is_ours(self, info: TokenInfo, page_id: str) -> bool:
        return info.app_id in (None, self._app.app_id) and info.profile_id in (None, page_id)

    async def _subscribe(self, page_id: str, token: str) -> None:
        """Subscribe, and believe it only when Facebook shows it."""
        with suppress(UnsureError, OutcomeUnknownError):  # it may have worked: look
            await self._meta.subscribe_page(page_id, token, FIELDS)
        for app in await self._meta.subscribed_apps(page_id, token):
            if app.id == self._app.app_id and set(FIELDS) <= set(app.subscribed_fields):
                return
        raise NotConnectedError(
            "Facebook did not subscribe the app to the Page's messages. Try again in a moment."
        )

    async def _take_back(self, page_id: str, token: str) -> None:
        """The subscription of a Page that nobody has, as well as it goes."""
        channel = await self._channels.channel(page_id)
        if channel is None or channel.status == "disconnected":
            with suppress(*FACEBOOK_ERRORS):
                await self._meta.unsubscribe_page(page_id, token)

    async def _store(
        self,
        visitor: Visitor,
        login: FacebookLogin,
        page: FoundPage,
        token: str,
        assistant_id: str | None,
    ) -> None:
        """One write. Of two workspaces at the same moment, one gets the Page."""
        workspace_id = visitor.workspace.id
        for _ in range(ATTEMPTS):
            now = self._clock()
            connection = Connection(
                at=now,
                account_id=visitor.account.id,
                facebook_user_id=login.facebook_user_id,
                facebook_user_name=login.facebook_user_name,
            )
            sealed = self._keys.encrypt(token, context=page.id)
            news = news_of("channel.connected", page.id, now)
            before = await self._channels.channel(page.id)
            if before is None:
                channel = ConnectedChannel(
                    id=page.id,
                    workspace_id=workspace_id,
                    assistant_id=await self._assistant(workspace_id, assistant_id),
                    page_name=page.name,
                    token=sealed,
                    connection=connection,
                    status_since=now,
                    news=news,
                )
                if await self._channels.add(channel):
                    return
                continue
            if before.workspace_id != workspace_id:
                raise NotConnectedError(Standing.ELSEWHERE.words)
            since = before.status_since if before.status == "active" else now
            changes = {
                "token": sealed,
                "page_name": page.name,
                "status": "active",
                "cause": None,
                "status_since": since,
                "connection": connection.model_dump(),
                "news": news.model_dump(),
            }
            if await self._channels.change(before, changes):
                return
        raise NotConnectedError("Others are connecting this Page at this moment. Try again.")

    async def _assistant(self, workspace_id: str, wanted: str | None) -> str:
        """Who answers: whoever is wanted, unless they are gone since; else the workspace's
        assistant, or its first one, made now."""
        if wanted is not None and wanted in dict(await self._channels.assistants(workspace_id)):
            return wanted
        if (known := await self._channels.first_assistant(workspace_id)) is not None:
            return known
        first = Assistant(
            id=f"ast_{workspace_id}",
            workspace_id=workspace_id,
            name=FIRST_ASSISTANT,
            system_prompt=FIRST_PROMPT,
        )
        await self._channels.add_assistant(first)
        return first.id

    async def _unsubscribe(self, channel: ConnectedChannel) -> bool:
        """As the app: the Page's token may be dead; with it, if Facebook wants that."""
        is_done = await self._succeeds(self._meta.unsubscribe_page(channel.id))
        if not is_done:
            with suppress(PermanentError):
                token = self._keys.decrypt(channel.token, context=channel.id)
                is_done = await self._succeeds(self._meta.unsubscribe_page(channel.id, token))
        now = await self._channels.channel(channel.id)
        if now is not None and now.status == "active":  # connected again meanwhile
            with suppress(PermanentError):
                token = self._keys.decrypt(now.token, context=now.id)
                await self._succeeds(self._meta.subscribe_page(now.id, token, FIELDS))
        return is_done

    @staticmethod
    async def _succeeds(call: Awaitable[None]) -> bool:
        try:
            await call
        except FACEBOOK_ERRORS as error:
            log.warning("page_not_unsubscribed", error=type(error).__name__)
            return False
        return True


def _asked(login: FacebookLogin | None) -> AskedLogin | None:
    return AskedLogin(login.session_id, login.expires_at, login.used) if login else None


def _login_context(login_id: str, page_id: str) -> str:
    """A token that waits for its choice can't be put in a channel's place."""
    return f"facebook-login:{login_id}:{page_id}"


def news_of(kind: NewsKind, page_id: str, now: datetime) -> News:
    """What others have to be told; the same fact always has the same id."""
    return News(type=kind, event_id=derived_id(kind, page_id, now.isoformat()), at=now)
