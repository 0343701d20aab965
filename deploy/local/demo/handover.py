"""Somebody asks for a human: heard by the assistant, whether or not there is a model."""

from deploy.local.demo import knowledge
from deploy.local.demo.stage import Person, Stage
from libs.common.channels import ChannelSettings
from libs.common.events import TakeoverRequested, TurnCompleted

COPIES = 3
REQUEST = "I want to talk to a human"


async def handover(stage: Stage) -> None:
    stage.transcript.scene("Somebody wants to talk to a human")
    hana = await stage.newcomer("Hana", "Kim")
    await hana.writes(REQUEST, copies=COPIES)
    hana.tells(REQUEST, f"delivered {COPIES} times")
    heard = await hana.hears()
    expect = stage.transcript.expect
    wanted = ChannelSettings().handover_text
    expect("answered with the channel's hand-over text", wanted, heard[0]["text"])
    first = (await hana.told(TurnCompleted))[0]
    expect("no model was asked, so that this works while it is down", "none", first.model)
    await hana.says("When are you open on Sunday?")
    heard = await hana.hears()
    wanted = knowledge.section("Opening hours")
    expect("until somebody comes, the assistant goes on answering", wanted, heard[0]["text"])
    # the log keeps her events in order: with the second turn there, all of the first is known
    await hana.told(TurnCompleted, 2)
    requests = [
        (request.reason, request.summary) for request in stage.log.of(hana.psid, TakeoverRequested)
    ]
    expect(
        "takeover.requested stands on the log exactly once, with the reason and her words",
        [("asked", REQUEST)],
        requests,
    )
    expect(
        "the list of conversations shows that she waits for a human",
        "asked",
        await _badge(stage, hana),
    )


async def _badge(stage: Stage, person: Person) -> str:
    """Why a human is wanted, as the team's list of conversations tells it."""
    answer = await stage.asks("conversation", "GET", f"/pages/{stage.page}/conversations")
    listed = answer.body["conversations"]
    found = [each["human_requested"] for each in listed if each["psid"] == person.psid]
    return str(found[0]["reason"]) if found and found[0] else "no"
