"""The suite can fail: about a mutation in a service the judge complains, with the right reason."""

import pytest

from tests.faults.ground import play
from tests.faults.mutants.switching import mutated
from tests.faults.run import Ground, Plan
from tests.faults.scenarios import named


@pytest.mark.parametrize(
    ("mutation", "service", "scenario", "complaint"),
    [
        ("dedupe_off", "conversation", "webhooks copied", "doubled"),
        ("commit_before_work", "conversation", "conversation killed at the model", "lost"),
        ("answer_at_once", "gateway", "kafka killed", "lost"),
        ("blind_retry", "sender", "cut after accept", "sent twice"),
        ("dedupe_off", "sender", "commands copied", "sent twice"),
        ("order_off", "sender", "cut before accept", "out of order"),
    ],
)
async def test_the_judge_complains_about_a_mutant(
    ground: Ground, mutation: str, service: str, scenario: str, complaint: str
) -> None:
    # what is lost never comes; whatever else is wrong, stands there when everything has come
    plan = Plan(people=10, within_s=20 if complaint == "lost" else 90)
    # an order is lost only with those who write on: one seed's five cuts may meet none of them
    seeds = [1, 2, 3] if mutation == "order_off" else [1]
    with mutated(ground.stack, service, mutation):
        runs = await play(ground, named(scenario), seeds, plan)
        verdicts = [await run.verdict() for run in runs]
    assert complaint in {each for verdict in verdicts for each in verdict.complaints}
