"""A human steps in: with a timer, after a day, after a week, and from Meta's own inbox."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from deploy.local.demo.stage import Answer, Message, Person, Stage, StoryEndsError, types_of
from deploy.local.demo.transcript import Line
from libs.common.events import MessageFailed, MessageSent, TakeoverStarted

ANN = {"by": "user:ann", "by_name": "Ann"}
BO = {"by": "user:bo", "by_name": "Bo"}
TIMER_MINUTES = 30
EUROS = "Only in euros, I'm afraid"
POLL_S = 0.1

Found = TypeVar("Found")


async def takeover(stage: Stage) -> None:
    stage.transcript.scene("A human takes a conversation over, and gives it back")
    tara = await stage.newcomer("Tara", "Haddad")
    await tara.says("How can I pay?")
    await tara.hears()
    began = datetime.now(UTC)
    taken = await _takes_over(stage, tara, ANN, auto_resume_minutes=TIMER_MINUTES)
    stage.transcript.aside(f"Ann takes the conversation over, for {TIMER_MINUTES} minutes.")
    listed = await _listed(stage, tara)
    expect, check = stage.transcript.expect, stage.transcript.check
    expect(
        "the list of conversations shows who has it",
        ("human", "Ann"),
        (listed["mode"], (listed["takeover"] or {}).get("by_name")),
    )
    until = _moment((listed["takeover"] or {}).get("auto_resume_at"))
    left = until - began
    check(
        f"and its timer: the assistant has it again in {round(left.total_seconds() / 60)} minutes",
        timedelta(0) <= left - timedelta(minutes=TIMER_MINUTES) < timedelta(minutes=1),
        expected=f"{TIMER_MINUTES} minutes",
        seen=str(left),
    )
    refused = await _asks(stage, tara, "/takeover", BO)
    expect(
        "Bo, who wants it too, is told that Ann has it",
        (409, "already_taken", "Ann"),
        (refused.status, refused.code, refused.error.get("by_name")),
    )
    await tara.says("Can I pay in dollars as well?")
    await _is_taken_in(stage, tara, 2)
    expect("the assistant is silent", "person, page, person", await tara.turns())
    typed = f"{EUROS}.\n- **all** cards work, though :)"
    heard = await _writes(stage, tara, typed)
    expect("what Ann typed arrives to the letter", typed, heard["text"])
    expect("sent as an answer inside the 24-hour window", "RESPONSE", types_of([heard]))
    (sent,) = [each for each in await tara.told(MessageSent, 2) if each.origin == "human"]
    expect("the log says that a human wrote it, and who", "Ann", sent.by_name)
    await _asks(stage, tara, "/takeover/resume", ANN)
    stage.transcript.aside("Ann gives it back to the assistant.")
    await tara.says("What did your colleague say?")
    heard = (await tara.hears())[0]
    check(
        "the assistant answers again, and knows what Ann wrote",
        EUROS in heard["text"],
        expected=EUROS,
        seen=heard["text"],
    )
    expect(
        "what Tara wrote to Ann is not answered a second time",
        "person, page, person, page, person, page",
        await tara.turns(),
    )
    expect(
        "the thread keeps both changes of hands between its lines",
        [("takeover.started", "Ann"), ("takeover.ended", "Ann")],
        await _changes_of_hands(stage, tara, 2),
    )
    expect("the takeover began once", [taken["epoch"]], _epochs(stage, tara))


async def late(stage: Stage) -> None:
    stage.transcript.scene("A human answers after a day, and after a week")
    expect = stage.transcript.expect
    umar = await stage.newcomer("Umar", "Diallo")
    await umar.says("Is there a cake left?", note="25 hours ago", timestamp=_long_ago(hours=25))
    (failed,) = await umar.told(MessageFailed)
    expect(
        "for the assistant it is too late: 24 hours are over",
        ("assistant", "window_closed"),
        (failed.origin, failed.reason),
    )
    await _takes_over(stage, umar, ANN)
    heard = await _writes(stage, umar, "There is one: shall I keep it for you?")
    expect("a human still may, with Meta's tag", "MESSAGE_TAG/HUMAN_AGENT", types_of([heard]))
    vera = await stage.newcomer("Vera", "Lang")
    wrote_at = _long_ago(days=8)
    await vera.says("Do you bake on Easter Monday?", note="8 days ago", timestamp=wrote_at)
    await vera.told(MessageFailed)
    await _takes_over(stage, vera, ANN)
    refused = await _asks(stage, vera, "/messages", ANN, text="We do!", key=uuid4().hex)
    closed_at = datetime.fromtimestamp(wrote_at / 1000, UTC) + timedelta(days=7)
    words = f"{closed_at:%Y-%m-%d %H:%M} UTC"
    stage.transcript.check(
        f"after 7 days nobody may: refused, as the window closed at {words}",
        (refused.status, refused.code) == (409, "window_closed") and words in refused.message,
        expected=f"409 window_closed, {words}",
        seen=f"{refused.status} {refused.code}, {refused.message}",
    )
    posts = len(await vera.posts())
    expect("and Facebook was not even asked", 0, posts)


async def inbox(stage: Stage) -> None:
    stage.transcript.scene("Somebody answers in Meta's own inbox")
    expect = stage.transcript.expect
    wanda = await stage.newcomer("Wanda", "Roy")
    await wanda.says("Do you deliver?")
    await wanda.hears()
    reply = "Carl here: for you we do, wherever you live!"
    await wanda.hears_from_inbox(reply)
    listed = await _until(
        stage, "the assistant hears of it", lambda: _listed(stage, wanda), _has_human
    )
    expect(
        "the assistant is paused: the conversation belongs to whoever answers at Facebook",
        ("facebook", "facebook_reply"),
        (listed["takeover"]["by"], listed["takeover"]["reason"]),
    )
    await wanda.says("Wonderful. To Mill Lane, please.")
    await _is_taken_in(stage, wanda, 2)
    expect("it is silent", "person, page, page, person", await wanda.turns())
    await _asks(stage, wanda, "/takeover/resume", BO)
    stage.transcript.aside("Bo presses Resume AI.")
    await wanda.says("Your colleague said so, right?")
    heard = (await wanda.hears())[0]
    stage.transcript.check(
        "the assistant knows what was answered at Facebook",
        reply in heard["text"],
        expected=reply,
        seen=heard["text"],
    )


async def _takes_over(stage: Stage, person: Person, who: dict[str, str], **more: Any) -> Any:  # noqa: ANN401
    """The new state.

    Raises:
        StoryEndsError: it was refused.
    """
    answer = await _asks(stage, person, "/takeover", who, **more)
    if answer.status != 200:
        stage.transcript.check(
            f"{who['by_name']} takes the conversation over",
            held=False,
            expected="200",
            seen=f"{answer.status} {answer.code}",
        )
        raise StoryEndsError
    return answer.body


async def _writes(stage: Stage, person: Person, text: str) -> Message:
    """Ann writes through the team's API; what arrived, shown under her name."""
    await _asks(stage, person, "/messages", ANN, text=text, key=uuid4().hex)
    (message,) = await person.receives()
    stage.transcript.line(Line("page", f"{stage.page_name} (Ann)", message["text"]))
    return message


async def _asks(
    stage: Stage,
    person: Person,
    what: str,
    who: dict[str, str],
    *,
    key: str = "",
    **more: Any,  # noqa: ANN401
) -> Answer:
    path = f"/conversations/{stage.page}:{person.psid}{what}"
    headers = {"Idempotency-Key": key} if key else {}
    return await stage.asks("takeover", "POST", path, {**who, **more}, headers)


async def _listed(stage: Stage, person: Person) -> dict[str, Any]:
    """The person's entry in the team's list; {} if there is none yet."""
    answer = await stage.asks("conversation", "GET", f"/pages/{stage.page}/conversations")
    found = [each for each in answer.body["conversations"] if each["psid"] == person.psid]
    return dict(found[0]) if found else {}


def _has_human(listed: dict[str, Any]) -> bool:
    return listed.get("mode") == "human"


async def _is_taken_in(stage: Stage, person: Person, count: int) -> None:
    """Wait until the assistant knows of so many messages: it has decided about them by then."""
    await _until(
        stage,
        f"{person.first_name}'s line is taken in",
        lambda: _listed(stage, person),
        lambda listed: listed.get("inbound_count") == count,
    )


async def _changes_of_hands(stage: Stage, person: Person, count: int) -> list[tuple[str, str]]:
    path = f"/conversations/{stage.page}:{person.psid}/messages"

    async def lines() -> list[tuple[str, str]]:
        found = (await stage.asks("conversation", "GET", path)).body["messages"]
        return [(each["event"], each["by_name"]) for each in reversed(found) if "event" in each]

    return await _until(
        stage, "the thread shows who had it", lines, lambda found: len(found) >= count
    )


def _epochs(stage: Stage, person: Person) -> list[int]:
    return [each.epoch for each in stage.log.of(person.psid, TakeoverStarted)]


async def _until(
    stage: Stage,
    what: str,
    look: Callable[[], Awaitable[Found]],
    is_so: Callable[[Found], bool],
) -> Found:
    """What `look` finds, as soon as it is so.

    Raises:
        StoryEndsError: it never was; noted as a check that failed.
    """
    try:
        async with asyncio.timeout(stage.patience_s):
            while not is_so(found := await look()):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        stage.transcript.check(f"{what} within {stage.patience_s:g} s", held=False)
        raise StoryEndsError from None
    return found


def _moment(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)


def _long_ago(**age: float) -> int:
    """Milliseconds since 1970, as Facebook counts."""
    return int((datetime.now(UTC) - timedelta(**age)).timestamp() * 1000)
