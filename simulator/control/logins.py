"""The control API's part about Facebook's users, their logins, and the app's dashboard."""

from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from simulator import dialog, shown
from simulator.control import bodies
from simulator.control.reading import PREFIX, read_body
from simulator.core import Simulator
from simulator.state import SIMULATOR
from simulator.world.dialog import DialogError, refuse
from simulator.world.facebook import User
from simulator.world.model import Page
from simulator.world.world import add_usual_users


def add_routes(app: web.Application) -> None:
    user = f"{PREFIX}/users/{{user}}"
    app.router.add_routes(
        [
            web.get(f"{PREFIX}/users", list_users),
            web.post(f"{PREFIX}/users", add_user),
            web.patch(user, change_user),
            web.put(f"{user}/roles/{{page}}", set_role),
            web.put(f"{user}/tokens", set_tokens),
            web.post(f"{user}/password-change", change_password),
            web.post(f"{user}/app-removal", remove_app),
            web.post(f"{user}/data-deletion", request_deletion),
            web.post(f"{PREFIX}/logins", answer_dialog),
            web.get(f"{PREFIX}/app", show_app),
            web.patch(f"{PREFIX}/app", change_app),
            web.post(f"{PREFIX}/app/secret", reset_app_secret),
        ]
    )


async def list_users(request: web.Request) -> web.Response:
    users = request.app[SIMULATOR].world.logins.users
    return web.json_response({"users": [shown.user(user) for user in users]})


async def add_user(request: web.Request) -> web.Response:
    body = await read_body(request, bodies.NewUser)
    user = request.app[SIMULATOR].world.logins.add_user(body.name, body.app_role)
    return web.json_response(shown.user(user))


async def change_user(request: web.Request) -> web.Response:
    """PATCH: another role on the app."""
    simulator, user = _user(request)
    body = await read_body(request, bodies.ChangedUser)
    simulator.world.logins.set_app_role(user, body.app_role)
    return web.json_response(shown.user(user))


async def set_role(request: web.Request) -> web.Response:
    """A role on a Page, or none: then the Page's tokens got through this user are dead."""
    simulator, user = _user(request)
    page = simulator.world.page(request.match_info["page"])
    body = await read_body(request, bodies.RoleChange)
    role = body.role if body.role != "none" else None
    simulator.world.logins.set_role(user, page.id, role)
    return web.json_response(shown.user(user))


async def set_tokens(request: web.Request) -> web.Response:
    """All tokens that this user's logins gave so far, those of Pages as well."""
    simulator, user = _user(request)
    body = await read_body(request, bodies.TokenChange)
    simulator.world.logins.set_tokens(body.state, user_id=user.id)
    return web.json_response(shown.user(user))


async def change_password(request: web.Request) -> web.Response:
    simulator, user = _user(request)
    simulator.world.logins.change_password(user)
    return web.json_response(shown.user(user))


async def remove_app(request: web.Request) -> web.Response:
    """As in Facebook's settings: tokens end, and the app gets the deauthorize callback."""
    simulator, user = _user(request)
    simulator.user_removes_app(user)
    return web.json_response(shown.user(user))


async def request_deletion(request: web.Request) -> web.Response:
    """The user wants their data deleted: the app's `status` and `answer` to the callback."""
    simulator, user = _user(request)
    return await post_deletion(simulator, user.id)


async def post_deletion(simulator: Simulator, user_id: str) -> web.Response:
    """The signed callback, and what came back."""
    try:
        status, answer = await simulator.callbacks.post(
            simulator.data_deletion_url, user_id, simulator.now()
        )
    except (TimeoutError, aiohttp.ClientError) as error:
        raise web.HTTPBadGateway(text=f"callback: {type(error).__name__}") from error
    return web.json_response({"user_id": user_id, "status": status, "answer": answer})


async def answer_dialog(request: web.Request) -> web.Response:
    """Answer the dialog at an address without a browser: `{redirect}`, where it would lead.

    What the dialog would show instead of leading back is an error.
    """
    simulator = request.app[SIMULATOR]
    body = await read_body(request, bodies.DialogAnswer)
    try:
        wanted = dialog.read(simulator, URL(body.url).query)
        if body.answer == "cancel":
            return web.json_response({"redirect": refuse(wanted)})
        user = simulator.world.user(body.user) if body.user else _default_user(simulator)
        granted = body.permissions
        if granted is None and body.without:
            asked = [each.name for each in dialog.offer(simulator, wanted, user).permissions]
            granted = [name for name in asked if name not in body.without]
        redirect = dialog.give(simulator, wanted, user, granted, body.pages)
    except DialogError as error:
        raise web.HTTPBadRequest(text=f"url: {error}") from error
    return web.json_response({"redirect": redirect})


def _default_user(simulator: Simulator) -> User:
    users = simulator.world.logins.users
    if not users:
        raise web.HTTPBadRequest(text="user: there is nobody who could log in")
    return users[0]


async def show_app(request: web.Request) -> web.Response:
    return web.json_response(_app(request.app[SIMULATOR]))


async def change_app(request: web.Request) -> web.Response:
    """PATCH, as in the app's dashboard: only the fields that are given change."""
    simulator = request.app[SIMULATOR]
    body = await read_body(request, bodies.ChangedApp)
    for name, value in body.model_dump(exclude_unset=True).items():
        setattr(simulator.world.logins.app, name, value)
    simulator.app_changed()
    return web.json_response(_app(simulator))


async def reset_app_secret(request: web.Request) -> web.Response:
    """POST, as *Reset* in the app's dashboard: the new secret counts at once, the old one never."""
    return web.json_response({"app_secret": request.app[SIMULATOR].reset_app_secret()})


def give_owner(simulator: Simulator, page: Page) -> None:
    """A new Page belongs to the first user; the usual ones come if there is none."""
    if not simulator.world.logins.users:
        add_usual_users(simulator.world)
        return
    simulator.world.logins.set_role(simulator.world.logins.users[0], page.id, "admin")


def _app(simulator: Simulator) -> dict[str, Any]:
    return {
        "id": simulator.app_id,
        **shown.app(simulator.world.logins.app),
        "callback_url": simulator.webhooks.url,
        "deauthorize_url": simulator.deauthorize_url,
        "data_deletion_url": simulator.data_deletion_url,
        "fields": sorted(simulator.world.subscribed_fields_of_app),
    }


def _user(request: web.Request) -> tuple[Simulator, User]:
    simulator = request.app[SIMULATOR]
    return simulator, simulator.world.user(request.match_info["user"])
