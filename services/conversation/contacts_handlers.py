"""The internal HTTP API: contacts of a workspace, and what a human decides about a suggestion.

Lists are paged as those of conversations are: `limit`, `cursor`, `next`.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.functional_validators import AfterValidator

from libs.common.errors import TransientError
from libs.common.mongo import Document
from libs.common.web import Late, invalid, problem
from services.conversation.contacts import ContactKeeper, NotSuggestedError
from services.conversation.contacts_store import (
    AfterContact,
    ContactStore,
    KnownContact,
    search_key,
    sort_key,
)
from services.conversation.domain.contact_addresses import email_of, phone_of
from services.conversation.domain.contacts import Contact, Person
from services.conversation.domain.profiles import LONGEST_NAME, Profile

CONTACTS: web.AppKey[Late[ContactStore]] = web.AppKey("contacts", Late)
KEEPER: web.AppKey[Late[ContactKeeper]] = web.AppKey("keeper", Late)

MOST_ADDRESSES = 20

B = TypeVar("B", bound=BaseModel)


def _email(text: str) -> str:
    if (email := email_of(text)) is None:
        raise ValueError("an e-mail address")
    return email


def _phone(text: str) -> str:
    if (phone := phone_of(text)) is None:
        raise ValueError("a telephone number with its country's code, as +49 30 123456")
    return phone


class ContactQuery(BaseModel):
    """Which stretch of the list is asked for; `search` begins a name, an address or a number."""

    search: str = Field("", max_length=LONGEST_NAME)
    cursor: AfterContact | None = None
    limit: int = Field(50, ge=1, le=200)

    @field_validator("cursor", mode="before")
    @classmethod
    def _opened(cls, value: object) -> object:
        return _from_cursor(value) if isinstance(value, str) else value


class ContactBody(BaseModel):
    """A contact that the workspace has from elsewhere."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=LONGEST_NAME)
    emails: tuple[Annotated[str, AfterValidator(_email)], ...] = Field(
        (), max_length=MOST_ADDRESSES
    )
    phones: tuple[Annotated[str, AfterValidator(_phone)], ...] = Field(
        (), max_length=MOST_ADDRESSES
    )


class Acceptance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    contact_id: str = Field(min_length=1)


class Refusal(BaseModel):
    """Without `contact_id`: all that are suggested."""

    model_config = ConfigDict(extra="forbid")

    contact_id: str | None = Field(None, min_length=1)


def add_contact_routes(app: web.Application) -> None:
    workspace = "/internal/v1/workspaces/{workspace_id}/contacts"
    app.router.add_get(workspace, list_contacts)
    app.router.add_get(f"{workspace}/{{contact_id}}", show_contact)
    app.router.add_put(f"{workspace}/{{contact_id:[A-Za-z0-9_-]{{1,64}}}}", put_contact)
    suggestion = "/internal/v1/conversations/{conversation}/contact-suggestion"
    app.router.add_post(f"{suggestion}/accept", accept_suggestion)
    app.router.add_post(f"{suggestion}/decline", decline_suggestion)


async def list_contacts(request: web.Request) -> web.Response:
    """GET: `{contacts: [{id, name, emails, phones, identities}], next}`, by name."""
    try:
        query = ContactQuery.model_validate(dict(request.query))
    except ValidationError as error:
        return invalid(error, "invalid_query")
    store = request.app[CONTACTS].get()
    workspace_id = request.match_info["workspace_id"]
    prefix = search_key(query.search)
    found = await store.contacts(workspace_id, prefix, query.cursor, query.limit)
    contacts = [each.contact for each in found]
    last = contacts[-1] if len(contacts) == query.limit else None
    return web.json_response(
        {"contacts": [_contact(each) for each in contacts], "next": _next(last)}
    )


async def show_contact(request: web.Request) -> web.Response:
    """GET: one contact with its identities."""
    found = await _found(request)
    return _no_contact() if found is None else web.json_response(_contact(found.contact))


async def put_contact(request: web.Request) -> web.Response:
    """PUT: make a contact that is known from elsewhere, or replace its name and addresses.

    Its identities stay. Doing it twice changes nothing.
    """
    try:
        body = ContactBody.model_validate_json(await request.read())
    except ValidationError as error:
        return invalid(error, "invalid_body")
    keeper, match = request.app[KEEPER].get(), request.match_info
    given = (body.name, body.emails, body.phones)
    with _again_later():
        contact = await keeper.put(match["workspace_id"], match["contact_id"], *given)
    if contact is None:
        return problem(409, "conflict", "another workspace has a contact of this id")
    return web.json_response(_contact(contact))


async def accept_suggestion(request: web.Request) -> web.Response:
    """POST `{contact_id}`: the person is this contact. Answers the person as the list shows it."""
    return await _decided(request, Acceptance)


async def decline_suggestion(request: web.Request) -> web.Response:
    """POST `{contact_id?}`: the person is not this contact, or none of those suggested."""
    return await _decided(request, Refusal)


async def _decided(request: web.Request, kind: type[Acceptance | Refusal]) -> web.Response:
    try:
        body = kind.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        return invalid(error, "invalid_body")
    keeper, conversation = request.app[KEEPER].get(), request.match_info["conversation"]
    try:
        with _again_later():
            if isinstance(body, Acceptance):
                person = await keeper.accept(conversation, body.contact_id)
            else:
                person = await keeper.decline(conversation, body.contact_id)
    except NotSuggestedError:
        return problem(409, "not_suggested", "there is no such suggestion, or not any more")
    return web.json_response({"id": conversation, **person_shown(person)})


@contextmanager
def _again_later() -> Iterator[None]:
    """503 for what the same request will do in a moment."""
    try:
        yield
    except TransientError as error:
        raise web.HTTPServiceUnavailable(
            text="try again in a moment", headers={"Retry-After": "1"}
        ) from error


def person_shown(person: Person | None) -> Document:
    """What the list of conversations shows of a person."""
    profile = person.profile if person else Profile()
    link = person.link if person else None
    suggestion = link.suggestion if link else None
    return {
        "name": profile.shown_name,
        "first_name": profile.first_name,
        "last_name": profile.last_name,
        "picture_url": profile.picture_url,
        "picture_fetched_at": profile.fetched_at.isoformat() if profile.fetched_at else None,
        "contact_id": link.contact_id if link and link.state == "linked" else None,
        "contact_linked_by": link.by if link and link.state == "linked" else None,
        "contact_suggestion": suggestion.model_dump(mode="json") if suggestion else None,
    }


async def _found(request: web.Request) -> KnownContact | None:
    found = await request.app[CONTACTS].get().contact(request.match_info["contact_id"])
    workspace_id = request.match_info["workspace_id"]
    return found if found and found.contact.workspace_id == workspace_id else None


def _contact(contact: Contact) -> Document:
    return {
        "id": contact.id,
        "workspace_id": contact.workspace_id,
        "name": contact.name,
        "emails": list(contact.emails),
        "phones": list(contact.phones),
        "identities": [_identity(person_id) for person_id in contact.people],
        "created_automatically": contact.is_made_by_us,
        "created_at": contact.created_at.isoformat(),
    }


def _identity(person_id: str) -> Document:
    page_id, _, psid = person_id.partition(":")
    return {"channel": "messenger", "page_id": page_id, "psid": psid, "conversation": person_id}


def _no_contact() -> web.Response:
    return problem(404, "not_found", "there is no such contact in this workspace")


def _next(last: Contact | None) -> str | None:
    """The cursor of the last one shown, if there may be more behind it."""
    if last is None:
        return None
    return base64.urlsafe_b64encode(json.dumps([sort_key(last), last.id]).encode()).decode()


def _from_cursor(cursor: str) -> AfterContact:
    try:
        key, contact_id = json.loads(base64.urlsafe_b64decode(cursor))
        after = AfterContact(str(key), str(contact_id))
        f"{after.sort_key}{after.id}".encode()  # the database takes no half of a surrogate pair
        return after
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise ValueError("take it from `next` as it is") from None
