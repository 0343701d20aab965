"""The lines of one Page."""

from collections.abc import Callable
from datetime import datetime

from libs.common.crypto import DecryptionError, KeyRing
from libs.common.graph import ConnectingClient, TokenInfo
from services.console.doctor.asking import NO_ANSWER, Asking, Refusals
from services.console.doctor.domain import pages as rules
from services.console.doctor.domain.findings import (
    Found,
    Line,
    Verdict,
    failed,
    ok,
    unknown,
    unknown_because,
)
from services.console.doctor.domain.meta import recent_refusal
from services.console.doctor.domain.system import MODEL, not_asked
from services.console.doctor.examining import MODEL_DEADLINE_S, Check, Once, Sparing
from services.console.doctor.meta import APP
from services.console.domain.token_check import TokenState, token_cause
from services.console.facebook_words import FACEBOOK_ERRORS, facebook_words
from services.console.records import ConnectedChannel

PROFILE_KEPT_S = 120.0  # Meta allows a Page ten such calls in ten minutes
SENDER, CONVERSATION, TAKEOVER = "service.sender", "service.conversation", "service.takeover"


class PageLines:
    """One connected Page."""

    def __init__(
        self,
        channel: ConnectedChannel,
        client: ConnectingClient,
        keys: KeyRing,
        app_id: str,
        asking: Asking,
        refusals: Once[Refusals],
        sparing: Sparing,
        now: Callable[[], datetime],
    ) -> None:
        self._channel = channel
        self._client = client
        self._keys = keys
        self._app_id = app_id
        self._asking = asking
        self._refusals = refusals
        self._sparing = sparing
        self._now = now
        self._token = ""
        self._info: TokenInfo | None = None
        self._traffic = Once(lambda: asking.traffic(channel.id))

    def checks(self) -> list[Check]:
        if self._channel.status == "disconnected":
            return [Check(self._line("connected", "Connection"), self._disconnected)]
        stored, token = self._id("stored"), self._id("token")
        line = self._line
        return [
            Check(line("enabled", "Switched on"), self._enabled),
            Check(line("stored", "Stored token"), self._stored),
            Check(line("token", "Token at Facebook", stored, APP), self._valid),
            Check(line("permissions", "Permissions", token), self._scopes),
            Check(line("expiry", "Until when", token), self._expiry),
            Check(line("subscribed", "Subscription", token), self._subscribed),
            Check(line("standing", "Standing", token), self._standing),
            Check(line("profile", "Messenger profile", token), self._profile),
            Check(line("human_agent", "People after 24 hours", TAKEOVER), self._human_agent),
            Check(line("held", "Held messages", SENDER), self._held),
            Check(
                line("model", "Its model", CONVERSATION),
                self._model,
                after=(MODEL,),
                deadline_s=MODEL_DEADLINE_S,
            ),
            *self.live_checks(),
        ]

    def live_checks(self) -> list[Check]:
        """What changes while somebody watches."""
        if self._channel.status == "disconnected":
            return []
        return [
            Check(self._live("message", "Last message in"), self._message),
            Check(self._live("reply", "Last reply out"), self._reply),
            Check(self._live("echo", "Its echo"), self._echo),
            Check(self._live("receipt", "Delivery receipt"), self._receipt),
        ]

    async def _disconnected(self, _found: Found) -> Verdict:
        return ok("Disconnected here. Settings and history are kept.")

    async def _enabled(self, _found: Found) -> Verdict:
        if self._channel.enabled:
            return ok("Messenger is switched on for this Page.")
        return failed(
            "Messenger is switched off for this Page: nobody is answered.",
            "Switch it on in the Page's settings.",
        )

    async def _stored(self, _found: Found) -> Verdict:
        try:
            self._token = self._keys.decrypt(self._channel.token, context=self._channel.id)
        except DecryptionError:
            return failed(
                "No key opens the stored token.",
                "Put the key that was used back into ENCRYPTION_KEYS (old keys stay behind the "
                "new one), or press Reconnect.",
            )
        return ok("Can be decrypted.")

    async def _valid(self, _found: Found) -> Verdict:
        try:
            info = await self._client.debug_token(self._token)
        except FACEBOOK_ERRORS as error:
            return unknown(facebook_words(error))
        self._info = info
        state = TokenState(
            info.is_valid,
            info.error.subcode if info.error else None,
            info.expires_at,
            info.scopes,
        )
        return rules.judge_token(
            cause=token_cause(state, self._now()),
            owner_ids=(info.app_id, info.profile_id),
            app_id=self._app_id,
            page_id=self._channel.id,
        )

    async def _scopes(self, _found: Found) -> Verdict:
        if self._info is None:
            return _NOT_TOLD
        elsewhere = [
            each
            for each in rules.NEEDED
            if (pages := self._info.pages_of(each)) is not None and self._channel.id not in pages
        ]
        return rules.judge_scopes(self._info.scopes, elsewhere)

    async def _expiry(self, _found: Found) -> Verdict:
        if self._info is None:
            return _NOT_TOLD
        info = self._info
        return rules.judge_expiry(info.expires_at, info.data_access_expires_at, self._now())

    async def _subscribed(self, _found: Found) -> Verdict:
        try:
            apps = await self._client.subscribed_apps(self._channel.id, self._token)
        except FACEBOOK_ERRORS as error:
            return unknown(facebook_words(error))
        ours = [each for each in apps if each.id == self._app_id]
        fields = {field for each in ours for field in each.subscribed_fields}
        return rules.judge_subscribed(fields if ours else None)

    async def _standing(self, _found: Found) -> Verdict:
        try:
            page = await self._client.page(self._channel.id, self._token)
        except FACEBOOK_ERRORS as error:
            return unknown(facebook_words(error))
        by_page = await self._refusals.get()
        refused = (by_page or {}).get(self._channel.id, ())
        return rules.judge_standing(
            is_published=page.is_published,
            restricted_at=recent_refusal(refused, "page_restricted", self._now()),
        )

    async def _profile(self, _found: Found) -> Verdict:
        return await self._sparing.get(self._id("profile"), PROFILE_KEPT_S, self._look_at_profile)

    async def _look_at_profile(self) -> Verdict:
        try:
            profile = await self._client.messenger_profile(self._channel.id, self._token)
        except FACEBOOK_ERRORS as error:
            return unknown(facebook_words(error))
        names = {
            "greeting": profile.greeting,
            "Get Started": profile.get_started,
            "questions": profile.ice_breakers,
            "menu": profile.persistent_menu,
        }
        there = [name for name, value in names.items() if value]
        return ok(f"Shows {', '.join(there)}." if there else "Can be read; nothing is set.")

    async def _human_agent(self, _found: Found) -> Verdict:
        try:
            refused_at = await self._asking.human_agent_refused_at(self._channel.id)
        except NO_ANSWER:
            return not_asked("takeover")
        return rules.judge_human_agent(refused_at)

    async def _held(self, _found: Found) -> Verdict:
        try:
            held, more = await self._asking.held(self._channel.id)
        except NO_ANSWER:
            return not_asked("sender")
        return rules.judge_held(held, more=more)

    async def _model(self, found: Found) -> Verdict:
        """Where it is the installation's, that line says what there is to say."""
        try:
            told = await self._asking.model(self._channel.id)
        except NO_ANSWER:
            return not_asked("conversation")
        if told.is_own and told.failure and MODEL in found:
            return unknown_because(found[MODEL])
        return told.verdict

    async def _message(self, _found: Found) -> Verdict:
        traffic = await self._told()
        return rules.judge_message(traffic) if traffic else not_asked("conversation")

    async def _reply(self, _found: Found) -> Verdict:
        traffic = await self._told()
        return rules.judge_reply(traffic) if traffic else not_asked("conversation")

    async def _echo(self, _found: Found) -> Verdict:
        traffic = await self._told()
        return rules.judge_echo(traffic, self._now()) if traffic else not_asked("conversation")

    async def _receipt(self, _found: Found) -> Verdict:
        traffic = await self._told()
        return rules.judge_receipt(traffic) if traffic else not_asked("conversation")

    async def _told(self) -> rules.Traffic | None:
        try:
            return await self._traffic.get()
        except NO_ANSWER:
            return None

    def _id(self, name: str) -> str:
        return f"page.{self._channel.id}.{name}"

    def _line(self, name: str, title: str, *needs: str) -> Line:
        return Line(self._id(name), self._section, title, needs, self._channel.id)

    def _live(self, name: str, title: str) -> Line:
        needs = (CONVERSATION,)
        return Line(self._id(name), self._section, title, needs, self._channel.id, is_live=True)

    @property
    def _section(self) -> str:
        return f"Page {self._channel.page_name}"


_NOT_TOLD = unknown("Facebook has not told.")
