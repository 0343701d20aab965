"""A connected Page's settings: cards that are saved one by one, and Pause."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from libs.common.channels import HandoverLanguage
from services.console.channel_settings import SettingRefusedError
from services.console.connecting import ChannelBusyError
from services.console.domain.cards import (
    CARDS,
    SECRET,
    TITLES,
    Card,
    CardChange,
    ChangedMeanwhileError,
    in_words,
)
from services.console.domain.messenger_profile import missing
from services.console.records import ConnectedChannel
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.forms import FORM, Form
from services.console.web.pages import (
    CHANNEL_SETTINGS,
    CHANNELS,
    go_and_say,
    is_htmx,
    moment,
    render,
    show,
)
from services.console.web.settings_forms import FORMS

PATH = "/channels/{channel:[0-9]+}"
BUSY = "Others are changing this Page at this moment. Try again."
LANGUAGES: Mapping[HandoverLanguage, str] = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "pt": "Portuguese",
    "vi": "Vietnamese",
    "th": "Thai",
}


@dataclass(frozen=True)
class Row:
    """One setting of a card that two people have changed, in words."""

    label: str
    stored: str
    typed: str


@dataclass(frozen=True)
class CardView:
    """A card as it is shown."""

    name: Card
    form: Form[Any]
    change: CardChange | None
    rows: tuple[Row, ...] = ()
    saved: str = ""

    @property
    def labels(self) -> Mapping[str, str]:
        """By field."""
        fields = FORMS[self.name].model_fields.items()
        return {name: field.title or "" for name, field in fields}

    def id(self, field: str) -> str:
        """Of a field on the page."""
        return f"{self.name}-{field}"


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", f"{PATH}/settings", show_settings, Access.SIGNED_IN)
    for card in CARDS:
        add_page(app, "POST", f"{PATH}/settings/{card}", partial(save, card), Access.ADMIN)
    add_page(app, "POST", f"{PATH}/settings/profile", write_profile, Access.ADMIN)
    add_page(app, "POST", f"{PATH}/pause", partial(switch, False), Access.ADMIN)
    add_page(app, "POST", f"{PATH}/resume", partial(switch, True), Access.ADMIN)


async def show_settings(request: web.Request) -> web.StreamResponse:
    channel = await _channel(request)
    if not visitor_of(request).is_admin:
        return await show(request, "channel_settings_read.html", **await _read(request, channel))
    return await show(request, "channel_settings.html", **await _context(request, channel))


async def save(card: Card, request: web.Request) -> web.StreamResponse:
    """One card. With htmx only the card is exchanged: what is typed on others stays."""
    channel = await _channel(request)
    form = await Form.read(FORMS[card], request)
    rows: tuple[Row, ...] = ()
    if form.value is not None:
        office, actor = request.app[CHANNEL_SETTINGS].get(), visitor_of(request).actor
        try:
            after = await office.change(
                actor, channel.id, form.value.given(), seen=form.value.version
            )
        except ChangedMeanwhileError as error:
            channel = await _channel(request)
            names = dict(await request.app[CHANNELS].get().assistants(channel.workspace_id))
            rows = _rows(card, form.value.model_dump(), channel, names)
            form.values["version"] = channel.settings_version
            form.fail(FORM, _conflict_words(error.change))
        except SettingRefusedError as error:
            words = str(error)
            form.fail(error.field, f"{words[:1].upper()}{words[1:]}.")
        except ChannelBusyError:
            form.fail(FORM, BUSY)
        else:
            return await _saved(request, card, channel, after)
    elif form.error("version"):
        form.fail(FORM, "This page is out of order. Open it again; nothing was changed.")
    view = CardView(card, form, channel.changed.get(card), rows)
    context = await _context(request, channel, view)
    return render(request, "channel_settings.html", status=422, **context)


async def write_profile(request: web.Request) -> web.StreamResponse:
    """Try again what Facebook has not taken."""
    channel = await _channel(request)
    actor = visitor_of(request).actor
    channel = await request.app[CHANNEL_SETTINGS].get().write_profile(actor, channel.id)
    if is_htmx(request):
        return render(request, "channel_settings.html", **await _context(request, channel))
    is_there = not missing(channel.profile, channel.wish)
    path = f"/channels/{channel.id}/settings#card-greeting"
    words = "Facebook has it now." if is_there else "Facebook did not take it."
    return await go_and_say(request, path, words)


async def switch(enabled: bool, request: web.Request) -> web.StreamResponse:
    channel = await _channel(request)
    office, actor = request.app[CHANNEL_SETTINGS].get(), visitor_of(request).actor
    try:
        await office.switch(actor, channel.id, enabled=enabled)
    except ChannelBusyError:
        words = BUSY
    else:
        words = (
            "The assistant answers again."
            if enabled
            else "The assistant is paused. Messages arrive and are kept; nobody is answered."
        )
    return await go_and_say(request, f"/channels/{channel.id}", words)


# How


async def _channel(request: web.Request) -> ConnectedChannel:
    workspace = visitor_of(request).workspace
    office = request.app[CHANNEL_SETTINGS].get()
    return await office.channel(workspace.id, request.match_info["channel"])


async def _saved(
    request: web.Request, card: Card, before: ConnectedChannel, after: ConnectedChannel
) -> web.StreamResponse:
    words = "Saved." if after.settings_version != before.settings_version else "Nothing to change."
    if is_htmx(request):
        view = _view(after, card, words)
        return render(request, "channel_settings.html", **await _context(request, after, view))
    return await go_and_say(request, f"/channels/{after.id}/settings#card-{card}", words)


async def _context(
    request: web.Request, channel: ConnectedChannel, shown: CardView | None = None
) -> dict[str, Any]:
    """All cards, one of them perhaps with what was typed."""
    views = {card: _view(channel, card) for card in CARDS}
    if shown is not None:
        views[shown.name] = shown
    assistants = await request.app[CHANNELS].get().assistants(channel.workspace_id)
    return {
        "channel": channel,
        "cards": views,
        "assistants": assistants,
        "languages": LANGUAGES,
        "missing": missing(channel.profile, channel.wish),
        "titles": TITLES,
        "has_secret": bool(channel.settings.notification_secret),
    }


async def _read(request: web.Request, channel: ConnectedChannel) -> dict[str, Any]:
    """The same for whoever may not change anything: each setting in words."""
    names = dict(await request.app[CHANNELS].get().assistants(channel.workspace_id))
    rows = {
        card: [
            (FORMS[card].model_fields[field].title or field, _words(field, value, names))
            for field, value in FORMS[card].shown(channel.cards.values).items()
        ]
        for card in CARDS
    }
    absent = missing(channel.profile, channel.wish)
    return {"channel": channel, "cards": rows, "titles": TITLES, "missing": absent}


def _view(channel: ConnectedChannel, card: Card, saved: str = "") -> CardView:
    model = FORMS[card]
    values = model.shown(channel.cards.values)
    form = Form.empty(model, version=channel.settings_version, **values)
    return CardView(card, form, channel.changed.get(card), saved=saved)


def _rows(
    card: Card, typed: Mapping[str, Any], channel: ConnectedChannel, names: Mapping[str, str]
) -> tuple[Row, ...]:
    """What is stored by now, beside what was typed, where the two differ."""
    fields = FORMS[card].model_fields
    pairs = [
        (field, _words(field, stored, names), _words(field, typed[field], names))
        for field, stored in FORMS[card].shown(channel.cards.values).items()
        if field not in SECRET
    ]
    return tuple(
        Row(fields[field].title or field, there, ours)
        for field, there, ours in pairs
        if there != ours
    )


def _words(field: str, value: object, assistants: Mapping[str, str]) -> str:
    """What a field says, for people."""
    if field == "assistant_id":
        return assistants.get(str(value), "none")
    if field == "handover_languages":
        chosen = value if isinstance(value, tuple | list) else ()
        return ", ".join(LANGUAGES[each] for each in chosen) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return in_words(field, value)


def _conflict_words(change: CardChange) -> str:
    return (
        f"{change.by_name} changed this card on {moment(change.at)}, after you opened it. Nothing "
        "of yours is saved yet. Compare, and save again to put yours in the place of theirs."
    )
