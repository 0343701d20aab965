"""Users: the list, inviting, roles, off and on, one-time links."""

from aiohttp import web
from pydantic import Field

from services.console.accounts import (
    EmailTakenError,
    OneTimeLink,
    RosterBusyError,
    UserDisabledError,
)
from services.console.domain.roles import LastAdminError, OwnAccountError, Role
from services.console.web.access import SETTINGS, Access, add_page, visitor_of
from services.console.web.forms import FORM, Form, FormModel
from services.console.web.pages import ACCOUNTS, go_and_say, render, show
from services.console.web.sign_in import EmailAddress, Name

REFUSALS = (OwnAccountError, LastAdminError, RosterBusyError)


class InviteForm(FormModel):
    email: EmailAddress
    name: Name = ""
    role: Role = Role.MEMBER


class RoleForm(FormModel):
    role: Role = Field(Role.MEMBER)


class NothingForm(FormModel):
    """A button."""


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/users", list_users, Access.ADMIN)
    add_page(app, "GET", "/users/invite", show_invite, Access.ADMIN)
    add_page(app, "POST", "/users/invite", invite, Access.ADMIN)
    add_page(app, "GET", "/users/{user}", show_user, Access.ADMIN)
    add_page(app, "POST", "/users/{user}/role", set_role, Access.ADMIN)
    add_page(app, "POST", "/users/{user}/link", make_link, Access.ADMIN)
    add_page(app, "GET", "/users/{user}/disable", confirm_disable, Access.ADMIN)
    add_page(app, "POST", "/users/{user}/disable", disable, Access.ADMIN)
    add_page(app, "POST", "/users/{user}/enable", enable, Access.ADMIN)


async def list_users(request: web.Request) -> web.StreamResponse:
    users = await request.app[ACCOUNTS].get().users(visitor_of(request).workspace.id)
    return await show(request, "users.html", users=users)


async def show_invite(request: web.Request) -> web.StreamResponse:
    return await show(request, "invite.html", form=Form.empty(InviteForm), roles=Role)


async def invite(request: web.Request) -> web.StreamResponse:
    form = await Form.read(InviteForm, request)
    if (given := form.value) is not None:
        actor = visitor_of(request).actor
        try:
            link = await (
                request.app[ACCOUNTS].get().invite(actor, given.email, given.name, given.role)
            )
        except EmailTakenError:
            form.fail("email", "Somebody with this e-mail address has an account already.")
        else:
            return _link_page(request, link)
    return render(request, "invite.html", status=422, form=form, roles=Role)


async def show_user(request: web.Request) -> web.StreamResponse:
    return await _user_page(request)


async def set_role(request: web.Request) -> web.StreamResponse:
    form = await Form.read(RoleForm, request)
    if form.value is not None:
        actor, user_id = visitor_of(request).actor, request.match_info["user"]
        try:
            user = await request.app[ACCOUNTS].get().change(actor, user_id, role=form.value.role)
        except REFUSALS as error:
            form.fail("role", _sentence(error))
        else:
            words = f"{user.account.shown_name} is {user.member.role.label} now."
            return await go_and_say(request, f"/users/{user_id}", words)
    return await _user_page(request, form)


async def make_link(request: web.Request) -> web.StreamResponse:
    actor, user_id = visitor_of(request).actor, request.match_info["user"]
    try:
        link = await request.app[ACCOUNTS].get().make_link(actor, user_id)
    except UserDisabledError:
        return await go_and_say(request, f"/users/{user_id}", "Enable this user first.")
    return _link_page(request, link)


async def confirm_disable(request: web.Request) -> web.StreamResponse:
    return await _confirm_page(request, Form.empty(NothingForm))


async def disable(request: web.Request) -> web.StreamResponse:
    actor, user_id = visitor_of(request).actor, request.match_info["user"]
    try:
        user = await request.app[ACCOUNTS].get().change(actor, user_id, disabled=True)
    except REFUSALS as error:
        refused = Form.empty(NothingForm).fail(FORM, _sentence(error))
        return await _confirm_page(request, refused, status=422)
    words = f"{user.account.shown_name} is disabled and signed out everywhere."
    return await go_and_say(request, f"/users/{user_id}", words)


async def enable(request: web.Request) -> web.StreamResponse:
    actor, user_id = visitor_of(request).actor, request.match_info["user"]
    user = await request.app[ACCOUNTS].get().change(actor, user_id, disabled=False)
    words = f"{user.account.shown_name} can sign in again."
    return await go_and_say(request, f"/users/{user_id}", words)


async def _user_page(
    request: web.Request, form: Form[RoleForm] | None = None
) -> web.StreamResponse:
    workspace = visitor_of(request).workspace
    user = await request.app[ACCOUNTS].get().user(workspace.id, request.match_info["user"])
    return await show(
        request,
        "user.html",
        status=200 if form is None else 422,
        user=user,
        form=form or Form.empty(RoleForm, role=user.member.role.value),
        roles=Role,
    )


async def _confirm_page(
    request: web.Request, form: Form[NothingForm], status: int = 200
) -> web.StreamResponse:
    workspace = visitor_of(request).workspace
    user = await request.app[ACCOUNTS].get().user(workspace.id, request.match_info["user"])
    return await show(request, "disable_user.html", status=status, user=user, form=form)


def _link_page(request: web.Request, link: OneTimeLink) -> web.StreamResponse:
    """The answer itself shows the link: it is kept nowhere, so that no later page could."""
    address = f"{request.app[SETTINGS].site.console_url}/welcome/{link.secret}"
    return render(request, "link.html", link=link, address=address)


def _sentence(error: Exception) -> str:
    words = str(error)
    return words[:1].upper() + words[1:] + "."
