"""`/api/v1`: a Page's settings, Pause and Resume, and its profile at Facebook."""

from services.console.api.channel_settings_schemas import SettingsChange, SettingsShown
from services.console.api.operations import NOT_FOUND, Call, Operation, Refusal
from services.console.domain.tokens import Scope
from services.console.web.pages import CHANNEL_SETTINGS

CHANGED_MEANWHILE = Refusal(
    409, "changed_meanwhile", "Somebody else has changed the same card since `version`."
)
BUSY = Refusal(409, "try_again", "Others are changing this Page at this moment.")
REFUSED = Refusal(
    422, "setting_refused", "There is no such assistant, or the address can't be used; see `field`."
)


async def show_settings(call: Call) -> SettingsShown:
    office = call.request.app[CHANNEL_SETTINGS].get()
    return SettingsShown.of(await office.channel(call.workspace_id, call.path["channel"]))


async def change_settings(call: Call) -> SettingsShown:
    change: SettingsChange = call.body
    office = call.request.app[CHANNEL_SETTINGS].get()
    return SettingsShown.of(
        await office.change(
            call.caller.actor, call.path["channel"], change.given(), seen=change.version
        )
    )


async def pause(call: Call) -> SettingsShown:
    return await _switch(call, enabled=False)


async def resume(call: Call) -> SettingsShown:
    return await _switch(call, enabled=True)


async def write_profile(call: Call) -> SettingsShown:
    office = call.request.app[CHANNEL_SETTINGS].get()
    return SettingsShown.of(await office.write_profile(call.caller.actor, call.path["channel"]))


async def _switch(call: Call, *, enabled: bool) -> SettingsShown:
    office = call.request.app[CHANNEL_SETTINGS].get()
    return SettingsShown.of(
        await office.switch(call.caller.actor, call.path["channel"], enabled=enabled)
    )


SETTINGS_OPERATIONS = (
    Operation(
        "GET",
        "/channels/{channel}/settings",
        "getChannelSettings",
        "Show a Page's settings, and what Facebook has of its greeting",
        "Pages",
        Scope.CHANNELS_READ,
        show_settings,
        SettingsShown,
        refusals=(NOT_FOUND,),
    ),
    Operation(
        "PATCH",
        "/channels/{channel}/settings",
        "changeChannelSettings",
        "Change some of a Page's settings; greeting and Get Started are written to Facebook",
        "Pages",
        Scope.CHANNELS_WRITE,
        change_settings,
        SettingsShown,
        body=SettingsChange,
        refusals=(NOT_FOUND, CHANGED_MEANWHILE, BUSY, REFUSED),
    ),
    Operation(
        "POST",
        "/channels/{channel}/pause",
        "pauseChannel",
        "Pause the assistant on a Page: messages are kept, nobody is answered",
        "Pages",
        Scope.CHANNELS_WRITE,
        pause,
        SettingsShown,
        refusals=(NOT_FOUND, BUSY),
    ),
    Operation(
        "POST",
        "/channels/{channel}/resume",
        "resumeChannel",
        "Let the assistant answer again on a Page",
        "Pages",
        Scope.CHANNELS_WRITE,
        resume,
        SettingsShown,
        refusals=(NOT_FOUND, BUSY),
    ),
    Operation(
        "POST",
        "/channels/{channel}/messenger-profile",
        "writeMessengerProfile",
        "Write greeting and Get Started to Facebook once more; the answer says what came of it",
        "Pages",
        Scope.CHANNELS_WRITE,
        write_profile,
        SettingsShown,
        refusals=(NOT_FOUND,),
    ),
)
