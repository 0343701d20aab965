"""The lines of one Page."""

from collections.abc import Callable
from datetime import datetime

from libs.common.crypto import DecryptionError, KeyRing
from libs.common.graph import ConnectingClient, PermissionMissingError, RateLimitedError, TokenInfo
from services.console.doctor.asking import Asking, line_of, told
from services.console.doctor.domain import pages as rules
from services.console.doctor.domain.findings import (
    Found,
    Line,
    Verdict,
    failed,
    ok,
    unknown,
    unknown_because,
    waiting,
)
from services.console.doctor.domain.system import MODEL
from services.console.doctor.examining import MODEL_DEADLINE_S, Check, Once, Sparing
from services.console.doctor.meta import APP
from services.console.domain.token_check import TokenState, token_cause
from services.console.facebook_words import FACEBOOK_ERRORS, facebook_words
from services.console.records import ConnectedChannel

PROFILE_KEPT_S = 120.0  # Meta allows a Page ten such calls in ten minutes
SENDER, CONVERSATION, TAKEOVER = map(line_of, ("sender", "conversation", "takeover"))


class PageLines:
    """One connected Page."""

    def __init__(
        self,
        channel: ConnectedChannel,
        client: ConnectingClient,
        keys: KeyRing,
        app_id: str,
        asking: Asking,
        sparing: Sparing,
        now: Callable[[], datetime],
    ) -> None:
        self._channel = channel
        self._client = client
        self._keys = keys
        self._app_id = app_id
        self._asking = asking
        self._sparing = sparing
        self._now = now
        self._token = ""
        self._info: TokenInfo | None = None
        self._traffic = Once(lambda: asking.traffic(channel.id))

    def checks(self) -> list[Check]:
        if self._channel.status == "disconnected":
            return [Check(self._line("connected", "Connection"), self._disconnected)]
        stored, token, permissions = map(self._id, ("stored", "token", "permissions"))
        line = self._line
        return [
            Check(line("enabled", "Switched on"), self._enabled),
            Check(line("stored", "Stored token"), self._stored),
            Check(line("token", "Token at Facebook", stored, APP), self._valid),
            Check(line("permissions", "Permissions", token), self._scopes),
            Check(line("expiry", "Until when", token), self._expiry),
            Check(line("subscribed", "Subscription", token), self._subscribed, (permissions,)),
            Check(line("standing", "Standing", token), self._standing),
            Check(line("profile", "Messenger profile", token), self._profile, (permissions,)),
            Check(line("human_agent", "People after 24 hours"), self._human_agent, (TAKEOVER,)),
            Check(line("held", "Held messages"), self._held, (SENDER,)),
            Check(
                line("waiting", "Waiting messages"),
                self._waiting,
                (SENDER, self._id("enabled"), stored, token),
            ),
            Check(line("model", "Its model"), self._model, (CONVERSATION, MODEL), MODEL_DEADLINE_S),
            *self.live_checks(),
        ]

    def live_checks(self) -> list[Check]:
        """What changes while somebody watches."""
        if self._channel.status == "disconnected":
            return []
        return [
            Check(self._live("message", "Last message in"), self._message, (CONVERSATION,)),
            Check(self._live("reply", "Last reply out"), self._reply, (CONVERSATION,)),
            Check(self._live("echo", "Its echo"), self._echo, (CONVERSATION,)),
            Check(self._live("receipt", "Delivery receipt"), self._receipt, (CONVERSATION,)),
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

    async def _subscribed(self, found: Found) -> Verdict:
        try:
            apps = await self._client.subscribed_apps(self._channel.id, self._token)
        except PermissionMissingError:
            return self._lacks_permission(found)
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
        return rules.judge_standing(page.is_published)

    async def _profile(self, found: Found) -> Verdict:
        try:
            return await self._sparing.get(
                self._id("profile"), PROFILE_KEPT_S, self._look_at_profile
            )
        except PermissionMissingError:
            return self._lacks_permission(found)

    async def _look_at_profile(self) -> Verdict:
        """Raises: PermissionMissingError."""
        try:
            profile = await self._client.messenger_profile(self._channel.id, self._token)
        except PermissionMissingError:
            raise
        except RateLimitedError:
            return waiting(
                "Not looked at now.", "Facebook allows ten such looks in ten minutes: wait a few."
            )
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

    async def _human_agent(self, found: Found) -> Verdict:
        page_id = self._channel.id
        refused_at = await told(
            "takeover", found, lambda: self._asking.human_agent_refused_at(page_id)
        )
        return rules.judge_human_agent(refused_at)

    async def _held(self, found: Found) -> Verdict:
        held, more = await told("sender", found, lambda: self._asking.held(self._channel.id))
        return rules.judge_held(held, more=more)

    async def _waiting(self, found: Found) -> Verdict:
        counts = await told("sender", found, lambda: self._asking.waiting(self._channel.id))
        roots = [found.get(self._id(name)) for name in ("enabled", "stored", "token")]
        return rules.judge_waiting(counts, roots)

    async def _model(self, found: Found) -> Verdict:
        """Where it is the installation's, that line says what there is to say."""
        answer = await told("conversation", found, lambda: self._asking.model(self._channel.id))
        if answer.is_own and answer.failure and MODEL in found:
            return unknown_because(found[MODEL])
        return answer.verdict

    async def _message(self, found: Found) -> Verdict:
        return rules.judge_message(await self._told(found))

    async def _reply(self, found: Found) -> Verdict:
        return rules.judge_reply(await self._told(found))

    async def _echo(self, found: Found) -> Verdict:
        return rules.judge_echo(await self._told(found), self._now())

    async def _receipt(self, found: Found) -> Verdict:
        return rules.judge_receipt(await self._told(found))

    async def _told(self, found: Found) -> rules.Traffic:
        return await told("conversation", found, self._traffic.get)

    def _lacks_permission(self, found: Found) -> Verdict:
        permissions = found.get(self._id("permissions"))
        if permissions is not None and permissions.state == "failed":
            return unknown_because(permissions)
        return unknown(facebook_words(PermissionMissingError(10)))

    def _id(self, name: str) -> str:
        return f"page.{self._channel.id}.{name}"

    def _line(self, name: str, title: str, *needs: str) -> Line:
        return Line(self._id(name), self._section, title, needs, self._channel.id)

    def _live(self, name: str, title: str) -> Line:
        return Line(self._id(name), self._section, title, (), self._channel.id, is_live=True)

    @property
    def _section(self) -> str:
        return f"Page {self._channel.page_name}"


_NOT_TOLD = unknown("Facebook has not told.")
