"""Facebook makes it difficult: too many calls, a lost answer, a token that has run out."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from deploy.local.demo import connecting, knowledge
from deploy.local.demo.stage import Message, Person, Stage, StoryEndsError
from deploy.local.demo.trouble import behaving, meeting, token_expired
from libs.common.events import MessageSent, TurnCompleted
from simulator.client import POLL_S, Call, answers_in

QUESTIONS: Mapping[str, str] = {  # and which section of knowledge.md answers it
    "When are you open on Sunday?": "Opening hours",
    "Where can I find you?": "Where we are",
    "Do you deliver?": "Delivery",
    "How can I pay?": "Paying",
    "Is the rye bread vegan?": "Allergens and diets",
    "How far ahead do I have to order a cake?": "Ordering a cake",
}
CALLS_PER_S = 3
TOO_MANY = (613, 80006)
ECHO_DELAY_MS = 1500
TOKEN_IS_BAD = 190
PROBE_EVERY_S = 60
SENDING = ("messages", "actions", "conversations")  # endpoints; names are asked for by others


async def rate_limit(stage: Stage) -> None:
    stage.transcript.scene("Too many calls for Facebook, and everybody is answered")
    people = [
        await stage.newcomer(*name)
        for name in (
            ("Jonas", "Weber"),
            ("Karin", "Holm"),
            ("Luca", "Ricci"),
            ("Mei", "Tan"),
            ("Nadia", "Haddad"),
            ("Omar", "Diallo"),
        )
    ]
    stage.transcript.aside(
        f"Facebook takes no more than {CALLS_PER_S} calls a second of the Page for a while, signs "
        f"such as “typing” included. {len(people)} people write at once."
    )
    async with behaving(stage, rate_limit_per_s=CALLS_PER_S):
        await asyncio.gather(*map(Person.writes, people, QUESTIONS))
        for person, text in zip(people, QUESTIONS, strict=True):
            person.tells(text)
        heard = [(await person.receives())[0] for person in people]
    stage.transcript.aside(f"Answered: {await _waits(people, heard)}.")
    wanted = [knowledge.section(section) for section in QUESTIONS.values()]
    said = [message["text"] for message in heard]
    expect, check = stage.transcript.expect, stage.transcript.check
    expect(f"all {len(people)} are answered from knowledge.md", wanted, said)
    posts = await _posts(people)
    refused = [post for post in posts if _code(post) in TOO_MANY]
    check(
        f"{len(refused)} calls with an answer were refused as too many, and made again later",
        len(refused) > 0,
        expected="1 or more: else this shows nothing",
        seen=len(refused),
    )
    taken = [count for person in people for count in (await person.sends()).values()]
    expect("no answer was taken twice, and none is lost", [1] * len(people), taken)


async def _waits(people: Sequence[Person], heard: Sequence[Message]) -> str:
    """How long each waited for the answer, as `Ada after 0.9 s`."""
    waits = [
        f"{person.first_name} after {await person.waited_s(message):.1f} s"
        for person, message in zip(people, heard, strict=True)
    ]
    return ", ".join(waits)


async def lost_answer(stage: Stage) -> None:
    stage.transcript.scene("Facebook takes a message, and nobody hears that it did")
    paula = await stage.newcomer("Paula", "Silva")
    stage.transcript.aside(
        "The connection breaks when Facebook has taken the answer. No receipt comes, the thread "
        f"can't be read back just now, and the answer's echo is {ECHO_DELAY_MS / 1000:g} s late."
    )
    lost = {"endpoint": "messages", "drop": "after_accept"}
    unreadable = {"endpoint": "conversations", "status": 500, "times": 1000}
    late = {"echoes": {"delay_ms": ECHO_DELAY_MS}, "delivery_receipts": {"enabled": False}}
    async with behaving(stage, **late), meeting(stage, lost, unreadable):
        await paula.says("Is the rye bread vegan?")
        await paula.hears()
        sent = (await paula.told(MessageSent))[0]
    posts = await paula.posts()
    expect = stage.transcript.expect
    expect(
        "Facebook's record: taken, and the answer to the call never left",
        [("accepted", "drop_after_accept", None)],
        [(post["outcome"], post.get("fault"), post.get("status")) for post in posts],
    )
    took_s = sent.occurred_at.timestamp() - posts[0]["at"] / 1000
    expect(
        f"the echo settled it: after {took_s:.1f} s the sender knew that it was sent",
        "found_by_echo",
        sent.rule,
    )
    await paula.says("Thank you!")
    await paula.hears()
    expect(
        "it was not sent again, and the conversation goes on",
        ("person, page, person, page", 2),
        (await paula.turns(), len(await paula.posts())),
    )


async def token(stage: Stage) -> None:
    stage.transcript.scene("The Page's token runs out, and an administrator reconnects it")
    quinn = await stage.newcomer("Quinn", "Doyle")
    rosa = await stage.newcomer("Rosa", "Marin")
    sami = await stage.newcomer("Sami", "Aalto")
    people = {quinn: 2, rosa: 1, sami: 1}  # and how many lines each writes
    waiting = sum(people.values())
    stage.transcript.aside("From now on, Facebook refuses every call with the Page's token.")
    expect, check = stage.transcript.expect, stage.transcript.check
    async with token_expired(stage) as repair:
        await quinn.says("When are you open on Sunday?")
        refusal = await _refusal(stage, quinn)
        await quinn.told(TurnCompleted)  # or what he writes next would be a part of this question
        await rosa.says("Do you deliver?")
        await sami.says("Where can I find you?")
        await quinn.says("How can I pay?")
        for person, lines in people.items():
            await person.told(TurnCompleted, lines)
        await stage.at_rest()
        there = [len(answers_in(await person.thread())) for person in people]
        expect(f"{waiting} answers are written and wait, none has gone out", [0, 0, 0], there)
        calls = [
            call
            for call in await stage.simulator.calls(stage.page, since=refusal["n"])
            if call["endpoint"] in SENDING
        ]
        since_s = time.time() - refusal["at"] / 1000
        check(
            f"one call was refused; in the {since_s:.0f} s since then nothing was tried",
            len(calls) <= since_s // PROBE_EVERY_S,
            expected=f"none, but for one every {PROBE_EVERY_S} s",
            seen=f"{len(calls)} calls: {', '.join(call['endpoint'] for call in calls)}",
        )
        lost = await connecting.shown_when(stage, "expired")
        expect(
            "the console shows the Page as expired, and says why",
            ("expired", "The token has run out."),
            (lost["status"], lost["words"]),
        )
        chosen_at = time.time()
        await repair()
        stage.transcript.aside(
            "An administrator chooses “Reconnect” in the console and logs in at Facebook again: "
            "there is another token, the channel is active, and the services are told "
            "(channel.connected)."
        )
        heard = {person: await person.receives(lines) for person, lines in people.items()}
    _show(heard, chosen_at)
    last_s = max(message["at"] for each in heard.values() for message in each) / 1000 - chosen_at
    expect(
        f"all {waiting} went out within {last_s:.1f} s, in the order of each person's questions",
        [
            [knowledge.section("Opening hours"), knowledge.section("Paying")],
            [knowledge.section("Delivery")],
            [knowledge.section("Where we are")],
        ],
        [[message["text"] for message in messages] for messages in heard.values()],
    )
    taken = [count for person in people for count in (await person.sends()).values()]
    expect("each of them once", [1] * waiting, taken)
    now = await stage.console.shown()
    expect("the console shows the Page as active", "active", now["status"])


def _show(heard: Mapping[Person, Sequence[Message]], since: float) -> None:
    """What several people heard, in the order in which it came."""
    all_of_it = [
        (message["at"], person, message) for person, each in heard.items() for message in each
    ]
    for at, person, message in sorted(all_of_it, key=lambda item: float(item[0])):
        later_s = at / 1000 - since
        person.shows([message], note=f"to {person.first_name}, {later_s:.1f} s after “Reconnect”")


async def _refusal(stage: Stage, person: Person) -> Call:
    """Wait until Facebook has refused a call to this person for its token: the call.

    That may be a sign already: what it is told teaches the sender as much as an answer would.

    Raises:
        StoryEndsError: none was; noted as a check that failed.
    """
    try:
        async with asyncio.timeout(stage.patience_s):
            while True:
                for call in await stage.simulator.calls(stage.page, person.psid):
                    if _code(call) == TOKEN_IS_BAD and call["endpoint"] in SENDING:
                        return call
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        stage.transcript.check(
            f"Facebook refuses a call to {person.first_name} within {stage.patience_s:g} s",
            held=False,
            expected=f"a call refused with code {TOKEN_IS_BAD}",
            seen="none",
        )
        raise StoryEndsError from None


async def _posts(people: Iterable[Person]) -> list[Call]:
    return [post for person in people for post in await person.posts()]


def _code(post: Call) -> int | None:
    """Why Facebook refused it; None: it did not."""
    code: int | None = (post.get("error") or {}).get("code")
    return code
