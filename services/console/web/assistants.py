"""Assistants: the list, one of them with a form for each card, making and deleting one."""

from typing import Any

from aiohttp import web
from pydantic import Field

from libs.common.channels import Assistant
from services.console.assistants import (
    AssistantChangedError,
    AssistantInUseError,
    TooManyAssistantsError,
    UsedAssistant,
)
from services.console.domain import assistants as rules
from services.console.domain.assistants import WrongSettingError
from services.console.web.access import Access, add_page, visitor_of
from services.console.web.assistant_page import (
    FIELDS,
    ID,
    Card,
    KnowledgeForm,
    ModelForm,
    PromptForm,
    assistant_page,
    used_assistant,
)
from services.console.web.forms import FORM, Form, FormModel
from services.console.web.pages import ASSISTANTS, go_and_say, is_htmx, moment, render, show


class NewForm(FormModel):
    name: str = Field(min_length=1, max_length=rules.LONGEST_NAME)
    system_prompt: str = Field(min_length=1, max_length=rules.LONGEST_PROMPT)


class NothingForm(FormModel):
    """A button."""


def add_routes(app: web.Application) -> None:
    add_page(app, "GET", "/assistants", list_assistants, Access.SIGNED_IN)
    add_page(app, "GET", "/assistants/new", show_new, Access.ADMIN)
    add_page(app, "POST", "/assistants/new", create, Access.ADMIN)
    add_page(app, "GET", f"/assistants/{ID}", show_assistant, Access.SIGNED_IN)
    add_page(app, "POST", f"/assistants/{ID}/prompt", save_prompt, Access.ADMIN)
    add_page(app, "POST", f"/assistants/{ID}/knowledge", save_knowledge, Access.ADMIN)
    add_page(app, "POST", f"/assistants/{ID}/model", save_model, Access.ADMIN)
    add_page(app, "POST", f"/assistants/{ID}/key/remove", remove_key, Access.ADMIN)
    add_page(app, "GET", f"/assistants/{ID}/delete", confirm_delete, Access.ADMIN)
    add_page(app, "POST", f"/assistants/{ID}/delete", delete, Access.ADMIN)


async def list_assistants(request: web.Request) -> web.StreamResponse:
    found = await request.app[ASSISTANTS].get().all(visitor_of(request).workspace.id)
    return await show(request, "assistants.html", assistants=found, providers=rules.PROVIDERS)


async def show_new(request: web.Request) -> web.StreamResponse:
    return await show(request, "new_assistant.html", form=Form.empty(NewForm))


async def create(request: web.Request) -> web.StreamResponse:
    form = await Form.read(NewForm, request)
    if (given := form.value) is not None:
        actor = visitor_of(request).actor
        try:
            made = await request.app[ASSISTANTS].get().create(actor, given.model_dump())
        except TooManyAssistantsError as error:
            form.fail(FORM, f"Not made: {error}.")
        else:
            words = f"“{made.name}” is made. Give it something to know, and try it below."
            return await go_and_say(request, f"/assistants/{made.id}", words)
    return render(request, "new_assistant.html", status=422, form=form)


async def show_assistant(request: web.Request) -> web.StreamResponse:
    return await assistant_page(request, await used_assistant(request))


async def save_prompt(request: web.Request) -> web.StreamResponse:
    used = await used_assistant(request)
    form = await Form.read(PromptForm, request)
    changes = form.value.model_dump(exclude={"seen"}) if form.value else {}
    return await _save(request, used, "prompt", form, changes)


async def save_knowledge(request: web.Request) -> web.StreamResponse:
    used = await used_assistant(request)
    form = await Form.read(KnowledgeForm, request)
    changes = form.value.model_dump(exclude={"seen"}) if form.value else {}
    return await _save(request, used, "knowledge", form, changes)


async def save_model(request: web.Request) -> web.StreamResponse:
    used = await used_assistant(request)
    form = await Form.read(ModelForm, request)
    given = form.value
    changes, key = (given.wanted, given.api_key or None) if given else ({}, None)
    return await _save(request, used, "model", form, changes, key)


async def remove_key(request: web.Request) -> web.StreamResponse:
    used = await used_assistant(request)
    where = f"/assistants/{used.assistant.id}"
    try:
        await request.app[ASSISTANTS].get().forget_key(visitor_of(request).actor, used.assistant.id)
    except AssistantChangedError:
        return await go_and_say(request, where, "Others are changing this assistant. Try again.")
    return await go_and_say(request, where, "The API key is forgotten.")


async def confirm_delete(request: web.Request) -> web.StreamResponse:
    used = await used_assistant(request)
    return await show(request, "delete_assistant.html", used=used, form=Form.empty(NothingForm))


async def delete(request: web.Request) -> web.StreamResponse:
    used = await used_assistant(request)
    form = Form.empty(NothingForm)
    try:
        actor = visitor_of(request).actor
        gone = await request.app[ASSISTANTS].get().remove(actor, used.assistant.id)
    except AssistantInUseError as error:
        used = UsedAssistant(used.assistant, error.pages)
        form.fail(FORM, "Not deleted: Pages use this assistant.")
    except AssistantChangedError:
        form.fail(FORM, "Not deleted: somebody is changing this assistant. Try again.")
    else:
        return await go_and_say(request, "/assistants", f"“{gone.name}” is deleted.")
    return render(request, "delete_assistant.html", status=422, used=used, form=form)


async def _save(
    request: web.Request,
    used: UsedAssistant,
    card: Card,
    form: Form[Any],
    changes: dict[str, Any],
    key: str | None = None,
) -> web.StreamResponse:
    """One card's change. Of two people who change the same card, the second is told."""
    assistant, fields = used.assistant, FIELDS[card]
    if (given := form.value) is not None:
        try:
            done = await (
                request.app[ASSISTANTS]
                .get()
                .change(
                    visitor_of(request).actor,
                    assistant.id,
                    changes,
                    key=key,
                    expected=lambda now: given.seen in ("", rules.fingerprint(now, fields)),
                )
            )
        except WrongSettingError as error:
            form.fail(error.field, str(error))
        except AssistantChangedError as error:
            form.fail(FORM, _overtaken(error.now))
            used = UsedAssistant(error.now, used.pages)
        else:
            words = "Saved."
            if done.key_dropped:
                words += " The stored API key was for another address, so it is forgotten."
            if is_htmx(request):
                used = UsedAssistant(done.assistant, used.pages)
                return await assistant_page(request, used, saved={card: words})
            return await go_and_say(request, f"/assistants/{assistant.id}", words)
    return await assistant_page(request, used, status=422, forms={card: form})


def _overtaken(now: Assistant) -> str:
    who = f"{now.changed.by_name} changed" if now.changed else "Somebody changed"
    when = f" on {moment(now.changed.at)}" if now.changed else ""
    return (
        f"{who} this{when}, while you were editing. What you typed is still here and not saved. "
        "Open this page in another tab to see theirs; Save puts yours in its place."
    )
