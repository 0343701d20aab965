"""The OpenAPI document of `/api/v1`, from the operations' declarations."""

from collections.abc import Iterable, Sequence

from pydantic import BaseModel

from libs.common.openapi import Json
from libs.common.openapi import Operation as Described
from libs.common.openapi import document as made
from services.console.api.operations import PREFIX, Operation, Refusal

INVALID = Refusal(422, "invalid", "A field is wrong, and `field` says which.")
NOT_JSON = Refusal(400, "not_json", "The body is not JSON.")
TOO_LARGE = Refusal(413, "request_entity_too_large", "The body is larger than 1 MiB.")
UNAUTHORIZED = Refusal(401, "unauthorized", "There is no API token that works.")
SCOPE_NEEDED = Refusal(403, "scope_needed", "The token may not do this.")
UNAVAILABLE = Refusal(
    503, "unavailable", "The database, or a service that is asked, is away; try again in a moment."
)


def document(operations: Sequence[Operation]) -> Json:
    return made(
        "Messenger assistant: management API",
        "Everything needs an API token, which an administrator makes in the console. A token acts "
        "for who made it, in one workspace, within its scopes, and for as long as that person is "
        "an administrator there.",
        "1",
        map(_described, operations),
        scheme="apiToken",
    )


def refusals(operation: Operation) -> Iterable[Refusal]:
    """Every error that an operation may answer with."""
    yield UNAUTHORIZED
    if operation.scope is not None:
        yield SCOPE_NEEDED
    if operation.body is not None:
        yield from (NOT_JSON, TOO_LARGE)
    if operation.body is not None or operation.query is not None:
        yield INVALID
    yield from operation.refusals
    yield UNAVAILABLE


def _described(operation: Operation) -> Described:
    answers: dict[int, tuple[str, type[BaseModel] | None]] = {}
    answers[operation.status if operation.answer else 204] = ("Done.", operation.answer)
    for refusal in sorted(refusals(operation), key=lambda each: each.status):
        words = f"`{refusal.code}`: {refusal.means}"
        before, _ = answers.get(refusal.status, ("", None))
        answers[refusal.status] = (f"{before} {words}".strip(), None)
    return Described(
        operation.method,
        PREFIX + operation.path,
        operation.summary,
        answers,
        description=f"Needs the scope `{operation.scope}`." if operation.scope else "",
        body=operation.body,
        query=operation.query,
        headers=operation.headers,
        operation_id=operation.name,
        tag=operation.tag,
    )
