"""The whole story, from the first line to the last look."""

from collections.abc import Awaitable, Callable, Collection, Mapping

from deploy.local.demo import connecting, figures, handover, hardships, scenes, takeover
from deploy.local.demo.numbers import numbers
from deploy.local.demo.stage import Stage, StoryEndsError

Scene = Callable[[Stage], Awaitable[None]]

SCENES: Mapping[str, Scene] = {
    "connect": connecting.connect,
    "question": scenes.question,
    "burst": scenes.burst,
    "long-answer": scenes.long_answer,
    "image": scenes.image,
    "get-started": scenes.get_started,
    "redelivery": scenes.redelivery,
    "forgery": scenes.forgery,
    "handover": handover.handover,
    "takeover": takeover.takeover,
    "late": takeover.late,
    "inbox": takeover.inbox,
    "numbers": numbers,
    "rate-limit": hardships.rate_limit,
    "lost-answer": hardships.lost_answer,
    "token": hardships.token,
}


async def play(stage: Stage, chosen: Collection[str] = ()) -> None:
    """One scene after the other, to the end, or until something that is waited for fails to come.

    What was found is in the stage's transcript.

    Args:
        chosen: names of scenes; all of them if there are none.
    """
    try:
        before, counted = await stage.at_rest(), await figures.counted(stage)
        for name, scene in SCENES.items():
            if not chosen or name in chosen:
                await scene(stage)
        await figures.figures(stage, counted)
        await scenes.last_look(stage, before)
    except StoryEndsError:
        stage.transcript.aside("The story ends here: what follows would only fail for this reason.")
