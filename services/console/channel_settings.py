"""A Page's settings: changed card by card, noted in the audit log, told to other services.

One write holds the change, who made it and the news of it. It is compared with the version that was
read, so that of two changes at the same moment neither is lost.
"""

from collections.abc import Callable, Mapping
from typing import Any

from libs.common.crypto import KeyRing
from libs.common.errors import PermanentError
from libs.common.outbound import Problem, problem_of
from services.console.audit import Actor, AuditLog, Clock
from services.console.channels_store import ChannelStore
from services.console.connecting import ChannelBusyError, news_of
from services.console.domain.cards import (
    CARD_OF,
    Author,
    changed,
    differing,
    document_changes,
    told,
)
from services.console.messenger_profile import Profiles
from services.console.records import ConnectedChannel

ATTEMPTS = 6  # at one write, when others change the same Page

_ADDRESS_WORDS: Mapping[Problem, str] = {
    "unreadable": "enter a whole address, such as https://hooks.example.com/…",
    "not_http": "enter a whole address, such as https://hooks.example.com/…",
    "has_credentials": "enter the address without a user name and password",
    "not_https": "the address has to begin with https://",
    "address_not_public": "the address has to be a public one",
}


class SettingRefusedError(PermanentError):
    """A setting that can't be used; `field` names it."""

    code = "setting_refused"

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.field = field


class ChannelSettingsOffice:
    """Settings of all workspaces' Pages."""

    def __init__(
        self,
        channels: ChannelStore,
        audit: AuditLog,
        keys: KeyRing,
        profiles: Profiles,
        clock: Clock,
        wake: Callable[[], None],
        *,
        is_production: bool,
    ) -> None:
        """`wake`: there are news to be told."""
        self._channels = channels
        self._audit = audit
        self._keys = keys
        self._profiles = profiles
        self._clock = clock
        self._wake = wake
        self._is_production = is_production

    async def channel(self, workspace_id: str, page_id: str) -> ConnectedChannel:
        """Raises: UnknownChannelError: not in this workspace."""
        return await self._channels.in_workspace(workspace_id, page_id)

    async def change(
        self, actor: Actor, page_id: str, given: Mapping[str, Any], *, seen: int | None = None
    ) -> ConnectedChannel:
        """Set what is given, and leave the rest; greeting and Get Started go to Facebook as well.

        Args:
            given: by name, as `domain.cards` lists them; the notification's secret in the clear.
            seen: the version of the settings that the actor has looked at; None: any.

        Returns: the channel as it is now; what Facebook said is in its `profile`.

        Raises:
            UnknownChannelError: not in this workspace.
            SettingRefusedError: an address or an assistant can't be used.
            ChangedMeanwhileError: somebody has changed the same card after `seen`.
            ChannelBusyError: others change it all the time.
        """
        channel = await self.channel(actor.workspace_id, page_id)
        new = differing(channel.cards.values, given)
        if not new:
            return channel
        await self._check(actor.workspace_id, new)
        async with self._audit.doing(
            actor,
            _action(new),
            target=channel.page_name,
            target_id=page_id,
            **told(channel.cards.values, new),
        ):
            await self._change(actor, page_id, self._sealed(page_id, new), seen)
            if "assistant_id" in new:
                await self._keep_answered(actor, channel, new)
        self._wake()
        if any(CARD_OF[name] == "greeting" for name in new):
            await self._profiles.write(page_id)
        return await self.channel(actor.workspace_id, page_id)

    async def switch(self, actor: Actor, page_id: str, *, enabled: bool) -> ConnectedChannel:
        """Pause the assistant on a Page, or let it go on. Messages are kept either way.

        Raises:
            UnknownChannelError: not in this workspace.
            ChannelBusyError: others change it all the time.
        """
        return await self.change(actor, page_id, {"enabled": enabled})

    async def write_profile(self, actor: Actor, page_id: str) -> ConnectedChannel:
        """Write greeting and Get Started to Facebook once more, all of it.

        Raises: UnknownChannelError: not in this workspace.
        """
        channel = await self.channel(actor.workspace_id, page_id)
        async with self._audit.doing(
            actor, "channel.profile_written", target=channel.page_name, target_id=page_id
        ):
            await self._profiles.write(page_id, all_of_it=True)
        return await self.channel(actor.workspace_id, page_id)

    # How

    async def _check(self, workspace_id: str, new: Mapping[str, Any]) -> None:
        if url := new.get("notification_url"):
            problem = problem_of(url, is_production=self._is_production)
            if problem is not None:
                raise SettingRefusedError("notification_url", _ADDRESS_WORDS[problem])
        if (wanted := new.get("assistant_id")) is not None:
            await self._check_assistant(workspace_id, wanted)

    async def _check_assistant(self, workspace_id: str, assistant_id: str) -> None:
        known = {each for each, _ in await self._channels.assistants(workspace_id)}
        if assistant_id not in known:
            raise SettingRefusedError("assistant_id", "choose one of the workspace's assistants")

    async def _keep_answered(
        self, actor: Actor, before: ConnectedChannel, new: Mapping[str, Any]
    ) -> None:
        """Take the change back if its assistant was deleted between our look and our write.

        Whoever deletes looks at the Pages afterwards, and we at the assistants: one of us notices.
        """
        try:
            await self._check_assistant(actor.workspace_id, new["assistant_id"])
        except SettingRefusedError:
            values = before.cards.values
            await self._change(actor, before.id, {name: values[name] for name in new}, None)
            self._wake()
            raise

    def _sealed(self, page_id: str, new: Mapping[str, Any]) -> dict[str, Any]:
        secret = new.get("notification_secret")
        if not secret:
            return dict(new)
        return {**new, "notification_secret": self._keys.encrypt(secret, context=page_id)}

    async def _change(
        self, actor: Actor, page_id: str, new: Mapping[str, Any], seen: int | None
    ) -> None:
        for _ in range(ATTEMPTS):
            channel = await self.channel(actor.workspace_id, page_id)
            now = self._clock()
            author = Author(actor.account_id, actor.shown_name, now)
            before = channel.cards
            after = changed(before, new, seen=seen, author=author)
            if after is before:
                return
            changes = document_changes(before, after)
            if "enabled" in changes:
                changes["switched"] = after.changed["assistant"].model_dump()
            changes["news"] = news_of("channel.updated", page_id, now).model_dump()
            if await self._channels.change_settings(channel, changes):
                return
        raise ChannelBusyError("others are changing this Page at this moment: try again")


def _action(new: Mapping[str, Any]) -> str:
    if set(new) == {"enabled"}:
        return "channel.resumed" if new["enabled"] else "channel.paused"
    return "channel.settings_changed"
