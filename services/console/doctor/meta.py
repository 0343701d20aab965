"""The app at Facebook: whether it can be asked, takes us for the app, and sends webhooks here."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from libs.common.graph import ConnectingClient, GraphError, RateLimitedError, UnsureError
from services.console.doctor.asking import Asking, line_of, told
from services.console.doctor.domain import meta as rules
from services.console.doctor.domain.findings import Found, Line, Verdict, failed, ok, unknown
from services.console.doctor.examining import Check
from services.console.facebook_words import FACEBOOK_ERRORS, facebook_words

SECTION = "Meta app"
WITHIN_S = 8.0
APP = "meta.app"


class MetaApp:
    """The lines about the app."""

    def __init__(
        self,
        client: ConnectingClient,
        session: aiohttp.ClientSession,
        graph_url: str,
        app_id: str,
        callback_url: str,
        asking: Asking,
        page_ids: Sequence[str],
        now: Callable[[], datetime],
    ) -> None:
        """`callback_url`: where webhooks should go."""
        self._client = client
        self._session = session
        self._graph_url = graph_url
        self._app_id = app_id
        self._callback_url = callback_url
        self._asking = asking
        self._page_ids = page_ids
        self._now = now
        self._date: datetime | None = None
        self._subscription: rules.Subscription | None = None

    def checks(self) -> list[Check]:
        reach, hook = "meta.reachable", "webhook.registered"
        return [
            Check(Line(reach, SECTION, "Graph API"), self._reachable),
            Check(Line("meta.clock", SECTION, "Clock", (reach,)), self._clock),
            Check(Line(APP, SECTION, "Id and secret", (reach,)), self._app),
            Check(Line("meta.mode", SECTION, "Live"), self._mode, (line_of("sender"),)),
            Check(Line(hook, SECTION, "Webhook", (APP,)), self._registered),
            Check(Line("webhook.callback", SECTION, "Callback URL", (hook,)), self._callback),
            Check(Line("webhook.fields", SECTION, "Webhook fields", (hook,)), self._fields),
        ]

    async def _reachable(self, _found: Found) -> Verdict:
        """Any answer will do: whom it lets in is the next line's question."""
        try:
            async with self._session.get(
                self._graph_url,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=WITHIN_S),
            ) as response:
                self._date = _date_of(response.headers.get("Date", ""))
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            return failed(
                "Meta's Graph API can't be reached from here.",
                "Let the firewall pass https to graph.facebook.com, or correct GRAPH_API_URL.",
                error=type(error).__name__,
            )
        if status >= 500:
            return failed(
                f"Meta's Graph API has trouble of its own ({status}).",
                "See metastatus.com. Nothing is lost meanwhile: replies wait.",
                status=status,
            )
        return ok("Answers.")

    async def _clock(self, _found: Found) -> Verdict:
        if self._date is None:
            return unknown("The answer had no date to compare with.", "Run the doctor again.")
        return rules.judge_clock(self._now(), self._date)

    async def _app(self, _found: Found) -> Verdict:
        try:
            info = await self._client.debug_app()
        except (RateLimitedError, UnsureError) as error:
            return unknown(facebook_words(error))
        except GraphError:
            return rules.app_refused()
        except FACEBOOK_ERRORS as error:
            return unknown(facebook_words(error))
        return rules.judge_app(self._app_id, info.app_id, is_valid=info.is_valid)

    async def _mode(self, found: Found) -> Verdict:
        refusals = await told("sender", found, lambda: self._asking.refusals(self._page_ids))
        return rules.judge_mode(refusals, self._now())

    async def _registered(self, _found: Found) -> Verdict:
        try:
            found = await self._client.app_subscriptions()
        except FACEBOOK_ERRORS as error:
            return unknown(facebook_words(error))
        verdict, self._subscription = rules.judge_registered(
            [
                rules.Subscription(each.object, each.callback_url, each.active, each.fields)
                for each in found
            ],
            self._callback_url,
        )
        return verdict

    async def _callback(self, _found: Found) -> Verdict:
        if self._subscription is None:
            return _NO_WEBHOOK
        return rules.judge_callback(self._subscription, self._callback_url)

    async def _fields(self, _found: Found) -> Verdict:
        return rules.judge_fields(self._subscription) if self._subscription else _NO_WEBHOOK


_NO_WEBHOOK = unknown("There is no webhook to look at.")


def _date_of(header: str) -> datetime | None:
    try:
        return parsedate_to_datetime(header).astimezone(UTC)
    except (TypeError, ValueError):
        return None
