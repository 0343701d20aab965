"""Dead letters of the workspace's Pages: which there are, what shape they have, an end for each."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

from aiohttp import web
from pydantic import Field, ValidationError

from libs.common.kafka import KafkaUnavailableError, PublishError
from services.console.dead_letters import (
    LetterRefusedError,
    Letters,
    ShownLetter,
    UnknownLetterError,
)
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.forms import FormModel
from services.console.web.pages import DEAD_LETTERS, go_and_say, show

PATH = "/health/dead-letters"
SHOWN = 100
AT_ONCE = 100  # replayed by one click, while somebody waits
AWAY = "Kafka gives no answer, so the list can't be read. Nothing of it is lost: try again."
UNCLEAR = "Kafka gave no answer. It may be back on its topic; doing it again does no harm."
STATES: Mapping[str, tuple[str, str]] = {
    "open": ("warn", "Waits"),
    "replaying": ("calm", "Being replayed"),
    "replayed": ("good", "Replayed"),
    "discarded": ("calm", "Discarded"),
}
NO_ANSWER = (KafkaUnavailableError, PublishError)


class Filters(FormModel):
    """What of the list is shown; it stands in the address."""

    show: Literal["", "settled"] = ""
    service: str = Field("", max_length=40)
    error: str = Field("", max_length=150)

    def address(self, path: str = PATH, **changes: str) -> str:
        wanted = {name: each for name, each in (self.model_dump() | changes).items() if each}
        return f"{path}?{urlencode(wanted)}" if wanted else path

    def fits(self, shown: ShownLetter) -> bool:
        letter = shown.letter
        return (
            shown.is_open is not (self.show == "settled")
            and self.service in ("", letter.service or "unknown")
            and self.error in ("", letter.error or "unknown")
        )


def add_routes(app: web.Application) -> None:
    one = f"{PATH}/{{letter}}"
    add_page(app, "GET", PATH, overview, Access.ADMIN)
    add_page(app, "POST", f"{PATH}/replay", replay_all, Access.ADMIN)
    add_page(app, "GET", one, view, Access.ADMIN)
    add_page(app, "POST", f"{one}/replay", replay, Access.ADMIN)
    add_page(app, "POST", f"{one}/discard", discard, Access.ADMIN)


async def overview(request: web.Request) -> web.StreamResponse:
    filters = _filters(request.query)
    status, wrong = 200, None
    try:
        found = await request.app[DEAD_LETTERS].get().of_workspace(_workspace_id(request))
    except KafkaUnavailableError:
        found, status, wrong = Letters((), is_cut=False), 503, AWAY
    chosen = [each for each in found.letters if filters.fits(each)]
    return await show(
        request,
        "dead_letters.html",
        status=status,
        letters=chosen[:SHOWN],
        more=max(0, len(chosen) - SHOWN),
        replayable=min(AT_ONCE, len(_replayable(chosen))),
        is_cut=found.is_cut,
        services=sorted({each.letter.service or "unknown" for each in found.letters}),
        errors=sorted({each.letter.error or "unknown" for each in found.letters}),
        filters=filters,
        states=STATES,
        wrong=wrong,
    )


async def replay_all(request: web.Request) -> web.StreamResponse:
    """POST: what the filters show and can be put back, the oldest first, so many at once."""
    filters = _filters(request.query)
    office = request.app[DEAD_LETTERS].get()
    actor = visitor_of(request).actor
    done = failed = 0
    try:
        found = await office.of_workspace(actor.workspace_id)
        chosen = _replayable([each for each in found.letters if filters.fits(each)])
        for each in reversed(chosen[-AT_ONCE:]):
            try:
                await office.replay(actor, each.letter.id)
                done += 1
            except (LetterRefusedError, UnknownLetterError):  # its time on the topic is over
                failed += 1
    except NO_ANSWER:
        words = f"Kafka gave no answer in between. Replayed so far: {done}. Try again."
        return await go_and_say(request, filters.address(), words)
    left = f" {failed} could not be." if failed else ""
    return await go_and_say(request, filters.address(), f"Replayed: {done}.{left}")


async def view(request: web.Request) -> web.StreamResponse:
    return await _view(request)


async def replay(request: web.Request) -> web.StreamResponse:
    office = request.app[DEAD_LETTERS].get()
    try:
        await office.replay(visitor_of(request).actor, request.match_info["letter"])
    except LetterRefusedError as error:
        return await _view(request, wrong=str(error), status=409)
    except NO_ANSWER:
        return await _view(request, wrong=UNCLEAR, status=503)
    return await go_and_say(request, PATH, "It is back on its topic.")


async def discard(request: web.Request) -> web.StreamResponse:
    office = request.app[DEAD_LETTERS].get()
    try:
        await office.discard(visitor_of(request).actor, request.match_info["letter"])
    except LetterRefusedError as error:
        return await _view(request, wrong=str(error), status=409)
    except KafkaUnavailableError:
        return await _view(request, wrong=AWAY, status=503)
    return await go_and_say(request, PATH, "It is discarded.")


async def _view(
    request: web.Request, *, wrong: str | None = None, status: int = 200
) -> web.StreamResponse:
    office = request.app[DEAD_LETTERS].get()
    shown, text = None, ""
    try:
        shown, text = await office.letter(_workspace_id(request), request.match_info["letter"])
    except KafkaUnavailableError:
        wrong, status = wrong or AWAY, 503
    return await show(
        request,
        "dead_letter.html",
        status=status,
        shown=shown,
        text=text,
        states=STATES,
        wrong=wrong,
    )


def _replayable(letters: Sequence[ShownLetter]) -> list[ShownLetter]:
    return [each for each in letters if each.is_open and not each.why_not]


def _workspace_id(request: web.Request) -> str:
    return visitor_of(request).workspace.id


def _filters(query: Mapping[str, Any]) -> Filters:
    try:
        return Filters.model_validate(dict(query))
    except ValidationError:
        raise web.HTTPBadRequest(text="This address names no list.") from None
