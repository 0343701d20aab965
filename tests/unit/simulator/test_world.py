"""The world: threads, watermarks, and what a restart leaves."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import shown
from simulator.world.model import Behaviour, Delayed, Page
from simulator.world.sending import Send
from simulator.world.world import NotInWorldError, Said, World, fresh_world

NOW = 1_795_000_000_000


def test_a_fresh_world_has_a_subscribed_page_with_people() -> None:
    (page,) = fresh_world().pages
    assert page.name == "Corner Bakery"
    assert page.id.isdecimal()
    assert {"messages", "message_echoes", "messaging_postbacks"} <= set(page.subscribed_fields)
    assert all(psid.isdecimal() for psid in page.people)
    assert len(page.people) == 2


@given(st.integers())
def test_ids_look_like_metas_and_do_not_repeat(seed: int) -> None:
    ids = World(random=Random(seed)).ids
    mids = {ids.mid() for _ in range(100)}
    assert len(mids) == 100
    assert all(mid.startswith("m_") for mid in mids)
    assert len({ids.psid() for _ in range(100)}) == 100


def person_and_page(world: World) -> tuple[Page, str]:
    page = world.add_page("Bakery")
    return page, world.add_person(page, "Mia", "Torres").psid


def test_typing_fades_after_twenty_seconds_or_with_the_next_message() -> None:
    world = World()
    page, psid = person_and_page(world)
    person = page.people[psid]
    thread = world.act(page, Send(person, action="typing_on"), NOW)
    assert shown.thread(thread, NOW + 19_999)["typing"] is True
    assert shown.thread(thread, NOW + 20_000)["typing"] is False
    world.accept(page, Send(person, text="hi"), "1", NOW + 1)
    assert shown.thread(thread, NOW + 2)["typing"] is False


def test_seen_is_about_the_persons_last_message() -> None:
    world = World()
    page, psid = person_and_page(world)
    world.write(page, psid, Said("one"), NOW)
    thread = world.act(page, Send(page.people[psid], action="mark_seen"), NOW + 5)
    assert shown.thread(thread, NOW)["seen"] is True
    world.write(page, psid, Said("two"), NOW + 10)
    assert shown.thread(thread, NOW)["seen"] is False


def test_watermarks_never_go_back() -> None:
    world = World()
    page, psid = person_and_page(world)
    world.read(page, psid, NOW + 10)
    thread = world.read(page, psid, NOW)
    assert thread.read_watermark == NOW + 10
    assert thread.delivered_watermark == NOW + 10


def test_reacting_to_somebody_elses_message_is_refused() -> None:
    world = World()
    page, psid = person_and_page(world)
    other = world.add_person(page, "Jonas", "Weber").psid
    mid = world.write(page, psid, Said("one"), NOW).mid
    with pytest.raises(NotInWorldError, match="mid"):
        world.react(page, other, mid, "👍", NOW)


def test_only_the_newest_twenty_messages_are_told_in_detail() -> None:
    world = World()
    page, psid = person_and_page(world)
    mids = [world.write(page, psid, Said(str(number)), NOW + number).mid for number in range(21)]
    assert [world.is_detailed(mid) for mid in mids] == [False] + [True] * 20


def test_a_restart_leaves_everything_as_it_was() -> None:
    world = World()
    page, psid = person_and_page(world)
    said = Said("hällo 😀", [{"type": "image", "payload": {"url": "http://x/y"}}], "TAPPED", "m_0")
    mid = world.write(page, psid, said, NOW).mid
    sent = world.accept(page, Send(page.people[psid], text="hi", metadata="c:0"), "77", NOW + 1)
    world.subscribe(page, ("messages",))
    world.set_token(page, "expired")
    world.set_behaviour(page, Behaviour(rate_limit_per_s=7, echoes=Delayed(enabled=False)))
    page.people[psid].blocked = True

    again = World.load(world.dump())

    assert again.pages == world.pages
    found = again.message(sent.mid)
    assert found is not None
    assert found[2] == sent
    assert again.message(mid) is not None
    same = again.page_of_token(page.access_token)
    assert same is again.page(page.id)
    thread_id = page.threads[psid].id
    assert again.thread_by_id(thread_id) == (same, psid)
