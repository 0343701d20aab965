"""Asks Meta who a person is, with the Page's token and within what Meta lets a Page ask.

Whatever comes of it is a profile: nobody waits for a name, and nothing else fails for want of one.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from prometheus_client import Counter

from libs.common.channels import Channel
from libs.common.crypto import DecryptionError, KeyRing
from libs.common.graph import (
    GraphError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    TokenRejectedError,
    UnsureError,
)
from libs.common.graph import Profile as Answer
from services.conversation.domain.profiles import (
    BUDGET_WINDOW,
    Profile,
    given,
    refused,
    troubled,
    waiting_until,
)

WITHOUT_TOKEN = timedelta(minutes=5)  # of a new one, whoever waits hears no sooner

PROFILES = Counter(
    "assistant_profiles_total",
    "People whose profile was due, by what came of it.",
    # outcome: known, empty, refused, limited, no_token, trouble, no_budget, held
    ["outcome"],
)


class Graph(Protocol):
    """What is needed of `GraphClient`."""

    async def person_profile(self, token: str, psid: str) -> Answer: ...


class Budget(Protocol):
    """What is needed of `ContactStore`."""

    async def spend_call(self, page_id: str, now: datetime, most: int) -> datetime | None: ...


class ProfileReader:
    """One person's profile at a time.

    A Page whose token is refused, or that has asked too much, is left alone for a while; so are all
    its people.
    """

    def __init__(
        self,
        graph: Graph,
        keys: KeyRing,
        budget: Budget,
        calls: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Args: calls: how many a Page has in ten minutes."""
        self._graph = graph
        self._keys = keys
        self._budget = budget
        self._most = calls
        self._clock = clock
        self._held: dict[str, tuple[datetime, str]] = {}

    def reconsider(self, page_id: str) -> None:
        """The channel changed: its token may be another."""
        self._held.pop(page_id, None)

    async def renewed(self, channel: Channel, psid: str, profile: Profile) -> Profile:
        """The profile as Meta has it, or when to ask again.

        Raises:
            TransientError: the budget cannot be read.
        """
        now = self._clock()
        until, reason = self._held.get(channel.id, (now, ""))
        if until > now:
            return self._waiting(profile, until, reason)
        if channel.status != "active":
            return self._waiting(profile, now + WITHOUT_TOKEN, "no_token")
        next_call_at = await self._budget.spend_call(channel.id, now, self._most)
        if next_call_at is not None:
            return self._hold(channel.id, profile, next_call_at, "no_budget")
        return await self._asked(channel, psid, profile)

    async def _asked(self, channel: Channel, psid: str, profile: Profile) -> Profile:
        try:
            token = self._keys.decrypt(channel.token, context=channel.id)
            answer = await self._graph.person_profile(token, psid)
        except RateLimitedError as error:
            pause = timedelta(seconds=error.retry_after_s or 0)
            until = self._clock() + max(pause, BUDGET_WINDOW)
            return self._hold(channel.id, profile, until, "limited")
        except (TokenRejectedError, DecryptionError):
            return self._hold(channel.id, profile, self._clock() + WITHOUT_TOKEN, "no_token")
        except (UnsureError, NotSentError, OutcomeUnknownError) as error:
            PROFILES.labels("trouble").inc()
            return troubled(profile, self._clock(), error.code)
        except GraphError as error:
            PROFILES.labels("refused").inc()
            return refused(profile, self._clock(), _code(error))
        return self._told(answer, profile)

    def _told(self, answer: Answer, profile: Profile) -> Profile:
        now = self._clock()
        known = given(
            now,
            first_name=answer.first_name,
            last_name=answer.last_name,
            name=answer.name,
            picture_url=answer.profile_pic,
        )
        PROFILES.labels("empty" if known is None else "known").inc()
        return known or refused(profile, now, "empty")

    def _hold(self, page_id: str, profile: Profile, until: datetime, reason: str) -> Profile:
        """The next ones of this Page need not find out for themselves."""
        self._held[page_id] = (until, reason)
        PROFILES.labels(reason).inc()
        return waiting_until(profile, until, reason)

    def _waiting(self, profile: Profile, until: datetime, reason: str) -> Profile:
        PROFILES.labels("held").inc()
        return waiting_until(profile, until, reason)


def _code(error: GraphError) -> str:
    return f"{error.code_}/{error.subcode}" if error.subcode is not None else f"{error.code_}"
