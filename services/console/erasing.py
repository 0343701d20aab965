"""Carries out requests to erase somebody's data, until a search finds nothing left.

Who it is, on which Pages; then the tombstone, and a wait until every process knows of it; then each
service in turn; then the search. Each attempt may end anywhere and begins anew: erasing twice does
no harm. Only after a search that finds nothing a request is done.
"""

import asyncio
from base64 import b32encode
from contextlib import suppress
from datetime import datetime, timedelta
from secrets import token_bytes
from typing import Any

import structlog
from prometheus_client import Counter

from libs.common.erasures import LEAD, TombstoneStore
from libs.common.errors import ProjectError
from libs.common.events import conversation_id
from libs.common.graph import ConnectingClient, GraphError, NotFoundError
from libs.common.metrics import from_zero
from services.console.audit import Actor, AuditLog, Clock
from services.console.channels_store import ChannelStore
from services.console.domain.erasure import lookup_is_over, lookup_pause, pause_after
from services.console.erasures_store import (
    LEASE,
    ByPage,
    Erasure,
    ErasureStore,
    PersonToErase,
    counted,
)
from services.console.facebook_words import FACEBOOK_ERRORS
from services.console.internal import (
    Internal,
    ServiceAwayError,
    ServiceName,
    ServiceRefusedError,
)
from services.console.logins_store import FacebookLoginStore

ORDER: tuple[ServiceName, ...] = ("takeover", "sender", "conversation", "analytics")
"""Takeover first: its end is counted. Conversation after those that write into its documents."""
LOOK_EVERY_S = 2.0
ERASE_TIMEOUT_S = 30.0  # takeover waits for a message that is on its way
SETTLED = timedelta(seconds=1)

ERASURES = from_zero(
    Counter(
        "assistant_erasures_total",
        "Requests to erase somebody's data, by what became of them.",
        ["outcome"],
    ),
    ["requested", "repeated", "done", "again", "waiting"],
)

Counts = dict[str, dict[str, int]]

log = structlog.get_logger(__name__)


class Erasing:
    """A worker, and where requests are made."""

    def __init__(
        self,
        store: ErasureStore,
        tombstones: TombstoneStore,
        channels: ChannelStore,
        logins: FacebookLoginStore,
        internal: Internal,
        meta: ConnectingClient,
        audit: AuditLog,
        clock: Clock,
        lead: timedelta = LEAD,
    ) -> None:
        """`lead`: how long every process needs to hear of a tombstone; shorter in tests."""
        self._store = store
        self._tombstones = tombstones
        self._channels = channels
        self._logins = logins
        self._internal = internal
        self._meta = meta
        self._audit = audit
        self._clock = clock
        self._lead = lead
        self._woken = asyncio.Event()
        self._stopping = False

    # Asking

    async def wished_at_facebook(self, code: str, user_id: str, requested_at: datetime) -> None:
        """Somebody told Facebook that their data are to be deleted. May be told again."""
        erasure = Erasure(
            id=code,
            how="facebook",
            requested_at=requested_at,
            next_at=self._clock(),
            user_id=user_id,
            lookup="pending",
        )
        is_new = await self._store.add(erasure)
        ERASURES.labels("requested" if is_new else "repeated").inc()
        self._woken.set()

    async def wished_by(self, actor: Actor, page_id: str, psid: str) -> Erasure:
        """An administrator wants a person of a Page erased.

        Raises:
            UnknownChannelError: the Page is not in their workspace.
        """
        channel = await self._channels.in_workspace(actor.workspace_id, page_id)
        now = self._clock()
        erasure = Erasure(
            id=_new_code(),
            how="administrator",
            requested_at=now,
            next_at=now,
            workspace_id=actor.workspace_id,
            people=(PersonToErase(page_id=page_id, psid=psid),),
            pages=(page_id,),
        )
        # the audit log is kept: it names the request, and not the person
        async with self._audit.doing(
            actor, "person.erased", target=channel.page_name, target_id=erasure.id
        ):
            await self._store.add(erasure)
        ERASURES.labels("requested").inc()
        self._woken.set()
        return erasure

    async def stored_about(self, page_id: str, psid: str) -> Counts:
        """How much each service keeps about a person.

        Raises: ServiceAwayError, ServiceRefusedError.
        """
        return await self._ask("/check", PersonToErase(page_id=page_id, psid=psid), None)

    # Carrying out

    async def run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            try:
                while not self._stopping and (found := await self._store.lease(self._clock())):
                    await self.go_on(found)
            except ProjectError as error:
                log.warning("erasures_wait", error=type(error).__name__)
            if not self._stopping:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), LOOK_EVERY_S)

    async def stop(self, drain_timeout_s: float) -> None:
        """What is cut off here goes on elsewhere, or after the next start."""
        del drain_timeout_s
        self._stopping = True
        self._woken.set()

    async def go_on(self, erasure: Erasure) -> Erasure:
        """One attempt. It is ours for as long as `LEASE` after each step."""
        try:
            erasure = await self._locate(erasure)
            if erasure.people:
                erasure = await self._erase(erasure)
            if erasure.people:  # something was left
                return await self._put_off(erasure, None)
        except (ServiceAwayError, ServiceRefusedError) as error:
            return await self._put_off(erasure, error.service)
        now = self._clock()
        if not lookup_is_over(erasure.lookup, erasure.requested_at, now):
            next_at = now + lookup_pause(erasure.lookups)
            ERASURES.labels("waiting").inc()
            return await self._store.change(erasure, waits_for="facebook", next_at=next_at)
        ERASURES.labels("done").inc()
        log.info("erasure_done", count=erasure.erased_total, attempts=erasure.attempts)
        return await self._store.change(
            erasure, done_at=now, next_at=None, user_id=None, waits_for=None
        )

    async def _put_off(self, erasure: Erasure, waits_for: str | None) -> Erasure:
        ERASURES.labels("waiting" if waits_for else "again").inc()
        log.warning("erasure_put_off", service=waits_for, attempts=erasure.attempts + 1)
        next_at = self._clock() + pause_after(erasure.attempts)
        return await self._store.change(
            erasure, waits_for=waits_for, attempts=erasure.attempts + 1, next_at=next_at
        )

    # Who it is

    async def _locate(self, erasure: Erasure) -> Erasure:
        user_id = erasure.user_id
        if user_id is None or lookup_is_over(erasure.lookup, erasure.requested_at, self._clock()):
            return erasure
        people = set(erasure.people) | set(await self._called_so(user_id))
        is_page_scoped = bool(people or erasure.pages)
        told = await self._told_by_facebook(user_id, is_page_scoped=is_page_scoped)
        was_connector = await self._channels.forget_facebook_user(user_id)
        was_connector |= await self._logins.forget_facebook_user(user_id)
        people |= set(told or ())
        return await self._store.change(
            erasure,
            people=tuple(sorted(people, key=lambda each: (each.page_id, each.psid))),
            pages=tuple(sorted({*erasure.pages, *(each.page_id for each in people)})),
            lookup="refused" if told is None else "found" if told else "nothing",
            lookups=erasure.lookups + 1,
            was_connector=erasure.was_connector or was_connector,
        )

    async def _called_so(self, user_id: str) -> list[PersonToErase]:
        """Where the id that Facebook gave is what a Page calls somebody."""
        found = []
        for page_id in await self._channels.page_ids():
            person = PersonToErase(page_id=page_id, psid=user_id)
            kept = await self._internal.call(
                "conversation", "POST", "/internal/v1/erasures/check", body=person.model_dump()
            )
            if any(kept.get("left", {}).values()):
                found.append(person)
        return found

    async def _told_by_facebook(
        self, user_id: str, *, is_page_scoped: bool
    ) -> list[PersonToErase] | None:
        """Of our Pages only; None: it does not say.

        Facebook answers the same about what there is not and what the app may not see, such as who
        has just removed the app: that it finds nobody means nothing but for an id of a Page's own.
        """
        try:
            told = await self._meta.ids_for_pages(user_id)
        except FACEBOOK_ERRORS as error:
            if is_page_scoped and isinstance(error, NotFoundError):
                return []
            code = error.code_ if isinstance(error, GraphError) else None
            log.warning("erasure_not_looked_up", error=type(error).__name__, code=code)
            return None
        ours = await self._channels.channels([each.page.id for each in told])
        return [
            PersonToErase(page_id=each.page.id, psid=each.id)
            for each in told
            if each.page.id in ours
        ]

    # Erasing

    async def _erase(self, erasure: Erasure) -> Erasure:
        """All of it, up to a moment that every process knows of by then.

        Returns: with nobody to erase any more if nothing was left.

        Raises: ServiceAwayError, ServiceRefusedError: before anything began, or in the middle.
        """
        for person in erasure.people:  # if one is away, what people write stays as it is
            await self._ask("/check", person, None)
        until = self._clock() + self._lead
        until = until.replace(microsecond=until.microsecond // 1000 * 1000)
        for person in erasure.people:
            await self._tombstones.put(_name(person), until, self._clock())
        erasure = await self._store.change(
            erasure, erased_at=until, waits_for=None, next_at=until + SETTLED + LEASE
        )
        left_s = (until + SETTLED - self._clock()).total_seconds()
        await asyncio.sleep(max(0.0, left_s))
        for service in ORDER:
            for person in erasure.people:
                counts = await self._ask_one(service, "", person, until, "erased")
                erasure = await self._store.change(
                    erasure,
                    erased=_with(erasure.erased, person.page_id, service, counts),
                    next_at=self._clock() + LEASE,
                )
        left: ByPage = {}
        for person in erasure.people:
            for name, counts in (await self._ask("/check", person, until)).items():
                left = _with(left, person.page_id, name, counts)
        if any(counted(left, left).values()):
            return await self._store.change(erasure, left=left)
        return await self._store.change(erasure, left=left, people=())

    async def _ask(self, path: str, person: PersonToErase, until: datetime | None) -> Counts:
        return {
            service: await self._ask_one(service, path, person, until, "left") for service in ORDER
        }

    async def _ask_one(
        self,
        service: ServiceName,
        path: str,
        person: PersonToErase,
        until: datetime | None,
        answer: str,
    ) -> dict[str, int]:
        body: dict[str, Any] = person.model_dump()
        if until is not None:
            body["until"] = until.isoformat()
        told = await self._internal.call(
            service,
            "POST",
            f"/internal/v1/erasures{path}",
            body=body,
            timeout_s=ERASE_TIMEOUT_S,
        )
        return {str(name): int(number) for name, number in told.get(answer, {}).items()}


def _with(by_page: ByPage, page_id: str, service: str, more: dict[str, int]) -> ByPage:
    of_page = by_page.get(page_id, {})
    known = of_page.get(service, {})
    added = {kind: known.get(kind, 0) + number for kind, number in more.items()}
    return {**by_page, page_id: {**of_page, service: {**known, **added}}}


def _name(person: PersonToErase) -> str:
    return conversation_id(person.page_id, person.psid)


def _new_code() -> str:
    """As long as those that Facebook's requests get, and random."""
    return b32encode(token_bytes(17)).decode().lower()[:26]
