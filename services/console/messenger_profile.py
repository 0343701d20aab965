"""Greeting and Get Started at Facebook: written as the settings want them, and what came of it.

The settings are stored first, and say what is wanted; what Facebook answered stands beside them. So
a write that fails loses nothing: it can be tried again, and the regular look does so by itself. Of
two who write at the same moment, whoever was late notices it and writes what is wanted now.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from libs.common.crypto import DecryptionError, KeyRing
from libs.common.errors import ProjectError
from libs.common.graph import (
    ConnectingClient,
    GetStarted,
    Greeting,
    MessengerProfile,
    OutcomeUnknownError,
    UnsureError,
)
from services.console.audit import Clock
from services.console.channels_store import ChannelStore
from services.console.connecting import news_of
from services.console.domain.cards import Author, changed, document_changes
from services.console.domain.messenger_profile import (
    PARTS,
    Outcome,
    Part,
    Plan,
    ProfileAnswer,
    Wish,
    adopted,
    missing,
    plan,
)
from services.console.facebook_words import FACEBOOK_ERRORS
from services.console.profile_words import code_of, profile_words
from services.console.records import ConnectedChannel

ATTEMPTS = 4  # when others change the same settings meanwhile
FROM_FACEBOOK = "Facebook"
SETTINGS_OF = {"greeting": "greeting", "get_started": "get_started_payload"}

log = structlog.get_logger(__name__)


class Profiles:
    """A worker, too: it looks after Pages that have just been connected."""

    def __init__(
        self,
        channels: ChannelStore,
        meta: ConnectingClient,
        keys: KeyRing,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        """`wake`: there are news to be told."""
        self._channels = channels
        self._meta = meta
        self._keys = keys
        self._clock = clock
        self._wake = wake
        self._connected: asyncio.Queue[str | None] = asyncio.Queue()

    def look_after(self, page_id: str) -> None:
        """Soon, and not while anybody waits. What a crash loses here, the regular look finds."""
        self._connected.put_nowait(page_id)

    async def run(self) -> None:
        while (page_id := await self._connected.get()) is not None:
            try:
                channel = await self._channels.channel(page_id)
                if channel is not None:
                    await self.settle(channel)
            except ProjectError as error:
                log.warning("profile_not_settled", page_id=page_id, error=type(error).__name__)

    async def stop(self, drain_timeout_s: float) -> None:
        del drain_timeout_s
        self._connected.put_nowait(None)

    async def write(self, page_id: str, *, all_of_it: bool = False) -> None:
        """Make Facebook's profile what the settings want, and note what came of it.

        Args:
            all_of_it: also what Facebook seems to have already.
        """
        for _ in range(ATTEMPTS):
            channel = await self._channels.channel(page_id)
            if channel is None:
                return
            wanted = plan(channel.profile, channel.wish, all_of_it=all_of_it)
            if wanted.is_empty and channel.profile and channel.profile.outcome == "written":
                return
            answer = await self._write(channel, wanted)
            if await self._channels.note_profile(channel, answer):
                return
            all_of_it = True  # ours may have come last, and over what is noted by now

    async def settle(self, channel: ConnectedChannel) -> None:
        """Take over what a new Page brings along, and mend what could not be written."""
        if channel.status != "active" or channel.connection is None:
            return
        if channel.profile is None and "greeting" not in channel.changed:
            await self._adopt(channel)
        elif missing(channel.profile, channel.wish):
            await self.write(channel.id)

    # How

    async def _adopt(self, channel: ConnectedChannel) -> None:
        """What nobody has chosen here is taken from Facebook, and what is missing there written."""
        try:
            found = await self._found(channel.id, self._token(channel))
        except (*FACEBOOK_ERRORS, DecryptionError) as error:
            log.warning("profile_not_read", page_id=channel.id, error=type(error).__name__)
            return
        now = self._clock()
        taken = {SETTINGS_OF[part]: text for part, text in adopted(found, channel.wish).items()}
        answer = ProfileAnswer(at=now, outcome="written", **found)
        changes: dict[str, Any] = {"profile": answer.model_dump()}
        if taken:
            before = channel.cards
            author = Author("", FROM_FACEBOOK, now)
            after = changed(before, taken, seen=None, author=author)
            changes |= document_changes(before, after)
            changes["news"] = news_of("channel.updated", channel.id, now).model_dump()
        if not await self._channels.change_settings(channel, changes):
            return  # somebody chooses at this moment: theirs counts, and is written by them
        if taken:
            self._wake()
        if missing(answer, Wish(**{part: found[part] or channel.wish.of(part) for part in PARTS})):
            await self.write(channel.id)

    async def _write(self, channel: ConnectedChannel, wanted: Plan) -> ProfileAnswer:
        known: dict[Part, str | None] = {
            part: channel.profile.has(part) if channel.profile else None for part in PARTS
        }
        outcome, words, code = await self._carry_out(channel, wanted, known)
        return ProfileAnswer(at=self._clock(), outcome=outcome, words=words, code=code, **known)

    async def _carry_out(
        self, channel: ConnectedChannel, wanted: Plan, known: dict[Part, str | None]
    ) -> tuple[Outcome, str, str | None]:
        """Write and remove; `known` becomes what Facebook has by then."""
        if channel.status != "active":
            return "refused", "The Page is not connected. It is written when it is again.", None
        wish = channel.wish
        try:
            token = self._token(channel)
            if wanted.write:
                await self._meta.set_messenger_profile(channel.id, token, _body(wanted.write, wish))
                known |= {part: wish.of(part) for part in wanted.write}
            if wanted.remove:
                await self._meta.delete_messenger_profile(channel.id, token, wanted.remove)
                known |= dict.fromkeys(wanted.remove, "")
        except DecryptionError:
            return "refused", "The stored token can't be read. Reconnect the Page.", None
        except (UnsureError, OutcomeUnknownError) as error:
            self._note(channel, error)
            return await self._find_out(channel, known, error)
        except FACEBOOK_ERRORS as error:
            self._note(channel, error)
            return "refused", profile_words(error), code_of(error)
        return "written", "", None

    async def _find_out(
        self, channel: ConnectedChannel, known: dict[Part, str | None], failure: Exception
    ) -> tuple[Outcome, str, str | None]:
        """What became of a write whose answer didn't arrive: Facebook shows what it has."""
        try:
            found = await self._found(channel.id, self._token(channel))
        except FACEBOOK_ERRORS:
            known |= dict.fromkeys(PARTS)
            return "unknown", profile_words(failure), code_of(failure)
        known |= found
        if all(found[part] == channel.wish.of(part) for part in PARTS):
            return "written", "", None
        return "refused", profile_words(failure), code_of(failure)

    async def _found(self, page_id: str, token: str) -> dict[Part, str]:
        """What Facebook has; empty: nothing. Of a greeting in several languages the default."""
        profile = await self._meta.messenger_profile(page_id, token, PARTS)
        texts = {each.locale: each.text for each in profile.greeting or ()}
        return {
            "greeting": texts.get("default", ""),
            "get_started": profile.get_started.payload if profile.get_started else "",
        }

    def _token(self, channel: ConnectedChannel) -> str:
        return self._keys.decrypt(channel.token, context=channel.id)

    @staticmethod
    def _note(channel: ConnectedChannel, error: Exception) -> None:
        log.warning(
            "profile_not_written",
            page_id=channel.id,
            error=type(error).__name__,
            code=code_of(error),
        )


def _body(parts: tuple[Part, ...], wish: Wish) -> MessengerProfile:
    return MessengerProfile(
        greeting=(Greeting(text=wish.greeting),) if "greeting" in parts else None,
        get_started=GetStarted(payload=wish.get_started) if "get_started" in parts else None,
    )
