"""The login dialog as a browser sees it: plain forms, no script.

First who one is, then what that person gives. Both steps carry the app's own parameters along, so
nothing is kept between them.
"""

from collections.abc import Mapping, Sequence
from html import escape
from string import Template

from aiohttp import web
from yarl import URL

from simulator.control.errors import is_from_another_site
from simulator.core import Simulator
from simulator.state import SIMULATOR
from simulator.world import dialog
from simulator.world.dialog import DialogError, LoginRequest, Offer
from simulator.world.facebook import User

PATHS = ("/dialog/oauth", r"/{version:v\d{1,3}\.\d}/dialog/oauth")
_KEPT = (
    "client_id",
    "redirect_uri",
    "state",
    "response_type",
    "scope",
    "auth_type",
    "config_id",
)
_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>$title – Simulator, not Facebook</title>
  <link rel="icon" type="image/svg+xml" href="/static/icon.svg">
  <link rel="stylesheet" href="/static/dialog.css">
</head>
<body>
  <p class="strip"><strong>Simulator</strong> nothing here reaches Facebook</p>
  <main class="card">
    <h1>$title</h1>
    $content
  </main>
</body>
</html>
""")


def add_routes(app: web.Application) -> None:
    for path in PATHS:
        app.router.add_get(path, show, allow_head=False)
        app.router.add_post(path, answer)


async def show(request: web.Request) -> web.Response:
    """GET: who are you; with `as`, what do you give."""
    simulator = request.app[SIMULATOR]
    try:
        wanted = read(simulator, request.query)
        user = simulator.world.logins.find_user(request.query.get("as", ""))
        if user is None:
            return _who(simulator, wanted, request)
        if _is_refused_silently(simulator, wanted, user):
            return _leave(dialog.refuse(wanted))
        check_may_log_in(simulator, user)
        return _what(simulator, wanted, user, request)
    except DialogError as error:
        return _failed(error)


async def answer(request: web.Request) -> web.Response:
    """POST: Continue or Cancel; either leads back to the app."""
    simulator = request.app[SIMULATOR]
    form = await request.post()
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        if is_from_another_site(request):
            raise DialogError("Not from here", "Only the dialog's own page may answer it.")
        wanted = read(simulator, fields)
        if fields.get("answer") != "continue":
            return _leave(dialog.refuse(wanted))
        user = simulator.world.logins.find_user(fields.get("as", ""))
        if user is None:
            raise DialogError("Nobody chosen", "Go back and choose who you are.")
        granted = [value for value in form.getall("permission", []) if isinstance(value, str)]
        pages = [value for value in form.getall("page", []) if isinstance(value, str)]
        return _leave(give(simulator, wanted, user, granted, pages))
    except DialogError as error:
        return _failed(error)


def read(simulator: Simulator, query: Mapping[str, str]) -> LoginRequest:
    return dialog.read_request(simulator.world.logins.app, simulator.app_id, query)


def check_may_log_in(simulator: Simulator, user: User) -> None:
    if not simulator.world.logins.may_log_in(user):
        raise DialogError(
            "App not active",
            f"This app is in development mode, and {user.name} has no role on it.",
        )


def give(
    simulator: Simulator,
    wanted: LoginRequest,
    user: User,
    granted: Sequence[str] | None,
    pages: Sequence[str] | None,
) -> str:
    """Continue as this user; None gives all that is offered. The address to go to.

    Raises:
        DialogError: the app is not there for this user.
    """
    if _is_refused_silently(simulator, wanted, user):
        return dialog.refuse(wanted)
    check_may_log_in(simulator, user)
    shown = offer(simulator, wanted, user)
    if granted is None:
        granted = [each.name for each in shown.permissions]
    if pages is None:
        pages = [each.page.id for each in shown.pages]
    now = simulator.now()
    return dialog.accept(simulator.world.logins, user, wanted, shown, granted, pages, now)


def _is_refused_silently(simulator: Simulator, wanted: LoginRequest, user: User) -> bool:
    """Login for Business sends people back as if they had cancelled, and does not say why."""
    return wanted.all_or_nothing and not simulator.world.logins.may_log_in(user)


def offer(simulator: Simulator, wanted: LoginRequest, user: User) -> Offer:
    return dialog.offer(simulator.world.logins, user, wanted, simulator.world.pages_of(user))


def _who(simulator: Simulator, wanted: LoginRequest, request: web.Request) -> web.Response:
    people = "".join(
        f'<button class="person" name="as" value="{user.id}">'
        f'<span class="face" aria-hidden="true">{escape(_initials(user.name))}</span>'
        f"<span><strong>{escape(user.name)}</strong>"
        f"<small>{escape(_standing(simulator, user))}</small></span></button>"
        for user in simulator.world.logins.users
    )
    app = escape(simulator.world.logins.app.name)
    content = (
        f"<p>Log in to <strong>{app}</strong> as one of the people of this simulated Facebook.</p>"
        f'<form method="get" class="people">{_hidden(request.query)}{people}</form>'
        f'<form method="post" action="{escape(request.path)}" class="buttons">'
        f"{_hidden(request.query)}"
        '<button name="answer" value="cancel">Cancel</button></form>'
    )
    return _page("Who are you?", content, wanted)


def _what(
    simulator: Simulator, wanted: LoginRequest, user: User, request: web.Request
) -> web.Response:
    shown = offer(simulator, wanted, user)
    permissions = "".join(
        '<label class="row">'
        f'<input type="checkbox" name="permission" value="{each.name}" checked'
        f"{' disabled' if each.is_fixed else ''}>"
        f"<span><strong>{escape(each.meaning)}</strong><small>{each.name}"
        f"{' · always given' if each.is_fixed else ''}</small></span></label>"
        for each in shown.permissions
    )
    again = escape(str(URL(request.path).with_query(_kept(request.query))))
    content = (
        f"<p><strong>{escape(simulator.world.logins.app.name)}</strong> asks {escape(user.name)} "
        f'for the following. <a href="{again}">Not {escape(user.name.split()[0])}?</a></p>'
        f'<form method="post" action="{escape(request.path)}">{_hidden(request.query)}'
        f'<input type="hidden" name="as" value="{user.id}">'
        f"<fieldset><legend>What the app may do</legend>{permissions}</fieldset>"
        f"{_pages(shown, user) if shown.asks_for_pages else ''}"
        '<div class="buttons"><button name="answer" value="cancel">Cancel</button>'
        '<button class="main" name="answer" value="continue">Continue as '
        f"{escape(user.name.split()[0])}</button></div></form>"
    )
    return _page("Log in with Facebook", content, wanted)


def _pages(shown: Offer, user: User) -> str:
    rows = "".join(
        '<label class="row">'
        f'<input type="checkbox" name="page" value="{each.page.id}"'
        f"{' checked' if each.is_ticked else ''}{'' if each.can_be_chosen else ' disabled'}>"
        f'<img src="/avatars/{each.page.id}.svg" alt="" width="36" height="36">'
        f"<span><strong>{escape(each.page.name)}</strong><small>{escape(each.role)}"
        f"{'' if each.can_be_chosen else ' · not published'}</small></span></label>"
        for each in shown.pages
    )
    none = f'<p class="none">{escape(user.name)} has no role on any Page.</p>'
    return f"<fieldset><legend>For which Pages</legend>{rows or none}</fieldset>"


def _standing(simulator: Simulator, user: User) -> str:
    pages = simulator.world.pages_of(user)
    roles = [f"{user.roles[page.id]} of {page.name}" for page in pages[:3]]
    more = [f"{len(pages) - 3} more"] if len(pages) > 3 else []
    app = [f"{user.app_role} of the app"] if user.app_role != "none" else []
    return ", ".join([*app, *roles, *more]) or "no Page, no role on the app"


def _initials(name: str) -> str:
    return "".join(word[0] for word in name.split()[:2]).upper()


def _kept(query: Mapping[str, str]) -> dict[str, str]:
    return {name: query[name] for name in _KEPT if name in query}


def _hidden(query: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">'
        for name, value in _kept(query).items()
    )


def _page(title: str, content: str, wanted: LoginRequest | None, status: int = 200) -> web.Response:
    text = _PAGE.substitute(title=escape(title), content=content)
    # a browser follows the answer's redirect only to where the form may be sent
    back = f" {URL(wanted.redirect_uri).origin()}" if wanted is not None else ""
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; "
        f"base-uri 'none'; form-action 'self'{back}"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # with no-referrer the form's Origin would be null
        "Cache-Control": "no-store",
    }
    return web.Response(text=text, content_type="text/html", status=status, headers=headers)


def _failed(error: DialogError) -> web.Response:
    return _page(error.title, f'<p class="none">{escape(error.text)}</p>', None, 400)


def _leave(address: str) -> web.Response:
    headers = {"Location": address, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=302, headers=headers)
