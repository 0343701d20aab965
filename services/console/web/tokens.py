"""API tokens: the list, making one, revoking one."""

from typing import Literal

from aiohttp import web
from pydantic import Field

from services.console.api_tokens import TooManyTokensError
from services.console.domain.tokens import Scope
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.forms import FORM, Form, FormModel
from services.console.web.pages import ACCOUNTS, API_TOKENS, go_and_say, render, show

ValidDays = Literal["30", "90", "365", "never"]
CHOICES: tuple[tuple[str, str], ...] = (
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "One year"),
    ("never", "Until revoked"),
)


class TokenForm(FormModel):
    name: str = Field(min_length=1, max_length=80)
    scopes: tuple[Scope, ...] = Field((), min_length=1, validate_default=True)
    valid_days: ValidDays = "90"


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/api-tokens", list_tokens, Access.ADMIN)
    add_page(app, "POST", "/api-tokens", create, Access.ADMIN)
    add_page(app, "GET", "/api-tokens/{token}/revoke", confirm_revoke, Access.ADMIN)
    add_page(app, "POST", "/api-tokens/{token}/revoke", revoke, Access.ADMIN)


async def list_tokens(request: web.Request) -> web.StreamResponse:
    return await _page(request, Form.empty(TokenForm))


async def create(request: web.Request) -> web.StreamResponse:
    form = await Form.read(TokenForm, request)
    if (given := form.value) is not None:
        days = None if given.valid_days == "never" else int(given.valid_days)
        try:
            new = await (
                request.app[API_TOKENS]
                .get()
                .create(visitor_of(request).actor, given.name, given.scopes, days)
            )
        except TooManyTokensError as error:
            form.fail(FORM, f"Not made: {error}.")
        else:
            return render(request, "new_token.html", new=new)
    return await _page(request, form, status=422)


async def confirm_revoke(request: web.Request) -> web.StreamResponse:
    workspace = visitor_of(request).workspace
    token = await request.app[API_TOKENS].get().token(workspace.id, request.match_info["token"])
    return await show(request, "revoke_token.html", token=token)


async def revoke(request: web.Request) -> web.StreamResponse:
    actor = visitor_of(request).actor
    token = await request.app[API_TOKENS].get().revoke(actor, request.match_info["token"])
    return await go_and_say(request, "/api-tokens", f"“{token.name}” is revoked.")


async def _page(
    request: web.Request, form: Form[TokenForm], status: int = 200
) -> web.StreamResponse:
    workspace = visitor_of(request).workspace
    users = await request.app[ACCOUNTS].get().users(workspace.id)
    return await show(
        request,
        "api_tokens.html",
        status=status,
        tokens=await request.app[API_TOKENS].get().all(workspace.id),
        owners={user.account.id: user for user in users},
        form=form,
        scopes=Scope,
        choices=CHOICES,
    )
