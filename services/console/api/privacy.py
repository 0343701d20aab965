"""`/api/v1`: erasing people, and a copy of what is stored about them."""

from datetime import datetime
from typing import Any

from pydantic import Field

from libs.common.errors import PermanentError
from services.console.api.operations import NOT_FOUND, Body, Call, Operation, Refusal, Shown
from services.console.domain.erasure import How, State
from services.console.domain.tokens import Scope
from services.console.erasures_store import Erasure, ErasureStore, counted
from services.console.internal import ServiceAwayError, ServiceRefusedError
from services.console.people import People
from services.console.web.pages import ERASING, ERASURES

PSID = r"^[0-9]{1,32}$"

BAD_CURSOR = Refusal(400, "bad_cursor", "The cursor is not one that was handed out.")
SERVICE_AWAY = Refusal(503, "service_away", "Another service does not answer; try again.")


class UnknownErasureError(PermanentError):
    """There is none with this code that concerns the workspace."""

    code = "not_found"


class BadCursorError(PermanentError):
    """It wasn't taken from `next`."""

    code = "bad_cursor"


class AwayError(PermanentError):
    """A service that has to be asked is away."""

    code = "service_away"


class ErasureWanted(Body):
    """Whom to erase."""

    psid: str = Field(pattern=PSID, description="the person's page-scoped id")


class ErasureShown(Shown):
    """A request to erase somebody's data. It names nobody."""

    code: str
    how: How
    state: State
    words: str = Field(description="the state, for people")
    requested_at: datetime
    erased_at: datetime | None = Field(description="up to when everything is erased")
    done_at: datetime | None = Field(description="when a search found nothing left")
    waits_for: str | None = Field(description="a service that is away, or `facebook`")
    pages: tuple[str, ...] = Field(description="ids of the workspace's Pages that it concerns")
    erased: dict[str, int] = Field(description="documents, by kind")
    left: dict[str, int] | None = Field(description="what the last search found, by kind")

    @classmethod
    def of(cls, erasure: Erasure, page_ids: set[str]) -> "ErasureShown":
        return cls(
            code=erasure.id,
            how=erasure.how,
            state=erasure.state.state,
            words=erasure.state.words,
            requested_at=erasure.requested_at,
            erased_at=erasure.erased_at,
            done_at=erasure.done_at,
            waits_for=erasure.waits_for,
            pages=tuple(each for each in erasure.pages if each in page_ids),
            erased=erasure.counts(page_ids),
            left=None if erasure.left is None else counted(erasure.left, page_ids),
        )


class Erasures(Shown):
    """The latest hundred, the latest first."""

    erasures: list[ErasureShown]


class PersonExport(Shown):
    """Everything that is stored about a person. Facts come with the first stretch only."""

    page_id: str
    psid: str
    facts: dict[str, Any] | None = Field(
        description="`conversation`, `person`, `contact`, `deliveries`, as they are kept; null "
        "where a `cursor` was given"
    )
    messages: list[dict[str, Any]] = Field(description="the newest first")
    next: str | None = Field(description="the `cursor` of what follows; null at the end")


class ExportWanted(Body):
    """Which stretch of the messages."""

    cursor: str | None = Field(None, max_length=200, description="`next` of the answer before")


async def erase_person(call: Call) -> ErasureShown:
    wanted: ErasureWanted = call.body
    page_id = call.path["channel"]
    await call.connecting.channel(call.workspace_id, page_id)
    erasing = call.request.app[ERASING].get()
    erasure = await erasing.wished_by(call.caller.actor, page_id, wanted.psid)
    return ErasureShown.of(erasure, {page_id})


async def list_erasures(call: Call) -> Erasures:
    page_ids = await _page_ids(call)
    found = await _store(call).of_workspace(call.workspace_id, sorted(page_ids))
    return Erasures(erasures=[ErasureShown.of(each, page_ids) for each in found])


async def show_erasure(call: Call) -> ErasureShown:
    page_ids = await _page_ids(call)
    erasure = await _store(call).erasure(call.path["code"])
    if erasure is None or not (
        erasure.workspace_id == call.workspace_id or page_ids & set(erasure.pages)
    ):
        raise UnknownErasureError("there is no erasure with this code")
    return ErasureShown.of(erasure, page_ids)


async def export_person(call: Call) -> PersonExport:
    query: ExportWanted = call.query
    page_id, psid = call.path["channel"], call.path["psid"]
    channel = await call.connecting.channel(call.workspace_id, page_id)
    people = People(call.internal)
    try:
        async with call.audit.doing(
            call.caller.actor, "person.exported", target=channel.page_name, target_id=channel.id
        ):
            facts = None if query.cursor else await people.facts(page_id, psid)
            messages, following = await people.messages(page_id, psid, query.cursor)
    except ServiceAwayError as error:
        raise AwayError(str(error)) from None
    except ServiceRefusedError:
        raise BadCursorError("take the cursor from `next` as it is") from None
    return PersonExport(page_id=page_id, psid=psid, facts=facts, messages=messages, next=following)


async def _page_ids(call: Call) -> set[str]:
    return {each.channel.id for each in await call.channels.of_workspace(call.workspace_id)}


def _store(call: Call) -> ErasureStore:
    return call.request.app[ERASURES].get()


PRIVACY_OPERATIONS = (
    Operation(
        "POST",
        "/channels/{channel}/erasures",
        "erasePerson",
        "Have everything erased that is stored about a person of a Page",
        "Privacy",
        Scope.PEOPLE_ERASE,
        erase_person,
        ErasureShown,
        status=202,
        body=ErasureWanted,
        refusals=(NOT_FOUND,),
    ),
    Operation(
        "GET",
        "/erasures",
        "listErasures",
        "List requests to erase somebody's data",
        "Privacy",
        Scope.PEOPLE_READ,
        list_erasures,
        Erasures,
    ),
    Operation(
        "GET",
        "/erasures/{code}",
        "getErasure",
        "Show how an erasure stands",
        "Privacy",
        Scope.PEOPLE_READ,
        show_erasure,
        ErasureShown,
        refusals=(NOT_FOUND,),
    ),
    Operation(
        "GET",
        "/channels/{channel}/people/{psid}/export",
        "exportPerson",
        "Everything that is stored about a person of a Page",
        "Privacy",
        Scope.PEOPLE_READ,
        export_person,
        PersonExport,
        query=ExportWanted,
        refusals=(NOT_FOUND, BAD_CURSOR, SERVICE_AWAY),
    ),
)
