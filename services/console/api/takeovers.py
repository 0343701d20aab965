"""`/api/v1`: taking over, writing to people, and what was not sent."""

from collections.abc import Iterator
from contextlib import contextmanager

from libs.common.errors import PermanentError
from services.console.api.operations import NOT_FOUND, Call, Operation, Refusal
from services.console.api.takeovers_schemas import (
    DecisionWanted,
    DeliveriesShown,
    DeliveryShown,
    ExtendWanted,
    MessageAccepted,
    TakeoverShown,
    TakeWanted,
    TextWanted,
)
from services.console.deliveries import DecisionRefusedError, Deliveries
from services.console.domain.tokens import Scope
from services.console.internal import ServiceAwayError
from services.console.takeovers import TakeoverRefusedError, Takeovers
from services.console.web.pages import DELIVERIES, INBOX, TAKEOVERS

KEY = "Idempotency-Key"
LONGEST_KEY = 200
CONVERSATION = "/conversations/{conversation}"

AWAY = Refusal(503, "service_away", "Another service does not answer; the same may be asked again.")
TAKEN = Refusal(409, "already_taken", "Somebody else has the conversation.")
TAKEN_BY_OTHER = Refusal(409, "taken_by_other", "Somebody else has the conversation.")
NOT_TAKEN = Refusal(409, "not_taken_over", "The assistant has the conversation.")
KEY_NEEDED = Refusal(422, "invalid_header", f"`{KEY}` has 1 to {LONGEST_KEY} ASCII characters.")
KEY_REUSED = Refusal(409, "idempotency_key_reused", "The key belongs to another text.")
CLOSED = Refusal(409, "window_closed", "More than 7 days since the person wrote.")
NEVER = Refusal(409, "no_user_message", "The person has never written.")
DISABLED = Refusal(409, "channel_disabled", "The Page is not connected, or it is paused.")
MAY_BE_SENT = Refusal(409, "may_be_sent", "Asked for before, with no answer; it can't be sent now.")
OTHER_APP = Refusal(409, "thread_owned_by_other_app", "Another app has the conversation.")
NOT_THERE = Refusal(409, "not_listed", "It was sent, discarded, or its person was erased.")
SENT = Refusal(409, "already_sent", "It has arrived after all.")
CHANGED = Refusal(409, "changed", "Somebody decided about it meanwhile.")
DISCARDED = Refusal(409, "discarded", "It was discarded.")
NOT_KEPT = Refusal(409, "not_kept", "The workspace does not keep its text any more.")
SUPERSEDED = Refusal(409, "superseded_by_human", "A human has the conversation.")

WRITING = (TAKEN_BY_OTHER, NOT_TAKEN, KEY_REUSED, CLOSED, NEVER, DISABLED, OTHER_APP, MAY_BE_SENT)
DECIDING = (NOT_THERE, SENT, CHANGED, DISCARDED, NOT_KEPT, SUPERSEDED)


class _RefusedError(PermanentError):
    """Base of what is answered; each code has a class of its own."""

    field: str | None = None


_BY_CODE: dict[str, type[_RefusedError]] = {
    refusal.code: type("RefusedError", (_RefusedError,), {"code": refusal.code})
    for refusal in (AWAY, TAKEN, KEY_NEEDED, *WRITING, *DECIDING)
}
_RENAMED = {"not_found": NOT_THERE.code}  # the part, while the conversation is there


@contextmanager
def _told() -> Iterator[None]:
    """Refusals of the offices, as the operations' own."""
    try:
        yield
    except ServiceAwayError as error:
        raise _BY_CODE[AWAY.code](str(error)) from None
    except (TakeoverRefusedError, DecisionRefusedError) as error:
        code = _RENAMED.get(error.reason, error.reason)
        if code not in _BY_CODE:
            raise
        raise _BY_CODE[code](str(error)) from None


async def show_takeover(call: Call) -> TakeoverShown:
    conversation = call.path["conversation"]
    with _told():
        takeover = await _takeovers(call).state(call.workspace_id, conversation)
    return TakeoverShown.of(conversation, takeover)


async def take_over(call: Call) -> TakeoverShown:
    wanted: TakeWanted = call.body
    conversation = call.path["conversation"]
    with _told():
        takeover = await _takeovers(call).take(
            call.caller.actor, conversation, wanted.auto_resume_minutes, wanted.take_from
        )
    return TakeoverShown.of(conversation, takeover)


async def extend(call: Call) -> TakeoverShown:
    wanted: ExtendWanted = call.body
    conversation = call.path["conversation"]
    with _told():
        takeover = await _takeovers(call).extend(
            call.caller.actor, conversation, wanted.auto_resume_minutes
        )
    return TakeoverShown.of(conversation, takeover)


async def resume(call: Call) -> TakeoverShown:
    conversation = call.path["conversation"]
    with _told():
        takeover = await _takeovers(call).resume(call.caller.actor, conversation)
    return TakeoverShown.of(conversation, takeover)


async def write(call: Call) -> MessageAccepted:
    wanted: TextWanted = call.body
    inbox = call.request.app[INBOX].get()
    await inbox.page_of(call.workspace_id, call.path["conversation"])  # not there: nothing else
    key = call.request.headers.get(KEY, "").strip()
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        error = _BY_CODE[KEY_NEEDED.code](f"give each message a {KEY} of its own, in ASCII")
        error.field = KEY
        raise error
    with _told():
        accepted = await _takeovers(call).write(
            call.caller.actor, call.path["conversation"], wanted.text, key
        )
    return MessageAccepted.of(accepted)


async def list_deliveries(call: Call) -> DeliveriesShown:
    with _told():
        listed = await _deliveries(call).of_conversation(
            call.workspace_id, call.path["conversation"]
        )
    return DeliveriesShown(deliveries=[DeliveryShown.of(each) for each in listed.deliveries])


async def send_again(call: Call) -> DeliveryShown:
    wanted: DecisionWanted = call.body
    with _told():
        delivery = await _deliveries(call).send_again(
            call.caller.actor, call.path["conversation"], call.path["delivery"], wanted.generation
        )
    return DeliveryShown.of(delivery)


async def discard(call: Call) -> DeliveryShown:
    wanted: DecisionWanted = call.body
    with _told():
        delivery = await _deliveries(call).discard(
            call.caller.actor, call.path["conversation"], call.path["delivery"], wanted.generation
        )
    return DeliveryShown.of(delivery)


def _takeovers(call: Call) -> Takeovers:
    return call.request.app[TAKEOVERS].get()


def _deliveries(call: Call) -> Deliveries:
    return call.request.app[DELIVERIES].get()


TAKEOVER_OPERATIONS = (
    Operation(
        "GET",
        f"{CONVERSATION}/takeover",
        "getTakeover",
        "Who has a conversation",
        "Takeover",
        Scope.CONVERSATIONS_READ,
        show_takeover,
        TakeoverShown,
        refusals=(NOT_FOUND, AWAY),
    ),
    Operation(
        "POST",
        f"{CONVERSATION}/takeover",
        "takeOver",
        "Take a conversation over; no message of the assistant leaves any more",
        "Takeover",
        Scope.CONVERSATIONS_WRITE,
        take_over,
        TakeoverShown,
        body=TakeWanted,
        refusals=(NOT_FOUND, TAKEN, AWAY),
    ),
    Operation(
        "POST",
        f"{CONVERSATION}/takeover/extend",
        "extendTakeover",
        "Let the time until the assistant returns begin anew",
        "Takeover",
        Scope.CONVERSATIONS_WRITE,
        extend,
        TakeoverShown,
        body=ExtendWanted,
        refusals=(NOT_FOUND, NOT_TAKEN, AWAY),
    ),
    Operation(
        "POST",
        f"{CONVERSATION}/takeover/resume",
        "resumeAssistant",
        "Return a conversation to the assistant, whoever has it",
        "Takeover",
        Scope.CONVERSATIONS_WRITE,
        resume,
        TakeoverShown,
        refusals=(NOT_FOUND, AWAY),
    ),
    Operation(
        "POST",
        f"{CONVERSATION}/messages",
        "writeMessage",
        "Write to the person, as whoever made the token; sent once for each key",
        "Takeover",
        Scope.CONVERSATIONS_WRITE,
        write,
        MessageAccepted,
        status=202,
        body=TextWanted,
        headers={KEY: f"1 to {LONGEST_KEY} ASCII characters, another for each message"},
        refusals=(NOT_FOUND, KEY_NEEDED, *WRITING, AWAY),
    ),
    Operation(
        "GET",
        f"{CONVERSATION}/deliveries",
        "listDeliveries",
        "What was not sent to the person, or may not have been",
        "Takeover",
        Scope.CONVERSATIONS_READ,
        list_deliveries,
        DeliveriesShown,
        refusals=(NOT_FOUND, AWAY),
    ),
    Operation(
        "POST",
        f"{CONVERSATION}/deliveries/{{delivery}}/send-again",
        "sendAgain",
        "Have it sent once more; of one that is held, the person may get it twice",
        "Takeover",
        Scope.CONVERSATIONS_WRITE,
        send_again,
        DeliveryShown,
        status=202,
        body=DecisionWanted,
        refusals=(NOT_FOUND, *DECIDING, AWAY),
    ),
    Operation(
        "POST",
        f"{CONVERSATION}/deliveries/{{delivery}}/discard",
        "discardDelivery",
        "Give up one that is held, or take a failed one off the list",
        "Takeover",
        Scope.CONVERSATIONS_WRITE,
        discard,
        DeliveryShown,
        body=DecisionWanted,
        refusals=(NOT_FOUND, *DECIDING, AWAY),
    ),
)
