"""The browsers that listen, and what each of them is to be told next.

A browser that reads slowly gets less, not later: what waits for it is merged. So each stream's
memory is bounded, whatever happens meanwhile.
"""

import asyncio
import json
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import Gauge

from libs.common.errors import PermanentError

MOST_STREAMS = 1_000
MOST_OF_ACCOUNT = 12
MOST_NAMED = 100
"""Of more conversations at once a browser is told that anything may have changed."""

STREAMS = Gauge("assistant_console_live_streams", "Browsers that listen for what changes.")


class TooManyStreamsError(PermanentError):
    """So many browsers listen already: this one has to look by itself, now and then."""

    code = "too_many_streams"

    def __init__(self, *, of_account: bool) -> None:
        super().__init__("too many browsers listen")
        self.of_account = of_account


@dataclass(frozen=True)
class Counts:
    """Of the conversations of a workspace, each up to 1,000."""

    unread: int
    needs_human: int


@dataclass(frozen=True)
class Asked:
    """Somebody who asks for a human."""

    conversation: str
    at: datetime

    def to_json(self) -> dict[str, str]:
        return {"id": self.conversation, "at": self.at.isoformat()}


class Stream:
    """One browser that listens: what waits for it, and who it belongs to."""

    def __init__(
        self,
        account_id: str,
        workspace_id: str,
        pages: frozenset[str],
        is_gone: Callable[[], bool] = lambda: False,
    ) -> None:
        self.account_id = account_id
        self.workspace_id = workspace_id
        self.pages = pages
        self.is_gone = is_gone
        self.ended = False
        self._changed: dict[str, None] = {}
        self._asked: dict[str, Asked] = {}
        self._anything = False
        self._counts: Counts | None = None
        self._heard: bool | None = None
        self._woken = asyncio.Event()

    def change(self, conversation: str, asked: Asked | None = None) -> None:
        if not self._anything:
            self._changed[conversation] = None
        if len(self._changed) > MOST_NAMED:
            self.change_anything()
        if asked is not None and len(self._asked) < MOST_NAMED:
            self._asked[conversation] = asked
        self._woken.set()

    def change_anything(self) -> None:
        self._anything = True
        self._changed.clear()
        self._woken.set()

    def count(self, counts: Counts) -> None:
        self._counts = counts
        self._woken.set()

    def hear(self, *, heard: bool) -> None:
        """Whether changes are heard of at all."""
        self._heard = heard
        self._woken.set()

    def end(self) -> None:
        self.ended = True
        self._woken.set()

    async def wait(self, at_most_s: float) -> bool:
        """Until there is something to tell. False: the stream is to end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), at_most_s)
        return not self.ended

    def take(self) -> bytes:
        """All that waits, as events of a stream; nothing waits afterwards."""
        self._woken.clear()
        parts = []
        if self._heard is not None:
            parts.append(event("state", {"heard": self._heard}))
        if self._anything or self._changed:
            named = None if self._anything else list(self._changed)
            asked = [each.to_json() for each in self._asked.values()]
            parts.append(event("changed", {"conversations": named, "needs_human": asked}))
        if self._counts is not None:
            counts = {"unread": self._counts.unread, "needs_human": self._counts.needs_human}
            parts.append(event("counts", counts))
        self._changed, self._asked, self._anything = {}, {}, False
        self._counts = self._heard = None
        return b"".join(parts)


def event(name: str, data: dict[str, Any]) -> bytes:
    """One event of a stream; JSON has no line ends, so that it is one line of data."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class Streams:
    """All browsers that listen to this process."""

    def __init__(self, most: int = MOST_STREAMS, most_of_account: int = MOST_OF_ACCOUNT) -> None:
        self._most, self._most_of_account = most, most_of_account
        self._all: set[Stream] = set()
        self._by_page: dict[str, set[Stream]] = {}
        self._arrived = asyncio.Event()
        self.is_heard = False
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._all)

    def open(self, stream: Stream) -> None:
        """Raises: TooManyStreamsError."""
        self._forget_gone(stream.account_id)
        of_account = Tally(each.account_id for each in self._all)[stream.account_id]
        if of_account >= self._most_of_account:
            raise TooManyStreamsError(of_account=True)
        if self.is_closed or len(self._all) >= self._most:
            raise TooManyStreamsError(of_account=False)
        self._all.add(stream)
        self._enter(stream)
        STREAMS.inc()
        self._arrived.set()

    def close(self, stream: Stream) -> None:
        """Closing it again does nothing."""
        stream.end()
        if stream in self._all:
            self._all.discard(stream)
            self._leave(stream)
            STREAMS.dec()
        if not self._all:
            self._arrived.clear()

    def change_pages(self, stream: Stream, pages: frozenset[str]) -> None:
        """The workspace has got a Page, or lost one."""
        if stream in self._all and pages != stream.pages:
            self._leave(stream)
            stream.pages = pages
            self._enter(stream)

    async def wait_for_one(self) -> None:
        await self._arrived.wait()

    def is_watched(self, page_id: str) -> bool:
        return page_id in self._by_page

    def pages_of(self, workspace_id: str) -> frozenset[str]:
        """As one of the workspace's browsers has them."""
        found = (each.pages for each in self._all if each.workspace_id == workspace_id)
        return next(found, frozenset())

    def change(self, conversation: str, asked: Asked | None = None) -> set[str]:
        """Tell whoever watches the conversation's Page; the workspaces of those."""
        watching = self._by_page.get(page_of(conversation), set())
        for stream in watching:
            stream.change(conversation, asked)
        return {stream.workspace_id for stream in watching}

    def change_anything(self) -> set[str]:
        for stream in self._all:
            stream.change_anything()
        return {stream.workspace_id for stream in self._all}

    def count(self, workspace_id: str, counts: Counts) -> None:
        for stream in self._all:
            if stream.workspace_id == workspace_id:
                stream.count(counts)

    def hear(self, *, heard: bool) -> None:
        """Whether changes are heard of at all, as of now."""
        if heard != self.is_heard:
            self.is_heard = heard
            for stream in self._all:
                stream.hear(heard=heard)

    def end(self) -> None:
        """The process stops: browsers come again, to another one."""
        self.is_closed = True
        for stream in self._all:
            stream.end()

    def _enter(self, stream: Stream) -> None:
        for page in stream.pages:
            self._by_page.setdefault(page, set()).add(stream)

    def _leave(self, stream: Stream) -> None:
        for page in stream.pages:
            watching = self._by_page[page]
            watching.discard(stream)
            if not watching:
                del self._by_page[page]

    def _forget_gone(self, account_id: str) -> None:
        """Whose connection is gone notices it with the next heartbeat only; clicks come faster."""
        for each in self._of(account_id):
            if each.is_gone():
                self.close(each)

    def _of(self, account_id: str) -> Iterable[Stream]:
        return [each for each in self._all if each.account_id == account_id]


def page_of(conversation: str) -> str:
    return conversation.partition(":")[0]
