"""The whole story, from the first line to the last look."""

from deploy.local.demo import scenes
from deploy.local.demo.numbers import numbers, whole_story
from deploy.local.demo.stage import Stage, StoryEndsError

CONVERSATIONS = (
    scenes.question,
    scenes.burst,
    scenes.long_answer,
    scenes.image,
    scenes.get_started,
    scenes.redelivery,
    scenes.forgery,
)


async def play(stage: Stage) -> None:
    """One scene after the other, to the end, or until something that is waited for fails to come.

    What was found is in the stage's transcript.
    """
    try:
        before = await stage.at_rest()
        for scene in CONVERSATIONS:
            await scene(stage)
        await numbers(stage)
        await whole_story(stage, before)
        await scenes.last_look(stage)
    except StoryEndsError:
        stage.transcript.aside("The story ends here: what follows would only fail for this reason.")
