"""One's own account: name, password, sessions."""

from aiohttp import web
from pydantic import Field

from services.console.accounts import WeakPasswordError
from services.console.domain import passwords
from services.console.signing_in import TooManyAttemptsError
from services.console.web.access import (
    SIGNING_IN,
    Access,
    add_page,
    client_of,
    drop_session_cookie,
    set_session_cookie,
    visitor_of,
)
from services.console.web.forms import Form, FormModel
from services.console.web.pages import ACCOUNTS, go_and_say, go_to, say_in, show
from services.console.web.sign_in import SECRET, Name


class NameForm(FormModel):
    name: Name = ""


class PasswordForm(FormModel):
    current: str = Field(max_length=passwords.LONGEST, json_schema_extra=SECRET)
    new: str = Field(
        min_length=passwords.SHORTEST, max_length=passwords.LONGEST, json_schema_extra=SECRET
    )


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/profile", show_profile, Access.SIGNED_IN)
    add_page(app, "POST", "/profile/name", change_name, Access.SIGNED_IN)
    add_page(app, "POST", "/profile/password", change_password, Access.SIGNED_IN)
    add_page(app, "POST", "/profile/sign-out-everywhere", sign_out_everywhere, Access.SIGNED_IN)


async def show_profile(request: web.Request) -> web.StreamResponse:
    return await _page(request)


async def change_name(request: web.Request) -> web.StreamResponse:
    form = await Form.read(NameForm, request)
    if form.value is None:
        return await _page(request, name=form, status=422)
    actor = visitor_of(request).actor
    await request.app[ACCOUNTS].get().change_name(actor, form.value.name)
    return await go_and_say(request, "/profile", "Your name is saved.")


async def change_password(request: web.Request) -> web.StreamResponse:
    form = await Form.read(PasswordForm, request)
    visitor, client = visitor_of(request), client_of(request)
    signing_in = request.app[SIGNING_IN].get()
    if form.value is not None:
        try:
            if await signing_in.check_password(visitor.account, form.value.current, client):
                accounts = request.app[ACCOUNTS].get()
                epoch = await accounts.change_password(visitor.actor, form.value.new)
                secret = await signing_in.begin_session(
                    visitor.account, visitor.member, epoch, client
                )
                words = "Your password is changed. Every other device has been signed out."
                await say_in(request, secret, words)
                response = go_to(request, "/profile")
                set_session_cookie(request, response, secret)
                return response
            form.fail("current", "This is not your password.")
        except TooManyAttemptsError as error:
            minutes = -(-error.retry_after_s // 60)
            form.fail("current", f"Too many attempts. Try again in {minutes} min.")
        except WeakPasswordError as error:
            form.fail("new", str(error))
    return await _page(request, password=form, status=422)


async def sign_out_everywhere(request: web.Request) -> web.StreamResponse:
    await request.app[SIGNING_IN].get().sign_out_everywhere(visitor_of(request))
    response = go_to(request, "/sign-in")
    drop_session_cookie(request, response)
    return response


async def _page(
    request: web.Request,
    *,
    name: Form[NameForm] | None = None,
    password: Form[PasswordForm] | None = None,
    status: int = 200,
) -> web.StreamResponse:
    visitor = visitor_of(request)
    return await show(
        request,
        "profile.html",
        status=status,
        name_form=name or Form.empty(NameForm, name=visitor.account.name),
        password_form=password or Form.empty(PasswordForm),
        sessions=await request.app[SIGNING_IN].get().sessions(visitor.account),
    )
