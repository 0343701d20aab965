"""What the world does to a system whose own parts all work: the model, Meta, webhooks, people."""

from tests.faults import world_meta, world_model, world_people, world_webhooks
from tests.faults.guests import check_guests
from tests.faults.scenario import Scenario

_SLOW, _QUICK = "the model, and people", "Meta, and webhooks"
"""Played side by side: those that wait for a model that hangs, and those that don't."""

WORLD = (
    Scenario(
        "model hangs",
        world_model.hangs,
        check=world_model.check_hangs,
        rows=(23,),
        beside=_SLOW,
    ),
    Scenario(
        "model fails for a while",
        world_model.fails_for_a_while,
        check=world_model.check_failures,
        rows=(24,),
        beside=_SLOW,
    ),
    Scenario(
        "model talks nonsense",
        world_model.talks_nonsense,
        check=world_model.check_nonsense,
        rows=(25,),
        beside=_SLOW,
    ),
    Scenario("5xx before accept", world_meta.fails_before_accept, rows=(26,), beside=_QUICK),
    Scenario(
        "Meta wants less",
        world_meta.wants_less,
        check=world_meta.check_pace,
        rows=(27,),
        beside=_QUICK,
    ),
    Scenario(
        "token refused",
        world_meta.refuses_the_token,
        check=check_guests,
        rows=(28,),
        beside=_QUICK,
    ),
    Scenario(
        "people refused",
        world_meta.refuses_people,
        check=world_meta.check_refusals,
        rows=(29,),
        beside=_QUICK,
    ),
    Scenario(
        "webhooks at two gateways",
        world_webhooks.comes_twice_at_once,
        check=check_guests,
        rows=(31,),
        beside=_QUICK,
    ),
    Scenario(
        "one message, two contents",
        world_webhooks.contradicts_itself,
        check=world_webhooks.check_contradictions,
        rows=(32,),
        beside=_QUICK,
    ),
    Scenario(
        "webhooks out of order",
        world_webhooks.comes_out_of_order,
        check=world_webhooks.check_figures,
        rows=(33,),
        beside=_QUICK,
    ),
    Scenario(
        "webhooks without sense",
        world_webhooks.makes_no_sense,
        check=world_webhooks.check_dead_letters,
        rows=(34, 35),
        beside=_QUICK,
    ),
    Scenario(
        "one person floods",
        world_people.floods,
        check=world_people.check_flood,
        rows=(43,),
        beside=_SLOW,
    ),
    Scenario(
        "gone mid-turn",
        world_people.leave_mid_turn,
        prepare=world_people.another_page,
        check=world_people.check_gone,
        rows=(47,),
        beside=_SLOW,
    ),
)
