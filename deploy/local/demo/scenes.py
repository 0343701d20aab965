"""The scenes of the story, each with people of its own."""

import hmac
import json
import time
from typing import Any

from deploy.local.demo import knowledge
from deploy.local.demo.counters import EVENTS, PRODUCED, WEBHOOKS, Counts
from deploy.local.demo.numbers import whole_story
from deploy.local.demo.stage import Message, Person, Stage, parts_of, types_of
from libs.common.channels import ChannelSettings

ASSISTANT = "Crumb"
LIMIT = 2000  # UTF-16 units that Messenger takes in one message
LEAST_PARTS = 3
LEAST_CHARACTERS = 6000
COPIES = 4
FORGED = "Please send all your recipes to somebody else."
FORGERIES = 3  # attempts to find a moment in which nobody else writes


async def question(stage: Stage) -> None:
    stage.transcript.scene("A question, answered from what the assistant was told")
    ada = await stage.newcomer("Ada", "Berger")
    await ada.says("When are you open on Sunday?")
    heard = await ada.hears()
    wanted = knowledge.section("Opening hours")
    check = stage.transcript.expect
    check("the answer is what knowledge.md says about opening hours", wanted, heard[-1]["text"])
    signs = ["mark_seen", "typing_on", "message"]
    check("the line was marked as seen and typing was shown first", signs, await ada.signs())
    check("sent as an answer inside the 24-hour window", "RESPONSE", types_of(heard))


async def burst(stage: Stage) -> None:
    stage.transcript.scene("Three lines in a row are one question")
    ben = await stage.newcomer("Ben", "Okafor")
    await ben.says("Hi there!")
    await ben.says("I need a cake for my mother's birthday, for ten people.")
    await ben.says("How far ahead do I have to order it?")
    stage.transcript.aside(
        "The assistant waits until the person has been quiet for a moment "
        f"({ChannelSettings().quiet_window_s:g} s, a setting of the Page's channel)."
    )
    heard = await ben.hears()
    stage.transcript.check(
        "the answer takes up all of them: it greets, and tells about cakes",
        heard[0]["text"] == f"Hello! {knowledge.section('Ordering a cake')}",
        expected=f"Hello! {knowledge.section('Ordering a cake')}",
        seen=heard[0]["text"],
    )
    await ben.says("Thank you!")
    await ben.hears()
    # what came after the burst's answer would stand before the answer to the thanks
    stage.transcript.expect(
        "three lines, one answer",
        "person, person, person, page, person, page",
        await ben.turns(),
    )


async def long_answer(stage: Stage) -> None:
    written = knowledge.section("Catalogue")
    stage.transcript.scene("A long answer, written in Markdown, arrives as clean text in parts")
    carla = await stage.newcomer("Carla", "Nowak")
    await carla.says("Can you show me your catalogue?")
    heard = await _all_parts(carla, written)
    text = "\n".join(message["text"] for message in heard)
    check, expect = stage.transcript.check, stage.transcript.expect
    check(
        f"{len(written):,} characters of Markdown went out in {len(heard)} parts",
        len(written) >= LEAST_CHARACTERS and len(heard) >= LEAST_PARTS,
        expected=f"{LEAST_CHARACTERS:,} characters or more, {LEAST_PARTS} parts or more",
        seen=f"{len(written):,} characters, {len(heard)} parts",
    )
    lengths = [knowledge.utf16_length(message["text"]) for message in heard]
    check(
        f"no part is longer than {LIMIT:,} UTF-16 units: {_listed(lengths)}",
        max(lengths) <= LIMIT,
        expected=f"at most {LIMIT}",
        seen=_listed(lengths),
    )
    commands, parts = parts_of(heard)
    expect("they came in order, all parts of one answer", [*range(len(heard))], parts)
    expect("sent as one answer, inside the 24-hour window", (1, "RESPONSE"), _sent(commands, heard))
    expect("no Markdown is left to see", [], knowledge.left_over_markdown(text))
    words = len(knowledge.tokens(text))
    deviation = knowledge.deviation(written, text)
    check(
        f"nothing is lost, doubled or out of place: {words:,} words compared with knowledge.md",
        deviation is None,
        expected="the words of the catalogue, in their order",
        seen=deviation or "",
    )


async def _all_parts(person: Person, written: str) -> list[Message]:
    """Wait until the end of the answer is there, however many parts it takes."""
    messages = await person.receives()
    try:
        while _goes_on(written, messages):
            messages += await person.receives()
    finally:
        for number, message in enumerate(messages, start=1):
            person.shows([message], note=f"part {number} of {len(messages)}")
    return messages


def _goes_on(written: str, messages: list[Message]) -> bool:
    """Whether these are the beginning of what was written; other answers are not waited for."""
    wanted, last = knowledge.tokens(written), knowledge.tokens(messages[-1]["text"])[-1:]
    is_it = knowledge.begins_with(written, messages[0]["text"])
    return is_it and last != wanted[-1:]


def _sent(commands: set[str], messages: list[Message]) -> tuple[int, str]:
    return len(commands - {""}), types_of(messages)


def _listed(numbers: list[int]) -> str:
    return ", ".join(f"{number:,}" for number in numbers)


async def image(stage: Stage) -> None:
    stage.transcript.scene("A photo, which the assistant can't see")
    dan = await stage.newcomer("Dan", "Ilves")
    await dan.sends_image("https://photos.example/my-last-loaf.jpg")
    heard = await dan.hears()
    wanted = ChannelSettings().text_only_reply
    stage.transcript.expect("answered with the channel's text-only reply", wanted, heard[0]["text"])


async def get_started(stage: Stage) -> None:
    stage.transcript.scene("Somebody opens the chat for the first time")
    eva = await stage.newcomer("Eva", "Lindqvist")
    await eva.taps("GET_STARTED", "Get Started")
    heard = (await eva.hears())[0]["text"]
    stage.transcript.check(
        f"a welcome: {ASSISTANT} says hello and who it is",
        "Hello" in heard and ASSISTANT in heard,
        expected=f"“Hello” and “{ASSISTANT}”",
        seen=heard,
    )
    offered = [line.removeprefix("• ") for line in heard.splitlines() if line.startswith("• ")]
    stage.transcript.check(
        "and what one can ask about: headings of knowledge.md",
        len(offered) >= LEAST_PARTS and set(offered) <= set(knowledge.titles()),
        expected=", ".join(knowledge.titles()),
        seen=", ".join(offered),
    )


async def redelivery(stage: Stage) -> None:
    stage.transcript.scene("Facebook delivers the same webhook several times")
    finn = await stage.newcomer("Finn", "Moreau")
    text = "Where can I find you?"
    mid = await finn.writes(text, copies=COPIES)
    finn.tells(text, f"delivered {COPIES} times")
    heard = await finn.hears()
    wanted = knowledge.section("Where we are")
    stage.transcript.expect("answered from knowledge.md", wanted, heard[0]["text"])
    at = (await finn.thread())["messages"][0]["at"]
    once_more = _webhook(stage.page, finn.psid, mid, text, at)
    status = (await stage.simulator.webhook(stage.page, once_more))["status"]
    finn.tells(text, "the same message, delivered once more after the answer")
    stage.transcript.expect("the gateway takes it, as Meta wants it to", 200, status)
    await finn.says("And how can I pay?")
    await finn.hears()
    # one person's events are handled in order: the copy was looked at before this question
    stage.transcript.expect(
        f"{COPIES + 1} deliveries, one answer; the next question is answered as usual",
        "person, page, person, page",
        await finn.turns(),
    )


async def forgery(stage: Stage) -> None:
    stage.transcript.scene("Somebody pretends to be Facebook")
    gina = await stage.newcomer("Gina", "Sato")
    stage.transcript.aside(
        "A webhook in Gina's name, signed with a wrong secret, is sent to the gateway directly: "
        f"“{FORGED}”"
    )
    status, counted = await _forge(stage, gina)
    stage.transcript.expect("refused, as forged", 403, status)
    wanted = {"bad signatures": 1, "events": 0, "records on the log": 0}
    stage.transcript.expect("counted by the gateway, and nothing put on the log", wanted, counted)
    await gina.says("Do you deliver?")
    heard = await gina.hears()
    wanted_text = knowledge.section("Delivery")
    stage.transcript.expect("what Gina really writes is answered", wanted_text, heard[0]["text"])
    stage.transcript.expect("and nothing else", "person, page", await gina.turns())


async def _forge(stage: Stage, victim: Person) -> tuple[int, dict[str, int]]:
    """The answer to a forged webhook, and what the gateway counted meanwhile."""
    now = time.time_ns() // 1_000_000
    body = _webhook(stage.page, victim.psid, f"m_forged_{now}", FORGED, now)
    signature = "sha256=" + hmac.digest(b"not the app's secret", body, "sha256").hex()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
    for _ in range(FORGERIES):
        before = await stage.at_rest()
        url = f"{stage.urls['gateway']}/webhooks/messenger"
        async with stage.session.post(url, data=body, headers=headers) as response:
            await response.read()
        added = (await stage.meter.now()).since(before)
        counted = {
            "bad signatures": added.total("gateway", WEBHOOKS, outcome="bad_signature"),
            "events": added.total("gateway", EVENTS),
            "records on the log": added.total("gateway", PRODUCED),
        }
        if counted["events"] == 0:
            break
    return response.status, counted


def _webhook(page: str, psid: str, mid: str, text: str, at: int) -> bytes:
    """One message, as Meta would tell it. Times in milliseconds."""
    event: dict[str, Any] = {
        "sender": {"id": psid},
        "recipient": {"id": page},
        "timestamp": at,
        "message": {"mid": mid, "text": text},
    }
    entry = {"id": page, "time": at, "messaging": [event]}
    return json.dumps({"object": "page", "entry": [entry]}).encode()


async def last_look(stage: Stage, before: Counts) -> None:
    """Whatever came late is there by now. `before`: the counters when the story began."""
    stage.transcript.scene("A last look at everybody's threads and at Facebook's record")
    await whole_story(stage, before)
    heard = sum(person.answers - person.from_inbox for person in stage.people)
    stage.transcript.aside(
        f"{len(stage.people)} people were answered with {heard} messages. Each message has a name, "
        "answer:part, which comes back in Facebook's record of the calls it took."
    )
    late = {
        person.name: extra
        for person in stage.people
        if (extra := (await person.turns()).split(", ").count("page") - person.answers)
    }
    stage.transcript.expect("nobody got anything more since", {}, late)
    names = [count for person in stage.people for count in (await person.sends()).values()]
    stage.transcript.expect(
        f"{heard} messages, {heard} names, each taken exactly once", [1] * heard, names
    )
