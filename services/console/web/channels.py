"""Connected Pages: the list, one of them, disconnecting."""

from aiohttp import web
from pydantic import Field

from services.console.connecting import ChannelBusyError, WrongNameError
from services.console.records import ConnectedChannel
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.forms import FORM, Form, FormModel
from services.console.web.pages import CHANNELS, CONNECTING, go_and_say, render, show


class DisconnectForm(FormModel):
    page_name: str = Field(max_length=200)


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/channels", list_channels, Access.SIGNED_IN)
    add_page(app, "GET", "/channels/{channel:[0-9]+}", show_channel, Access.SIGNED_IN)
    add_page(app, "GET", "/channels/{channel:[0-9]+}/disconnect", confirm, Access.ADMIN)
    add_page(app, "POST", "/channels/{channel:[0-9]+}/disconnect", disconnect, Access.ADMIN)


async def list_channels(request: web.Request) -> web.StreamResponse:
    channels = await request.app[CHANNELS].get().of_workspace(visitor_of(request).workspace.id)
    return await show(request, "channels.html", channels=channels)


async def show_channel(request: web.Request) -> web.StreamResponse:
    channel = await _channel(request)
    assistant = await request.app[CHANNELS].get().assistant_name(channel.assistant_id)
    return await show(request, "channel.html", channel=channel, assistant=assistant)


async def confirm(request: web.Request) -> web.StreamResponse:
    channel = await _channel(request)
    form = Form.empty(DisconnectForm)
    return await show(request, "disconnect_channel.html", channel=channel, form=form)


async def disconnect(request: web.Request) -> web.StreamResponse:
    channel = await _channel(request)
    form = await Form.read(DisconnectForm, request)
    if form.value is not None:
        try:
            is_unsubscribed = await (
                request.app[CONNECTING]
                .get()
                .disconnect(visitor_of(request).actor, channel.id, form.value.page_name)
            )
        except WrongNameError:
            form.fail("page_name", f"Type “{channel.page_name}”, as it stands here.")
        except ChannelBusyError:
            form.fail(FORM, "Somebody else is changing this Page at this moment. Try again.")
        else:
            words = f"“{channel.page_name}” is disconnected."
            if not is_unsubscribed:
                words += " Facebook could not be told; what it still sends is not answered."
            return await go_and_say(request, f"/channels/{channel.id}", words)
    return render(request, "disconnect_channel.html", status=422, channel=channel, form=form)


async def _channel(request: web.Request) -> ConnectedChannel:
    workspace = visitor_of(request).workspace
    return await request.app[CONNECTING].get().channel(workspace.id, request.match_info["channel"])
