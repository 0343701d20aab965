"""What a second start finds, also after a kill."""

import asyncio
import json
import shutil
from pathlib import Path
from random import Random

import pytest

from simulator import store
from simulator.calls import CallLog
from simulator.core import Simulator
from simulator.settings import Settings
from simulator.store import FILE_NAME, BrokenStateError, Store, journal_path, load_world
from simulator.world.model import KEPT_MESSAGES
from simulator.world.sending import Send
from simulator.world.world import FORGOTTEN_AT_ONCE, Said, World, page_change, thread_change
from tests.unit.simulator.harness import Facebook, FakeApp, make_settings, until

NOW = 1_795_000_000_000


async def test_a_killed_simulator_has_forgotten_nothing_it_confirmed(
    facebook: Facebook, fake_app: FakeApp, settings: Settings, tmp_path: Path
) -> None:
    page = await facebook.control("POST", "/pages", {"name": "Flower Shop"})
    name = {"first_name": "Zoë"}
    psid = (await facebook.control("POST", f"/pages/{page['id']}/people", name))["psid"]
    await facebook.control("PUT", f"/pages/{page['id']}/token", {"state": "expired"})
    await facebook.behave(rate_limit_per_s=7)
    mid = await facebook.says("hello")
    await facebook.send("hi", metadata="cmd:0")
    person = f"/pages/{facebook.page}/people/{facebook.other_psid}"
    await facebook.control("PATCH", person, {"blocked": True})
    react = {"psid": facebook.psid, "mid": mid, "reaction": "wow"}
    await facebook.control("POST", f"/pages/{facebook.page}/reactions", react)
    await facebook.until_quiet()

    left = tmp_path / "left"  # as the disk is at the moment of the kill
    shutil.copytree(settings.state_dir, left, ignore=shutil.ignore_patterns("left"))

    second = Simulator(make_settings(fake_app.url, left))
    assert second.world.pages == facebook.simulator.world.pages
    flowers = second.world.page(page["id"])
    assert flowers.token_state == "expired"
    assert psid in flowers.people
    async with second.running():
        (call,) = [json.loads(line) for line in second.calls.select(facebook.page, None, 0)]
        assert call["body"]["message"] == {"text": "hi", "metadata": "cmd:0"}
    assert (left / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert list(left.glob("*.journal")) == []
    assert load_world(left / FILE_NAME).pages == facebook.simulator.world.pages


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_the_disk_knows_it(
    facebook: Facebook, fake_app: FakeApp, settings: Settings, tmp_path: Path, seed: int
) -> None:
    """Anything in any order; after each step the disk says what memory says."""
    random, simulator = Random(seed), facebook.simulator
    fake_app.statuses = [random.choice((200, 500)) for _ in range(30)]
    for step in range(40):
        pages = (await facebook.control("GET", "/pages"))["pages"]
        page = random.choice(pages) if pages else None
        if page is None or random.random() < 0.05:
            page = await facebook.control("POST", "/pages", {"name": f"Page {step}"})
        here = f"/pages/{page['id']}"
        people = (await facebook.control("GET", f"{here}/people"))["people"]
        if not people:
            name = {"first_name": f"Person {step}"}
            people = [await facebook.control("POST", f"{here}/people", name)]
        psid = random.choice(people)["psid"]
        facebook.page, facebook.token, facebook.psid = page["id"], page["access_token"], psid
        mid = await facebook.says(f"step {step}")
        tap = {"psid": psid, "payload": "P", "title": "T"}
        changed = {"blocked": random.random() < 0.3}
        act = {
            "recipient": {"id": psid},
            "sender_action": random.choice(("typing_on", "mark_seen")),
        }
        match random.randrange(11):
            case 0:
                await facebook.control("POST", f"{here}/postbacks", tap)
            case 1:
                await facebook.control("POST", f"{here}/reads", {"psid": psid})
            case 2:
                await facebook.control("POST", f"{here}/reactions", {"psid": psid, "mid": mid})
            case 3:
                body = {"psid": psid, "text": "from the inbox"}
                await facebook.control("POST", f"{here}/inbox-messages", body)
            case 4:
                state = random.choice(("valid", "expired"))
                await facebook.control("PUT", f"{here}/token", {"state": state})
            case 5:
                await facebook.behave(read_receipts=True, echoes=False)
            case 6:
                await facebook.control("PATCH", f"{here}/people/{psid}", changed)
            case 7:
                await facebook.graph("POST", f"/{page['id']}/messages", act)
            case 8:
                await facebook.graph("DELETE", f"/{page['id']}/subscribed_apps")
            case 9:
                body = {"psid": psid, "app": random.choice(("ours", "inbox", "other"))}
                await facebook.control("POST", f"{here}/thread-owner", body)
            case 10 if random.random() < 0.3:
                await facebook.control("POST", "/reset")
            case _:
                await facebook.send("hi")
        left = tmp_path / f"left{step}"
        left.mkdir()
        for file in [*settings.state_dir.glob("*.journal"), settings.state_dir / FILE_NAME]:
            shutil.copy(file, left)
        if simulator.world.pages:
            assert load_world(left / FILE_NAME).pages == simulator.world.pages


async def test_what_was_not_handed_over_goes_out_after_the_restart(
    fake_app: FakeApp, settings: Settings, tmp_path: Path
) -> None:
    first = Simulator(make_settings("http://127.0.0.1:9/", tmp_path))  # nobody listens there
    page = first.world.pages[0]
    psid = next(iter(page.people))
    async with first.running():
        mid = first.person_writes(page, psid, Said("is anybody there?"), first.now()).mid
        tapped = first.person_taps(page, psid, "Get Started", "GET_STARTED").mid
    second = Simulator(settings)
    async with second.running():
        await fake_app.wait_for(lambda app: len(app.received) == 2)
        await until(lambda: second.webhooks.pending == 0)
        events = [json.loads(each.body)["entry"][0]["messaging"][0] for each in fake_app.received]
        assert [event["message"]["mid"] for event in events[:1]] == [mid]
        assert [event["postback"]["mid"] for event in events[1:]] == [tapped]
        found = second.world.message(mid)
        assert found is not None
        assert found[2].reported
    async with Simulator(settings).running():
        assert len(fake_app.received) == 2  # not again


async def test_a_reset_world_stays_empty_until_the_next_start(
    facebook: Facebook, settings: Settings, tmp_path: Path
) -> None:
    await facebook.says("hello")
    await facebook.control("POST", "/reset")
    page = await facebook.control("POST", "/pages", {"name": "Flower Shop"})
    left = tmp_path / "left"
    shutil.copytree(settings.state_dir, left, ignore=shutil.ignore_patterns("left"))
    (only,) = load_world(left / FILE_NAME).pages
    assert only.id == page["id"]


async def test_a_full_journal_is_folded_into_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SMALLEST_FULL_JOURNAL_BYTES", 2000)
    world, path = World(), tmp_path / FILE_NAME
    kept = Store(path, world)
    kept.open()
    page = world.add_page("Bakery")
    kept.keep(page_change(page))
    psid = world.add_person(page, "Mia", "Torres").psid
    saving = asyncio.create_task(kept.run())
    first = journal_path(path, 1)
    assert first.exists()
    for number in range(60):
        message = world.write(page, psid, Said(str(number)), NOW + number)
        kept.keep(thread_change(page, psid, message))
    await until(lambda: not first.exists())
    message = world.write(page, psid, Said("after"), NOW)
    kept.keep(thread_change(page, psid, message))
    assert load_world(path).pages == world.pages
    saving.cancel()
    await asyncio.gather(saving, return_exceptions=True)
    kept.close()
    assert load_world(path).pages == world.pages


def test_a_torn_last_line_was_never_confirmed(tmp_path: Path) -> None:
    world, path = World(), tmp_path / FILE_NAME
    kept = Store(path, world)
    kept.open()
    kept.keep(page_change(world.add_page("Bakery")))
    journal = journal_path(path, 1)
    with journal.open("ab") as file:
        file.write(b'{"page":{"id":"1')
    assert load_world(path).pages == world.pages
    with journal.open("ab") as file:
        file.write(b"\n{}\n")
    with pytest.raises(BrokenStateError, match="journal"):
        load_world(path)


def test_a_broken_state_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    state = tmp_path / FILE_NAME
    state.write_text("{")
    with pytest.raises(BrokenStateError, match=str(state)):
        load_world(state)
    assert state.read_text() == "{"


def test_long_threads_forget_their_beginning_and_find_the_rest() -> None:
    world = World()
    page = world.add_page("Bakery")
    person = world.add_person(page, "Mia", "Torres")
    mids = [
        world.accept(page, Send(person, text=str(number)), "1", NOW + number).mid
        for number in range(KEPT_MESSAGES + FORGOTTEN_AT_ONCE)
    ]
    thread = page.threads[person.psid]
    assert len(thread.messages) == KEPT_MESSAGES
    assert world.message(mids[0]) is None
    for again in (world, World.load(world.dump())):
        for number in (FORGOTTEN_AT_ONCE, len(mids) - 1):
            found = again.message(mids[number])
            assert found is not None
            assert found[2].text == str(number)
        assert again.is_detailed(mids[-20])
        assert not again.is_detailed(mids[-21])


def note(calls: CallLog, text: str) -> None:
    calls.add(
        at=NOW,
        method="POST",
        endpoint="messages",
        body={"text": text, "access_token": "EAA"},
        outcome="accepted",
        page="1",
    )


def texts(calls: CallLog) -> list[str]:
    return [json.loads(line)["body"]["text"] for line in calls.select("1", None, 0)]


def test_the_newest_calls_are_kept_in_memory_and_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    calls = CallLog(path, kept=3)
    calls.open()
    for number in range(8):
        note(calls, str(number))
    assert texts(calls) == ["5", "6", "7"]
    with path.open("ab") as file:  # killed here
        file.write(b'{"n": 9, "torn')
    again = CallLog(path, kept=3)
    again.open()
    assert texts(again) == ["5", "6", "7"]
    note(again, "8")
    assert again.count == 9
    path.write_bytes(path.read_bytes().replace(b'{"n": 9', b'half a line\n{"n": 9'))
    third = CallLog(path, kept=3)
    third.open()
    assert texts(third) == ["6", "7", "8"]
    assert b"EAA" not in path.read_bytes()
    third.clear()
    fourth = CallLog(path, kept=3)
    fourth.open()
    assert (texts(fourth), fourth.count) == ([], 0)
    for each in (calls, again, third, fourth):
        each.close()


def test_a_world_saved_before_there_were_users_gets_the_usual_ones(tmp_path: Path) -> None:
    world = World()
    page = world.add_page("Corner Bakery")
    path = tmp_path / FILE_NAME
    path.write_bytes(world.dump())
    alex, sam, noor = load_world(path).logins.users
    assert (alex.app_role, alex.roles) == ("admin", {page.id: "admin"})
    assert sam.roles == {page.id: "analyst"}
    assert noor.roles == {}
