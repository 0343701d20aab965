"""An operation of `/api/v1`: one declaration makes its route, its checks and its documentation."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from libs.common.errors import PermanentError
from libs.common.web import problem
from services.console.accounts import Accounts
from services.console.api_tokens import ApiTokens
from services.console.audit import AuditLog
from services.console.channels_store import ChannelStore
from services.console.connecting import Connecting
from services.console.domain.tokens import Scope
from services.console.internal import Internal
from services.console.signing_in import Caller
from services.console.web.access import ROUTE_ACCESS, SETTINGS, Access, caller_of
from services.console.web.pages import ACCOUNTS, API_TOKENS, AUDIT, CHANNELS, CONNECTING, INTERNAL

PREFIX = "/api/v1"


class Body(BaseModel):
    """Base of what is sent: a field that isn't known is an error, not a typo nobody notices."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Shown(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class Refusal:
    """An error that an operation is known to answer with, besides those that all have."""

    status: int
    code: str
    means: str


NOT_FOUND = Refusal(404, "not_found", "There is nothing with this id in the token's workspace.")


@dataclass(frozen=True)
class Call:
    """One call of an operation, checked."""

    request: web.Request
    caller: Caller
    path: Mapping[str, str]
    query: Any  # of the operation's `query`
    body: Any  # of the operation's `body`

    @property
    def workspace_id(self) -> str:
        return self.caller.workspace.id

    @property
    def accounts(self) -> Accounts:
        return self.request.app[ACCOUNTS].get()

    @property
    def tokens(self) -> ApiTokens:
        return self.request.app[API_TOKENS].get()

    @property
    def audit(self) -> AuditLog:
        return self.request.app[AUDIT].get()

    @property
    def channels(self) -> ChannelStore:
        return self.request.app[CHANNELS].get()

    @property
    def connecting(self) -> Connecting:
        return self.request.app[CONNECTING].get()

    @property
    def internal(self) -> Internal:
        return self.request.app[INTERNAL].get()

    @property
    def console_url(self) -> str:
        return self.request.app[SETTINGS].site.console_url


@dataclass(frozen=True)
class Operation:
    """What can be asked for.

    Args:
        name: the operation's id in the documentation.
        scope: what the token needs; None: any token will do.
        answer: None: 204 without a body.
        headers: that have to be sent, with what they mean.
    """

    method: str
    path: str
    name: str
    summary: str
    tag: str
    scope: Scope | None
    handler: Callable[[Call], Awaitable[BaseModel | None]]
    answer: type[BaseModel] | None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    refusals: tuple[Refusal, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Read, call, answer. What the operation refuses comes with its code and field."""
        query = body = None
        try:
            if self.query is not None:
                query = self.query.model_validate(dict(request.query))
            if self.body is not None:
                body = self.body.model_validate(await _json(request))
        except ValidationError as error:
            return _invalid(error)
        except ValueError:
            return problem(400, "not_json", "send a JSON object")
        call = Call(request, caller_of(request), request.match_info, query, body)
        try:
            answer = await self.handler(call)
        except PermanentError as error:
            return self._refused(error)
        if answer is None:
            return web.Response(status=204)
        return web.Response(
            status=self.status, text=answer.model_dump_json(), content_type="application/json"
        )

    def _refused(self, error: PermanentError) -> web.Response:
        """Only with what is documented: anything else is a fault of ours."""
        for refusal in self.refusals:
            if refusal.code == error.code:
                field = getattr(error, "field", None)
                return problem(refusal.status, error.code, str(error), field=field)
        raise error


def add_operation(app: web.Application, operation: Operation) -> None:
    route = app.router.add_route(operation.method, PREFIX + operation.path, operation.handle)
    app[ROUTE_ACCESS].note(route, Access.PROGRAM, operation.scope)


async def _json(request: web.Request) -> Any:  # noqa: ANN401 - any JSON
    """Raises: ValueError: it isn't JSON."""
    try:
        return json.loads(await request.read())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _invalid(error: ValidationError) -> web.Response:
    """422 with the first complaint, and which field it is about: `scopes.0` is a list's first."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or None
    return problem(422, "invalid", first["msg"].removeprefix("Value error, "), field=name)
