"""Whether connected Pages still are: looked after every 15 minutes, and when somebody says no.

Only Pages that were connected in the console are looked after: the token of others is not ours to
judge. What another service has heard is not just believed, since it may be about the token before
the last reconnect: Facebook is asked about the one that is stored.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Literal, get_args

import structlog
from prometheus_client import Counter

from libs.common.channels import ChannelStatus
from libs.common.crypto import DecryptionError, KeyRing
from libs.common.errors import ProjectError
from libs.common.graph import ConnectingClient, TokenRejectedError
from libs.common.metrics import from_zero
from services.console.audit import Clock
from services.console.channels_store import ChannelStore
from services.console.connecting import news_of
from services.console.domain.connection import lost_status
from services.console.domain.facebook_login import FIELDS
from services.console.domain.token_check import TokenState, is_due, missing_fields, token_cause
from services.console.facebook_words import FACEBOOK_ERRORS
from services.console.records import ConnectedChannel

LOOK_EVERY_S = 30.0

Outcome = Literal["good", "lost", "restored", "subscribed_again", "not_subscribed", "unclear"]
CHECKS = from_zero(
    Counter(
        "assistant_console_channel_checks_total",
        "Looks at connected Pages, by what came of them.",
        ["outcome"],
    ),
    get_args(Outcome),
)

log = structlog.get_logger(__name__)


class NotSubscribedError(Exception):
    """Facebook tells the app nothing of a Page, and gave no leave to change that."""


class ChannelChecks:
    """A worker: looks at every Page in turn."""

    def __init__(
        self,
        channels: ChannelStore,
        meta: ConnectingClient,
        keys: KeyRing,
        app_id: str,
        clock: Clock,
        wake: Callable[[], None],
        settle: Callable[[ConnectedChannel], Awaitable[None]],
    ) -> None:
        """`wake`: there are news to be told. `settle`: what else a good Page may need."""
        self._channels = channels
        self._meta = meta
        self._keys = keys
        self._app_id = app_id
        self._clock = clock
        self._wake = wake
        self._settle = settle
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.check_due()
            except ProjectError as error:
                log.warning("channels_not_checked", error=type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), LOOK_EVERY_S)

    async def stop(self, drain_timeout_s: float) -> None:
        del drain_timeout_s  # a look that is cut off is taken again
        self._stopping.set()

    async def check_due(self) -> None:
        """Every channel whose last look is long enough ago; of several replicas one takes it."""
        for channel in await self._channels.looked_after():
            now = self._clock()
            if channel.connection is None or self._stopping.is_set():
                continue
            if not is_due(channel.checked_at, channel.connection.at, now):
                continue
            if await self._channels.note_check(channel, now):
                await self.check(channel)

    async def check_page(self, page_id: str, heard_cause: str | None = None) -> None:
        """Somebody met a refusal of this Page's token, and calls it `heard_cause`."""
        channel = await self._channels.channel(page_id)
        if channel is not None and channel.connection is not None:
            await self.check(channel, heard_cause)

    async def check_user(self, facebook_user_id: str) -> None:
        """Somebody removed the app at Facebook: every Page they connected."""
        for channel in await self._channels.looked_after():
            if channel.connection and channel.connection.facebook_user_id == facebook_user_id:
                await self.check(channel, "deauthorized")

    async def check(self, channel: ConnectedChannel, heard_cause: str | None = None) -> Outcome:
        """Token, permissions, subscription. What can't be found out now changes nothing."""
        if channel.status == "disconnected":
            return "good"
        outcome = await self._look(channel, heard_cause)
        CHECKS.labels(outcome).inc()
        return outcome

    async def _look(self, channel: ConnectedChannel, heard_cause: str | None) -> Outcome:
        try:
            token = self._keys.decrypt(channel.token, context=channel.id)
        except DecryptionError:
            return await self._lose(channel, "unreadable")
        try:
            info = await self._meta.debug_token(token)
        except FACEBOOK_ERRORS as error:
            return self._unclear(channel, error)
        cause = token_cause(
            TokenState(
                info.is_valid,
                info.error.subcode if info.error else None,
                info.expires_at,
                info.scopes,
            ),
            self._clock(),
        )
        if cause is not None:
            is_vague = cause == "unknown" and heard_cause is not None
            return await self._lose(channel, heard_cause or cause if is_vague else cause)
        try:
            has_subscribed = await self._keep_subscribed(channel, token)
        except TokenRejectedError as error:
            log.warning("channel_check_contradicts", page_id=channel.id, code=error.code_)
            return "unclear"
        except NotSubscribedError:
            return "not_subscribed"
        except FACEBOOK_ERRORS as error:
            return self._unclear(channel, error)
        if channel.status != "active":
            await self._change(channel, "active", None)
            return "restored"
        await self._settle(channel)
        return "subscribed_again" if has_subscribed else "good"

    async def _keep_subscribed(self, channel: ConnectedChannel, token: str) -> bool:
        """Subscribe again what Facebook has dropped; whether that was needed.

        Raises:
            NotSubscribedError: it was, and Facebook let us not.
        """
        apps = await self._meta.subscribed_apps(channel.id, token)
        heard = {field for app in apps if app.id == self._app_id for field in app.subscribed_fields}
        missing = missing_fields(heard)
        if not missing:
            return False
        now = await self._channels.channel(channel.id)
        if now is None or now.token != channel.token:
            return False  # somebody is connecting or disconnecting it: theirs counts
        try:
            await self._meta.subscribe_page(channel.id, token, FIELDS)
        except FACEBOOK_ERRORS as error:
            log.error("channel_not_subscribed", page_id=channel.id, error=type(error).__name__)
            raise NotSubscribedError from None
        log.warning("channel_subscribed_again", page_id=channel.id, missing=list(missing))
        return True

    async def _lose(self, channel: ConnectedChannel, cause: str) -> Outcome:
        status = lost_status(cause)
        if status is None or (channel.status, channel.cause) == (status, cause):
            return "lost"
        await self._change(channel, status, cause)
        return "lost"

    async def _change(
        self, channel: ConnectedChannel, status: ChannelStatus, cause: str | None
    ) -> None:
        now = self._clock()
        changes: dict[str, Any] = {
            "status": status,
            "cause": cause,
            "news": news_of("channel.updated", channel.id, now).model_dump(),
        }
        if status != channel.status:
            changes["status_since"] = now
        if await self._channels.change(channel, changes):
            log.warning("channel_status", page_id=channel.id, state=status, cause=cause)
            self._wake()

    def _unclear(self, channel: ConnectedChannel, error: Exception) -> Outcome:
        log.warning("channel_check_unclear", page_id=channel.id, error=type(error).__name__)
        return "unclear"
