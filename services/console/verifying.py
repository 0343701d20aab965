"""Looks whether a connected Page works: at the channel, at Facebook, and at what people wrote."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import structlog

from libs.common.crypto import DecryptionError, KeyRing
from libs.common.graph import ConnectingClient
from services.console.domain.connection import CAUSES
from services.console.domain.facebook_login import FIELDS
from services.console.domain.verifying import Line, Subscribed, Traffic, lines, traffic_of
from services.console.facebook_words import FACEBOOK_ERRORS, facebook_words
from services.console.internal import Internal, ServiceAwayError, ServiceRefusedError
from services.console.records import ConnectedChannel

ASK_AGAIN_AFTER_S = 15.0  # Facebook, about the subscription: pages look every two seconds
MOST_REMEMBERED = 200
MESSAGES = "40"
ASK_WITHIN_S = 3.0

log = structlog.get_logger(__name__)


class Verifying:
    """Answers the same question again and again, and asks Facebook only now and then."""

    def __init__(
        self,
        meta: ConnectingClient,
        keys: KeyRing,
        app_id: str,
        internal: Internal,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._meta = meta
        self._keys = keys
        self._app_id = app_id
        self._internal = internal
        self._monotonic = monotonic
        self._known: dict[tuple[str, str], tuple[float, Subscribed, str]] = {}

    async def look(self, channel: ConnectedChannel) -> tuple[Line, ...]:
        """What is known at this moment; what can't be found out is `unknown`."""
        subscribed: tuple[Subscribed, str] = "unknown", ""
        if channel.state.shown in ("active", "paused"):
            subscribed = await self._subscribed(channel)
        traffic = await self._traffic(channel)
        return lines(channel.state, subscribed[0], traffic, why=subscribed[1])

    async def _subscribed(self, channel: ConnectedChannel) -> tuple[Subscribed, str]:
        """And why it is not known."""
        which = channel.id, channel.token  # a new connection is looked at anew
        if (known := self._known.get(which)) is not None and self._monotonic() < known[0]:
            return known[1:]
        found = await self._ask_facebook(channel)
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[which] = self._monotonic() + ASK_AGAIN_AFTER_S, *found
        return found

    async def _ask_facebook(self, channel: ConnectedChannel) -> tuple[Subscribed, str]:
        try:
            token = self._keys.decrypt(channel.token, context=channel.id)
            apps = await self._meta.subscribed_apps(channel.id, token)
        except DecryptionError:
            return "unknown", CAUSES["unreadable"]
        except FACEBOOK_ERRORS as error:
            log.warning("subscription_unclear", page_id=channel.id, error=type(error).__name__)
            return "unknown", facebook_words(error)
        heard = {field for app in apps if app.id == self._app_id for field in app.subscribed_fields}
        return ("yes" if set(FIELDS) <= heard else "no"), ""

    async def _traffic(self, channel: ConnectedChannel) -> Traffic | None:
        """Of the conversation in which something happened last; None: nobody can say."""
        since = channel.connection.at if channel.connection else datetime.fromtimestamp(0, UTC)
        page = quote(channel.id, safe="")
        try:
            listed = await self._internal.call(
                "conversation",
                "GET",
                f"/internal/v1/pages/{page}/conversations",
                query={"limit": "1"},
                timeout_s=ASK_WITHIN_S,
            )
            if not listed.get("conversations"):
                return Traffic()
            last = listed["conversations"][0]
            found = await self._internal.call(
                "conversation",
                "GET",
                f"/internal/v1/conversations/{quote(last['id'], safe='')}/messages",
                query={"limit": MESSAGES},
                timeout_s=ASK_WITHIN_S,
            )
        except (ServiceAwayError, ServiceRefusedError) as error:
            log.warning("traffic_unclear", page_id=channel.id, error=type(error).__name__)
            return None
        return traffic_of(found.get("messages", []), since, paused=last.get("mode") == "human")
