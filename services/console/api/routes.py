"""Every operation of `/api/v1`."""

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from libs.common.errors import PermanentError
from libs.common.paging import Cursor, cursor_of
from services.console.api import openapi
from services.console.api.analytics import ANALYTICS_OPERATIONS
from services.console.api.assistants import ASSISTANT_OPERATIONS
from services.console.api.channel_settings import SETTINGS_OPERATIONS
from services.console.api.conversations import CONVERSATION_OPERATIONS
from services.console.api.dead_letters import DEAD_LETTER_OPERATIONS
from services.console.api.doctor import DOCTOR_OPERATIONS
from services.console.api.operations import (
    NOT_FOUND,
    PREFIX,
    Call,
    Operation,
    Refusal,
    add_operation,
)
from services.console.api.privacy import PRIVACY_OPERATIONS
from services.console.api.schemas import (
    AuditPage,
    AuditShown,
    AuditWanted,
    Channels,
    ChannelShown,
    Disconnection,
    Invitation,
    LinkShown,
    Me,
    TokenMade,
    Tokens,
    TokenShown,
    TokenWanted,
    UserChange,
    Users,
    UserShown,
)
from services.console.api.takeovers import TAKEOVER_OPERATIONS
from services.console.api.workspace import WORKSPACE_OPERATIONS
from services.console.domain.tokens import Scope
from services.console.web.access import ROUTE_ACCESS, Access

_CURSOR: TypeAdapter[Cursor] = TypeAdapter(Cursor)

EMAIL_TAKEN = Refusal(409, "email_taken", "Somebody has an account with this e-mail address.")
OWN_ACCOUNT = Refusal(409, "own_account", "Nobody disables or demotes themselves.")
LAST_ADMIN = Refusal(409, "last_admin", "Nobody could manage the workspace afterwards.")
TRY_AGAIN = Refusal(409, "try_again", "Others are changing users at this moment.")
USER_DISABLED = Refusal(409, "user_disabled", "The user has to be enabled first.")
SCOPE_EXCEEDED = Refusal(403, "scope_exceeded", "The token can't give more than it has.")
TOO_MANY_TOKENS = Refusal(409, "too_many_tokens", "One has to be revoked first.")
WRONG_NAME = Refusal(409, "wrong_name", "`page_name` is not the Page's name.")
CHANNEL_BUSY = Refusal(409, "try_again", "Somebody else is changing this Page at this moment.")
BAD_CURSOR = Refusal(400, "bad_cursor", "The cursor is not one that was handed out.")


class BadCursorError(PermanentError):
    """It wasn't taken from `next`."""

    code = "bad_cursor"


async def me(call: Call) -> Me:
    return Me.of(call.caller)


async def list_users(call: Call) -> Users:
    users = await call.accounts.users(call.workspace_id)
    return Users(users=[UserShown.of(user) for user in users])


async def invite_user(call: Call) -> LinkShown:
    wanted: Invitation = call.body
    link = await call.accounts.invite(call.caller.actor, wanted.email, wanted.name, wanted.role)
    return LinkShown.of(link, call.console_url)


async def show_user(call: Call) -> UserShown:
    return UserShown.of(await call.accounts.user(call.workspace_id, call.path["user"]))


async def change_user(call: Call) -> UserShown:
    change: UserChange = call.body
    user = await call.accounts.change(
        call.caller.actor, call.path["user"], role=change.role, disabled=change.disabled
    )
    return UserShown.of(user)


async def make_link(call: Call) -> LinkShown:
    link = await call.accounts.make_link(call.caller.actor, call.path["user"])
    return LinkShown.of(link, call.console_url)


async def list_channels(call: Call) -> Channels:
    found = await call.channels.of_workspace(call.workspace_id)
    return Channels(channels=[ChannelShown.of(each.channel) for each in found])


async def show_channel(call: Call) -> ChannelShown:
    return ChannelShown.of(await call.connecting.channel(call.workspace_id, call.path["channel"]))


async def disconnect_channel(call: Call) -> ChannelShown:
    wanted: Disconnection = call.body
    page_id = call.path["channel"]
    await call.connecting.disconnect(call.caller.actor, page_id, wanted.page_name)
    return ChannelShown.of(await call.connecting.channel(call.workspace_id, page_id))


async def list_tokens(call: Call) -> Tokens:
    tokens = await call.tokens.all(call.workspace_id)
    return Tokens(tokens=[TokenShown.of(token) for token in tokens])


async def create_token(call: Call) -> TokenMade:
    wanted: TokenWanted = call.body
    return TokenMade.of(
        await call.tokens.create(
            call.caller.actor,
            wanted.name,
            wanted.scopes,
            wanted.valid_days,
            within=call.caller.token.scopes,
        )
    )


async def revoke_token(call: Call) -> None:
    await call.tokens.revoke(call.caller.actor, call.path["token"])


async def list_audit(call: Call) -> AuditPage:
    query: AuditWanted = call.query
    try:
        after = _CURSOR.validate_python(query.cursor) if query.cursor else None
    except ValidationError:
        raise BadCursorError("take the cursor from `next` as it is") from None
    found = await call.audit.entries(call.workspace_id, after, query.limit + 1)
    shown = found[: query.limit]
    more = cursor_of(shown[-1].at, shown[-1].id) if len(found) > query.limit else None
    return AuditPage(entries=[AuditShown.of(entry) for entry in shown], next=more)


OPERATIONS = (
    Operation("GET", "/me", "me", "Whom the token stands for", "Account", None, me, Me),
    Operation(
        "GET", "/users", "listUsers", "List users", "Users", Scope.USERS_READ, list_users, Users
    ),
    Operation(
        "POST",
        "/users",
        "inviteUser",
        "Invite a user; answers with a one-time link to hand over",
        "Users",
        Scope.USERS_WRITE,
        invite_user,
        LinkShown,
        status=201,
        body=Invitation,
        refusals=(EMAIL_TAKEN,),
    ),
    Operation(
        "GET",
        "/users/{user}",
        "getUser",
        "Show a user",
        "Users",
        Scope.USERS_READ,
        show_user,
        UserShown,
        refusals=(NOT_FOUND,),
    ),
    Operation(
        "PATCH",
        "/users/{user}",
        "changeUser",
        "Give a user another role; disable or enable them",
        "Users",
        Scope.USERS_WRITE,
        change_user,
        UserShown,
        body=UserChange,
        refusals=(NOT_FOUND, OWN_ACCOUNT, LAST_ADMIN, TRY_AGAIN),
    ),
    Operation(
        "POST",
        "/users/{user}/link",
        "makeLink",
        "Make a new one-time link to choose a password; earlier ones stop working",
        "Users",
        Scope.USERS_WRITE,
        make_link,
        LinkShown,
        status=201,
        refusals=(NOT_FOUND, USER_DISABLED),
    ),
    Operation(
        "GET",
        "/channels",
        "listChannels",
        "List Pages and their status",
        "Pages",
        Scope.CHANNELS_READ,
        list_channels,
        Channels,
    ),
    Operation(
        "GET",
        "/channels/{channel}",
        "getChannel",
        "Show a Page and its status",
        "Pages",
        Scope.CHANNELS_READ,
        show_channel,
        ChannelShown,
        refusals=(NOT_FOUND,),
    ),
    Operation(
        "POST",
        "/channels/{channel}/disconnect",
        "disconnectChannel",
        "Disconnect a Page; settings and history are kept",
        "Pages",
        Scope.CHANNELS_WRITE,
        disconnect_channel,
        ChannelShown,
        body=Disconnection,
        refusals=(NOT_FOUND, WRONG_NAME, CHANNEL_BUSY),
    ),
    *SETTINGS_OPERATIONS,
    Operation(
        "GET",
        "/tokens",
        "listTokens",
        "List API tokens",
        "API tokens",
        Scope.TOKENS_READ,
        list_tokens,
        Tokens,
    ),
    Operation(
        "POST",
        "/tokens",
        "createToken",
        "Make an API token; its text is shown once",
        "API tokens",
        Scope.TOKENS_WRITE,
        create_token,
        TokenMade,
        status=201,
        body=TokenWanted,
        refusals=(SCOPE_EXCEEDED, TOO_MANY_TOKENS),
    ),
    Operation(
        "DELETE",
        "/tokens/{token}",
        "revokeToken",
        "Revoke an API token",
        "API tokens",
        Scope.TOKENS_WRITE,
        revoke_token,
        None,
        refusals=(NOT_FOUND,),
    ),
    Operation(
        "GET",
        "/audit",
        "listAudit",
        "Read the audit log, the latest first",
        "Audit",
        Scope.AUDIT_READ,
        list_audit,
        AuditPage,
        query=AuditWanted,
        refusals=(BAD_CURSOR,),
    ),
    *DOCTOR_OPERATIONS,
    *DEAD_LETTER_OPERATIONS,
    *ASSISTANT_OPERATIONS,
    *PRIVACY_OPERATIONS,
    *ANALYTICS_OPERATIONS,
    *WORKSPACE_OPERATIONS,
    *TAKEOVER_OPERATIONS,
    *CONVERSATION_OPERATIONS,
)


def add_routes(app: web.Application) -> None:
    for operation in OPERATIONS:
        add_operation(app, operation)
    route = app.router.add_route("GET", f"{PREFIX}/openapi.json", _document)
    app[ROUTE_ACCESS].note(route, Access.PUBLIC)


async def _document(_request: web.Request) -> web.Response:
    return web.json_response(openapi.document(OPERATIONS))
