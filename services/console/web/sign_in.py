"""Signing in and out, the first run, and one-time links."""

from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, Field, JsonValue

from services.console.accounts import WeakPasswordError
from services.console.domain import passwords
from services.console.domain.addresses import LONGEST, normalised
from services.console.domain.clients import safe_path
from services.console.domain.roles import Member, Role
from services.console.first_run import WrongCodeError
from services.console.signing_in import SignInRefusedError, TooManyAttemptsError
from services.console.web.access import (
    SIGNING_IN,
    Access,
    add_page,
    client_of,
    drop_session_cookie,
    session_secret,
    set_session_cookie,
    visitor_of,
    visitor_or_none,
)
from services.console.web.forms import FORM, Form, FormModel
from services.console.web.pages import ACCOUNTS, FIRST_RUN, go_to, render, say_in

EmailAddress = Annotated[str, Field(max_length=LONGEST), AfterValidator(normalised)]
Name = Annotated[str, Field(max_length=80)]
SECRET: dict[str, JsonValue] = {"format": "password"}  # never sent back to the browser


class SignInForm(FormModel):
    """Whatever is wrong with these is told in one way: as a wrong pair."""

    email: str = Field(max_length=LONGEST)
    password: str = Field(max_length=passwords.LONGEST, json_schema_extra=SECRET)


class FirstRunForm(FormModel):
    code: str = Field(max_length=100)
    email: EmailAddress
    name: Name = ""
    password: str = Field(
        min_length=passwords.SHORTEST, max_length=passwords.LONGEST, json_schema_extra=SECRET
    )


class WelcomeForm(FormModel):
    name: Name = ""
    password: str = Field(
        min_length=passwords.SHORTEST, max_length=passwords.LONGEST, json_schema_extra=SECRET
    )


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/sign-in", show_sign_in, Access.PUBLIC)
    add_page(app, "POST", "/sign-in", sign_in, Access.PUBLIC)
    add_page(app, "POST", "/sign-out", sign_out, Access.SIGNED_IN)
    add_page(app, "GET", "/first-run", show_first_run, Access.PUBLIC)
    add_page(app, "POST", "/first-run", first_run, Access.PUBLIC)
    add_page(app, "GET", "/welcome/{secret}", show_welcome, Access.PUBLIC)
    add_page(app, "POST", "/welcome/{secret}", welcome, Access.PUBLIC)


async def show_sign_in(request: web.Request) -> web.StreamResponse:
    if await request.app[FIRST_RUN].get().is_open():
        return go_to(request, "/first-run")
    back = safe_path(request.query.get("next"))
    if visitor_or_none(request) is not None:
        return go_to(request, back)
    return render(request, "sign_in.html", form=Form.empty(SignInForm), next=back)


async def sign_in(request: web.Request) -> web.StreamResponse:
    form = await Form.read(SignInForm, request)
    back = safe_path(request.query.get("next"))
    status = 422
    if form.value is not None:
        try:
            email = _address(form.value.email)
            secret = await (
                request.app[SIGNING_IN]
                .get()
                .sign_in(email, form.value.password, client_of(request))
            )
        except SignInRefusedError:
            form.fail(FORM, "E-mail or password is wrong.")
        except TooManyAttemptsError as error:
            minutes = -(-error.retry_after_s // 60)
            unit = "minute" if minutes == 1 else "minutes"
            form.fail(FORM, f"Too many attempts. Try again in {minutes} {unit}.")
            status = 429
            response = render(request, "sign_in.html", status=status, form=form, next=back)
            response.headers["Retry-After"] = str(error.retry_after_s)
            return response
        else:
            return await _signed_in(request, secret, back)
    return render(request, "sign_in.html", status=status, form=form, next=back)


async def sign_out(request: web.Request) -> web.StreamResponse:
    await request.app[SIGNING_IN].get().sign_out(visitor_of(request))
    response = go_to(request, "/sign-in")
    drop_session_cookie(request, response)
    return response


async def show_first_run(request: web.Request) -> web.StreamResponse:
    if not await request.app[FIRST_RUN].get().is_open():
        return go_to(request, "/sign-in")
    return render(request, "first_run.html", form=Form.empty(FirstRunForm))


async def first_run(request: web.Request) -> web.StreamResponse:
    if not await request.app[FIRST_RUN].get().is_open():
        return go_to(request, "/sign-in")
    form = await Form.read(FirstRunForm, request)
    if (given := form.value) is not None:
        try:
            account = await (
                request.app[FIRST_RUN]
                .get()
                .create(given.code, given.email, given.name, given.password)
            )
        except WrongCodeError:
            form.fail("code", "This is not the code that the console printed last.")
        except WeakPasswordError as error:
            form.fail("password", str(error))
        else:
            secret = await (
                request.app[SIGNING_IN]
                .get()
                .begin_session(account, Member(role=Role.ADMIN), account.epoch, client_of(request))
            )
            return await _signed_in(request, secret, "/", "Welcome. You are the administrator.")
    return render(request, "first_run.html", status=422, form=form)


async def show_welcome(request: web.Request) -> web.StreamResponse:
    user = await request.app[ACCOUNTS].get().behind_link(request.match_info["secret"])
    form = Form.empty(WelcomeForm, name=user.account.name)
    return render(request, "welcome.html", form=form, user=user)


async def welcome(request: web.Request) -> web.StreamResponse:
    secret = request.match_info["secret"]
    accounts = request.app[ACCOUNTS].get()
    user = await accounts.behind_link(secret)
    form = await Form.read(WelcomeForm, request)
    if form.value is not None:
        try:
            user, epoch = await accounts.choose_password(
                secret, form.value.password, form.value.name
            )
        except WeakPasswordError as error:
            form.fail("password", str(error))
        else:
            session = await (
                request.app[SIGNING_IN]
                .get()
                .begin_session(user.account, user.member, epoch, client_of(request))
            )
            return await _signed_in(request, session, "/", "Your password is set.")
    return render(request, "welcome.html", status=422, form=form, user=user)


async def _signed_in(
    request: web.Request, secret: str, path: str, words: str | None = None
) -> web.Response:
    """The browser's new session; the one it had before is over."""
    if (before := session_secret(request)) is not None:
        await request.app[SIGNING_IN].get().end_session(before)
    if words:
        await say_in(request, secret, words)
    response = go_to(request, path)
    set_session_cookie(request, response, secret)
    return response


def _address(text: str) -> str:
    """Raises: SignInRefusedError: no account can be called like this."""
    try:
        return normalised(text)
    except ValueError:
        return "nobody@invalid"  # goes the same way as an address that nobody has
