"""The Test panel of an assistant: a small conversation that nobody gets."""

from typing import Literal

from aiohttp import web

from services.console.assistants import UsedAssistant
from services.console.domain.assistants import WrongSettingError
from services.console.internal import ServiceAwayError, ServiceRefusedError
from services.console.trying import TrialsBusyError, Tried, UnknownPageError, try_assistant
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.assistant_page import (
    ID,
    MOST_SHOWN,
    Exchange,
    Trial,
    TrialForm,
    assistant_page,
    used_assistant,
)
from services.console.web.forms import FORM, Form
from services.console.web.pages import ASSISTANTS, AUDIT, INTERNAL

NOTHING = "(Nothing is sent.)"

Said = tuple[Literal["person", "assistant"], str]


def add_routes(app: web.Application) -> None:
    add_page(app, "POST", f"/assistants/{ID}/test", try_it, Access.ADMIN)


async def try_it(request: web.Request) -> web.StreamResponse:
    used = await used_assistant(request)
    form = await Form.read(TrialForm, request)
    given = form.value
    if given is None:
        return await assistant_page(request, used, status=422, trial=Trial(form))
    if given.over:
        return await assistant_page(request, used, trial=Trial.empty(used))
    earlier = tuple(map(Exchange, given.asked, given.answered, given.notes))[1 - MOST_SHOWN :]
    tried = await _tried(request, used, form, given, earlier)
    if tried is None:
        return await assistant_page(request, used, status=422, trial=Trial(form, earlier))
    latest = Exchange(given.question, tried.text or NOTHING, note_of(tried))
    asked_again = Form.empty(TrialForm, page=given.page, against=given.against)
    trial = Trial(asked_again, (*earlier, latest), tried)
    return await assistant_page(request, used, trial=trial)


async def _tried(
    request: web.Request,
    used: UsedAssistant,
    form: Form[TrialForm],
    given: TrialForm,
    earlier: tuple[Exchange, ...],
) -> Tried | None:
    """None: the form says why."""
    if not given.question:
        form.fail("question", "Fill this in.")
        return None
    actor, assistant = visitor_of(request).actor, used.assistant
    draft = None
    try:
        if given.against == "typed":
            assistants = request.app[ASSISTANTS].get()
            draft = assistants.draft(actor, assistant, given.typed, given.api_key or None)
        return await try_assistant(
            request.app[INTERNAL].get(),
            request.app[AUDIT].get(),
            actor,
            assistant,
            question=given.question,
            history=_history(earlier),
            page_id=given.page or None,
            draft=draft,
        )
    except WrongSettingError as error:
        form.fail(FORM, f"Not tried, as what is typed can't be used: {error}")
    except TrialsBusyError:
        form.fail(FORM, "Others are trying assistants at this moment. Try again.")
    except UnknownPageError:
        form.fail("page", "Choose one of these.")
    except ServiceAwayError:
        form.fail(FORM, "The conversation service gives no answer. Try again in a moment.")
    except ServiceRefusedError:
        form.fail(FORM, "The conversation service can't try this.")
    return None


def note_of(tried: Tried) -> str:
    """By whom, how fast, for how much."""
    who = "no model" if tried.model == "none" else tried.model
    if tried.is_demo:
        who = "offline demo model"
    parts = [who, f"{tried.duration_s:.2f} s"]
    if tried.input_tokens is not None and tried.output_tokens is not None and not tried.is_demo:
        parts.append(f"{tried.input_tokens} tokens in, {tried.output_tokens} out")
    return " · ".join(parts)


def _history(earlier: tuple[Exchange, ...]) -> list[Said]:
    said: list[Said] = []
    for each in earlier:
        said += [("person", each.asked), ("assistant", each.answered)]
    return said
