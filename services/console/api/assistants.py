"""Operations on assistants."""

from services.console.api.assistants_schemas import (
    AssistantChange,
    AssistantShown,
    AssistantsShown,
    AssistantWanted,
    KeyWanted,
    Question,
    TriedShown,
)
from services.console.api.operations import NOT_FOUND, Call, Operation, Refusal
from services.console.assistants import Assistants
from services.console.domain.tokens import Scope
from services.console.trying import try_assistant
from services.console.web.pages import ASSISTANTS

WRONG_SETTING = Refusal(422, "wrong_setting", "A setting can't be used, and `field` says which.")
CHANGED = Refusal(409, "changed_meanwhile", "Somebody has changed it: it has another version.")
IN_USE = Refusal(409, "in_use", "Pages use it; the message names them.")
TOO_MANY = Refusal(409, "too_many_assistants", "One has to be deleted first.")
NO_KEY_TAKEN = Refusal(409, "no_key_taken", "Its provider takes no key.")
PAGE_NOT_FOUND = Refusal(404, "page_not_found", "The workspace has no such Page.")
BUSY = Refusal(429, "try_again", "Others are trying assistants at this moment.")


async def list_assistants(call: Call) -> AssistantsShown:
    found = await _assistants(call).all(call.workspace_id)
    return AssistantsShown(assistants=[AssistantShown.of(each) for each in found])


async def create_assistant(call: Call) -> AssistantShown:
    wanted: AssistantWanted = call.body
    made = await _assistants(call).create(call.caller.actor, wanted.model_dump())
    return await _shown(call, made.id)


async def show_assistant(call: Call) -> AssistantShown:
    return await _shown(call, call.path["assistant"])


async def change_assistant(call: Call) -> AssistantShown:
    change: AssistantChange = call.body
    assistant_id = call.path["assistant"]
    await _assistants(call).change(
        call.caller.actor, assistant_id, change.changes, expected=change.expects
    )
    return await _shown(call, assistant_id)


async def delete_assistant(call: Call) -> None:
    await _assistants(call).remove(call.caller.actor, call.path["assistant"])


async def store_key(call: Call) -> AssistantShown:
    wanted: KeyWanted = call.body
    assistant_id = call.path["assistant"]
    await _assistants(call).store_key(call.caller.actor, assistant_id, wanted.api_key)
    return await _shown(call, assistant_id)


async def forget_key(call: Call) -> AssistantShown:
    assistant_id = call.path["assistant"]
    await _assistants(call).forget_key(call.caller.actor, assistant_id)
    return await _shown(call, assistant_id)


async def try_out(call: Call) -> TriedShown:
    asked: Question = call.body
    assistant = await _assistants(call).assistant(call.workspace_id, call.path["assistant"])
    tried = await try_assistant(
        call.internal,
        call.audit,
        call.caller.actor,
        assistant,
        question=asked.question,
        history=[(line.role, line.text) for line in asked.history],
        page_id=asked.channel,
    )
    return TriedShown.of(tried)


def _assistants(call: Call) -> Assistants:
    return call.request.app[ASSISTANTS].get()


async def _shown(call: Call, assistant_id: str) -> AssistantShown:
    return AssistantShown.of(await _assistants(call).used(call.workspace_id, assistant_id))


ASSISTANT_OPERATIONS = (
    Operation(
        "GET",
        "/assistants",
        "listAssistants",
        "List assistants",
        "Assistants",
        Scope.ASSISTANTS_READ,
        list_assistants,
        AssistantsShown,
    ),
    Operation(
        "POST",
        "/assistants",
        "createAssistant",
        "Make an assistant",
        "Assistants",
        Scope.ASSISTANTS_WRITE,
        create_assistant,
        AssistantShown,
        status=201,
        body=AssistantWanted,
        refusals=(WRONG_SETTING, TOO_MANY),
    ),
    Operation(
        "GET",
        "/assistants/{assistant}",
        "getAssistant",
        "Show an assistant",
        "Assistants",
        Scope.ASSISTANTS_READ,
        show_assistant,
        AssistantShown,
        refusals=(NOT_FOUND,),
    ),
    Operation(
        "PATCH",
        "/assistants/{assistant}",
        "changeAssistant",
        "Change an assistant; another provider or base URL forgets its key",
        "Assistants",
        Scope.ASSISTANTS_WRITE,
        change_assistant,
        AssistantShown,
        body=AssistantChange,
        refusals=(NOT_FOUND, WRONG_SETTING, CHANGED),
    ),
    Operation(
        "DELETE",
        "/assistants/{assistant}",
        "deleteAssistant",
        "Delete an assistant that no Page uses",
        "Assistants",
        Scope.ASSISTANTS_WRITE,
        delete_assistant,
        None,
        refusals=(NOT_FOUND, IN_USE, CHANGED),
    ),
    Operation(
        "PUT",
        "/assistants/{assistant}/key",
        "storeAssistantKey",
        "Store the provider's API key, encrypted; it is never shown",
        "Assistants",
        Scope.ASSISTANTS_WRITE,
        store_key,
        AssistantShown,
        body=KeyWanted,
        refusals=(NOT_FOUND, NO_KEY_TAKEN, CHANGED),
    ),
    Operation(
        "DELETE",
        "/assistants/{assistant}/key",
        "forgetAssistantKey",
        "Forget the API key",
        "Assistants",
        Scope.ASSISTANTS_WRITE,
        forget_key,
        AssistantShown,
        refusals=(NOT_FOUND, CHANGED),
    ),
    Operation(
        "POST",
        "/assistants/{assistant}/test",
        "tryAssistant",
        "Ask an assistant as a person would; nothing is sent, and it costs what an answer costs",
        "Assistants",
        Scope.ASSISTANTS_WRITE,
        try_out,
        TriedShown,
        body=Question,
        refusals=(NOT_FOUND, PAGE_NOT_FOUND, BUSY),
    ),
)
