"""What the conversation service says of rows and counts, as far as hints need it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from services.console.internal import JSON, Internal, ServiceAwayError
from services.console.live.pending import Place
from services.console.live.streams import Asked, Counts

MOST_ASKED = 100  # of rows in one question, and of people who ask for a human


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Heard(_Lenient):
    partition: int
    offset: int


class _Request(_Lenient):
    at: datetime


class _Row(_Lenient):
    id: str
    heard: _Heard | None = None
    asked: _Request | None = None


class _Rows(_Lenient):
    conversations: list[_Row]


class _Counts(_Lenient):
    unread: int
    needs_human: int


Answer = TypeVar("Answer", bound=_Lenient)


@dataclass(frozen=True)
class Row:
    """What of a row hints are about."""

    heard: Place | None
    asked: Asked | None


class Rows(Protocol):
    """The conversation service's inbox."""

    async def of(self, conversations: list[str]) -> dict[str, Row]:
        """Those that there are. Raises: ServiceAwayError, ServiceRefusedError."""
        ...

    async def counts(self, pages: Iterable[str]) -> Counts:
        """Raises: ServiceAwayError, ServiceRefusedError."""
        ...

    async def asking(self, pages: Iterable[str]) -> list[Asked]:
        """Who asks for a human, the longest waiting first, a hundred at most.

        Raises: ServiceAwayError, ServiceRefusedError.
        """
        ...


class InternalRows:
    """Asked over HTTP."""

    def __init__(self, internal: Internal, timeout_s: float = 3.0) -> None:
        self._internal = internal
        self._timeout_s = timeout_s

    async def of(self, conversations: list[str]) -> dict[str, Row]:
        found = await self._ask(_Rows, "rows", {"conversations": conversations})
        return {each.id: _row(each) for each in found.conversations}

    async def counts(self, pages: Iterable[str]) -> Counts:
        wanted = sorted(pages)
        if not wanted:
            return Counts(0, 0)
        found = await self._ask(_Counts, "counts", {"pages": wanted, "by": None})
        return Counts(found.unread, found.needs_human)

    async def asking(self, pages: Iterable[str]) -> list[Asked]:
        wanted = sorted(pages)
        if not wanted:
            return []
        question: JSON = {
            "pages": wanted,
            "tab": "needs_human",
            "by": None,
            "unread": False,
            "search": None,
            "cursor": None,
            "limit": MOST_ASKED,
        }
        found = await self._ask(_Rows, "list", question)
        return [asked for each in found.conversations if (asked := _row(each).asked)]

    async def _ask(self, model: type[Answer], what: str, body: JSON) -> Answer:
        answer = await self._internal.call(
            "conversation",
            "POST",
            f"/internal/v1/inbox/{what}",
            body=body,
            timeout_s=self._timeout_s,
        )
        try:
            return model.model_validate(answer)
        except ValidationError:  # of another version: hints are no reason to stop for
            raise ServiceAwayError("conversation", "not an answer that is known") from None


def _row(found: _Row) -> Row:
    return Row(
        heard=Place(found.heard.partition, found.heard.offset) if found.heard else None,
        asked=Asked(found.id, found.asked.at) if found.asked else None,
    )
