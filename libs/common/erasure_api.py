"""The internal API of every service that keeps something about people: erase it, count it.

| | |
|---|---|
| `POST /internal/v1/erasures` | `{"erased": {"messages": 12, …}}`: all is gone |
| `POST /internal/v1/erasures/check` | `{"left": {"messages": 0, …}}`: what there is |

Both take `{"page_id", "psid"}`, and `until`: what is of later is not erased by that request, and
not counted. Service token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libs.common.events import UtcDatetime, conversation_id
from libs.common.web import Late, invalid

Counts = Mapping[str, int]


@dataclass(frozen=True)
class Person:
    """Whose data; `until`: None: all there are."""

    page_id: str
    psid: str
    until: datetime | None = None

    @property
    def conversation(self) -> str:
        return conversation_id(self.page_id, self.psid)


class Eraser(Protocol):
    """What a service does about one person. Numbers of documents, by collection."""

    async def erase(self, person: Person) -> Counts: ...

    async def count(self, person: Person) -> Counts: ...


class ErasureBody(BaseModel):
    """Who is to be erased. Ids are digits at Facebook; nothing here relies on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page_id: str = Field(min_length=1, max_length=64, pattern=r"^[^:\s]+$")
    psid: str = Field(min_length=1, max_length=64, pattern=r"^[^:\s]+$")
    until: UtcDatetime | None = None


ERASER: web.AppKey[Late[Eraser]] = web.AppKey("eraser", Late)


def add_erasure_routes(app: web.Application) -> None:
    app[ERASER] = Late("the database")
    app.router.add_post("/internal/v1/erasures", erase)
    app.router.add_post("/internal/v1/erasures/check", check)


async def erase(request: web.Request) -> web.Response:
    """POST: everything that is stored about the person here goes."""
    person = await _person(request)
    if isinstance(person, web.Response):
        return person
    return web.json_response({"erased": dict(await request.app[ERASER].get().erase(person))})


async def check(request: web.Request) -> web.Response:
    """POST: how much is stored about the person here."""
    person = await _person(request)
    if isinstance(person, web.Response):
        return person
    return web.json_response({"left": dict(await request.app[ERASER].get().count(person))})


async def _person(request: web.Request) -> Person | web.Response:
    try:
        body = ErasureBody.model_validate_json(await request.read())
    except ValidationError as error:
        return invalid(error, "invalid_body")
    return Person(body.page_id, body.psid, body.until)
