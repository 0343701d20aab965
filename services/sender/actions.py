"""Seen and typing: shown now or never, and never in the way of a message."""

import asyncio
from datetime import timedelta

from prometheus_client import Counter

from libs.common.events import SendAction, SenderAction
from libs.common.metrics import from_zero
from services.sender.desk import Desk
from services.sender.lessons import learn
from services.sender.meta import CallFailedError

ACTIONS = from_zero(
    Counter(
        "assistant_sender_actions_total",
        "Signs (seen, typing), by what became of them.",
        ["outcome"],
    ),
    ["shown", "stale", "channel_off", "busy", "failed"],
)


class ActionShower:
    """Shows actions in their order, without a claim, without a record and without a second try."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._max_age = timedelta(seconds=desk.settings.action_max_age_s)

    async def show(self, command: SendAction, *, text_follows: bool) -> None:
        """Show what is still true. With a text right behind it, typing would only delay that."""
        for action in command.actions:
            if not (text_follows and action.startswith("typing")):
                ACTIONS.labels(await self._show(command, action)).inc()

    async def _show(self, command: SendAction, action: SenderAction) -> str:
        if self._desk.now() - command.occurred_at > self._max_age:
            return "stale"
        channel = await self._desk.channels.channel(command.page_id)
        if channel is None or not channel.enabled or channel.status != "active":
            return "channel_off"
        with self._desk.pages[command.page_id].turn_now() as call:
            if call is None:
                return "busy"
            await call.room()
            try:
                with call:
                    async with asyncio.timeout(self._desk.settings.action_timeout_s):
                        await self._desk.meta.act(channel, command.psid, action)
            except CallFailedError as error:
                await learn(self._desk, command.page_id, error.outcome)
                return "failed"
            except Exception:  # whatever it is, the next message matters more
                return "failed"
        return "shown"
