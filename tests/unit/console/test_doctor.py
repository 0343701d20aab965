"""What the connection doctor makes of what it finds, and that one cause is one failure."""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.doctor.domain import address, meta, pages, system
from services.console.doctor.domain.findings import (
    Finding,
    Found,
    Line,
    Report,
    State,
    Verdict,
    failed,
    ok,
    unknown,
    waiting,
)
from services.console.doctor.examining import Check, Once, Sparing, examine
from services.console.doctor.printing import as_json, as_text
from services.console.domain.facebook_login import FIELDS

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PAGE = "4225"
STATES: tuple[State, ...] = ("ok", "waiting", "unknown", "failed")


def finding(name: str, verdict: Verdict, *needs: str) -> Finding:
    return Finding(Line(name, "Section", name.title(), needs), verdict)


def check(name: str, verdict: Verdict, *needs: str, after: tuple[str, ...] = ()) -> Check:
    async def probe(_found: Found) -> Verdict:
        return verdict

    return Check(Line(name, "Section", name.title(), needs), probe, after)


def report(*states: State) -> Report:
    return Report(
        NOW,
        tuple(
            finding(f"l{n}", Verdict(state, "words.", "cure.")) for n, state in enumerate(states)
        ),
    )


def test_two_pages_of_the_same_name_are_not_mixed_up() -> None:
    lines = [Line(f"{page}.{n}", "Page Shop", "Title", (), page) for n in "ab" for page in "12"]
    both = Report(NOW, tuple(Finding(line, ok("fine.")) for line in lines))
    shown = [(name, [each.id for each in found]) for name, found in both.sections]
    assert shown == [("Page Shop (1)", ["1.a", "1.b"]), ("Page Shop (2)", ["2.a", "2.b"])]


# Lines that stand on one another


async def test_a_line_whose_ground_is_broken_is_unknown_and_names_the_root() -> None:
    found = await examine(
        [
            check("a", failed("broken.", "mend it.")),
            check("b", ok("never asked."), "a"),
            check("c", ok("never asked."), "b"),
            check("d", ok("fine.")),
        ]
    )
    assert [(each.id, each.state, each.verdict.because) for each in found] == [
        ("a", "failed", None),
        ("b", "unknown", "a"),
        ("c", "unknown", "a"),
        ("d", "ok", None),
    ]
    assert "“A”" in found[2].verdict.words


async def test_what_only_waits_is_ground_enough_and_so_is_what_is_not_there() -> None:
    found = await examine(
        [check("a", waiting("not yet.")), check("b", ok("fine."), "a", "elsewhere")]
    )
    assert [each.state for each in found] == ["waiting", "ok"]


async def test_a_probe_that_breaks_or_never_ends_is_one_unknown_line() -> None:
    async def breaks(_found: Found) -> Verdict:
        raise ValueError("EAAsecret")

    async def never_ends(_found: Found) -> Verdict:
        await asyncio.Event().wait()
        raise AssertionError

    found = await examine(
        [
            Check(Line("a", "S", "A"), breaks),
            Check(Line("b", "S", "B"), never_ends, deadline_s=0.01),
            check("c", ok("fine.")),
        ]
    )
    assert [each.state for each in found] == ["unknown", "unknown", "ok"]
    assert "EAAsecret" not in str(found)


async def test_who_comes_after_another_line_is_told_what_it_found() -> None:
    async def tells(found: Found) -> Verdict:
        return ok(found["a"].state)

    (_, last) = await examine(
        [
            check("a", failed("broken.", "mend it.")),
            Check(Line("b", "S", "B"), tells, after=("a",)),
        ]
    )
    assert last.verdict.words == "failed"


async def test_what_several_lines_need_is_asked_for_once() -> None:
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return asked

    once = Once(ask)
    assert tuple(await asyncio.gather(once.get(), once.get())) == (1, 1)


async def test_what_costs_something_is_asked_again_only_later_or_if_it_was_not_known() -> None:
    now, verdicts = 0.0, [unknown("no answer."), ok("first."), failed("second.", "mend it.")]

    async def look() -> Verdict:
        return verdicts.pop(0)

    sparing = Sparing(lambda: now)
    seen = [(await sparing.get("x", 60, look)).words for _ in range(3)]
    now = 60.0
    seen.append((await sparing.get("x", 60, look)).words)
    assert seen == ["no answer.", "first.", "first.", "second."]


# All of it


@given(st.lists(st.sampled_from(STATES), max_size=8))
def test_the_exit_status_says_the_worst(states: Sequence[State]) -> None:
    code = report(*states).exit_code
    assert code == (1 if "failed" in states else 2 if "unknown" in states else 0)


@pytest.mark.parametrize(
    ("states", "headline"),
    [
        (("ok", "ok"), "All good: every link from Meta to the reply works."),
        (("ok", "waiting"), "All good so far. Section, l1: words. cure."),
        (
            ("waiting", "unknown"),
            "Nothing has failed, and not everything could be looked at. Section, l1: words.",
        ),
        (("unknown", "failed"), "Section, l1: words."),
        (("failed", "failed", "failed"), "Section, l0: words. 2 more failed."),
    ],
)
def test_the_first_line_says_the_worst_in_words(states: Sequence[State], headline: str) -> None:
    assert report(*states).headline == headline


def test_lines_that_are_looked_at_again_keep_their_place() -> None:
    before = report("waiting", "ok")
    after = before.updated([finding("l0", ok("here.")), finding("new", ok("not asked for."))])
    assert [(each.id, each.state) for each in after.findings] == [("l0", "ok"), ("l1", "ok")]


def test_the_report_as_text_has_each_cure_below_its_line() -> None:
    text = as_text(report("failed", "waiting"))
    assert text.index("FAILED") < text.index("→ cure.") < text.index("waiting") < text.rindex("→")
    assert "1 waiting, 1 failed" in text
    assert as_json(report("failed"))["findings"][0]["cure"] == "cure."


def test_what_others_say_are_only_letters_to_a_terminal() -> None:
    evil = "Bakery\n  ok       Forged\x1b[2K\x9b31m\u202e"
    line = Line("l0", evil, evil)
    text = as_text(Report(NOW, (Finding(line, failed(evil, evil)),)))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert [each for each in text.splitlines() if each.startswith("  ok")] == []


# The public address


@pytest.mark.parametrize(
    ("url", "is_public", "state"),
    [
        ("https://hooks.example.org", True, "ok"),
        ("http://hooks.example.org", True, "failed"),
        ("http://127.0.0.1:8081", False, "ok"),
    ],
)
def test_meta_calls_https_only(url: str, is_public: bool, state: State) -> None:
    assert address.judge_address(url, is_public=is_public).state == state


@pytest.mark.parametrize(
    ("addresses", "is_public", "state"),
    [
        (["93.184.216.34", "2606:2800:220:1::1"], True, "ok"),
        (["93.184.216.34", "10.0.0.7"], True, "failed"),
        (["127.0.0.1"], True, "failed"),
        (["fd00::1"], True, "failed"),
        (["127.0.0.1"], False, "ok"),
    ],
)
def test_a_private_address_is_no_use_to_meta(
    addresses: list[str], is_public: bool, state: State
) -> None:
    assert address.judge_resolved("h", addresses, is_public=is_public).state == state


def test_the_real_graph_needs_a_public_address_whatever_the_environment_is_called() -> None:
    assert address.must_be_public("https://graph.facebook.com", is_production=False)
    assert address.must_be_public("http://127.0.0.1:8090", is_production=True)
    assert not address.must_be_public("http://127.0.0.1:8090", is_production=False)


@pytest.mark.parametrize(("days", "state"), [(8, "ok"), (6, "failed"), (-1, "failed")])
def test_a_certificate_is_renewed_in_time(days: int, state: State) -> None:
    assert address.judge_certificate(NOW + timedelta(days=days), NOW).state == state


@pytest.mark.parametrize(
    ("code", "words"),
    [(20, "chain"), (18, "by itself"), (10, "run out"), (62, "another name"), (99, "not accepted")],
)
def test_a_refused_certificate_says_why(code: int, words: str) -> None:
    verdict = address.refused_certificate(code)
    assert verdict.state == "failed"
    assert words in verdict.words
    assert verdict.cure


# The app


@pytest.mark.parametrize(
    ("seconds", "state"), [(60, "ok"), (-60, "ok"), (61, "failed"), (-61, "failed")]
)
def test_clocks_may_differ_by_a_minute(seconds: int, state: State) -> None:
    assert meta.judge_clock(NOW + timedelta(seconds=seconds), NOW).state == state


@pytest.mark.parametrize(
    ("reason", "hours", "state"),
    [
        ("app_not_live", 1, "failed"),
        ("app_not_live", 25, "ok"),
        ("window_closed", 1, "ok"),
    ],
)
def test_a_refusal_for_lack_of_a_role_means_that_the_app_is_not_live(
    reason: str, hours: int, state: State
) -> None:
    refusals = [meta.Refusal(reason, NOW - timedelta(hours=hours))]
    assert meta.judge_mode(refusals, NOW).state == state


HERE = "https://hooks.example.org/webhooks/messenger"


def subscription(**changes: object) -> meta.Subscription:
    usual = {"object": "page", "callback_url": HERE, "active": True, "fields": FIELDS}
    return meta.Subscription(**{**usual, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ([subscription()], "ok"),
        ([], "failed"),
        ([subscription(active=False)], "failed"),
        ([subscription(object="user")], "failed"),
    ],
)
def test_the_app_needs_a_webhook_for_pages(found: list[meta.Subscription], state: State) -> None:
    assert meta.judge_registered(found, HERE)[0].state == state


def test_the_webhook_has_to_lead_here_with_all_fields() -> None:
    assert meta.judge_callback(subscription(), HERE).state == "ok"
    elsewhere = meta.judge_callback(subscription(callback_url="https://old.example.org/"), HERE)
    assert elsewhere.state == "failed"
    assert "old.example.org" in elsewhere.words
    assert meta.judge_fields(subscription()).state == "ok"
    assert meta.judge_fields(subscription(fields=FIELDS[1:])).details["missing"] == [FIELDS[0]]


# A Page


def judged_token(cause: str | None = None, app: str | None = "1", page: str | None = PAGE) -> State:
    return pages.judge_token(cause=cause, owner_ids=(app, page), app_id="1", page_id=PAGE).state


def test_a_token_has_to_be_good_and_of_this_app_and_page() -> None:
    assert judged_token() == judged_token(app=None, page=None) == "ok"
    assert judged_token("permission_missing") == "ok"  # a line of its own says so
    assert judged_token("expired") == judged_token(app="2") == judged_token(page="9") == "failed"


def test_every_permission_that_is_missing_is_named_with_what_it_is_for() -> None:
    assert pages.judge_scopes(pages.NEEDED, ()).state == "ok"
    assert pages.judge_scopes((), ()).state == "ok"  # Facebook does not say
    verdict = pages.judge_scopes(("pages_messaging",), ())
    assert verdict.details["missing"] == ["pages_manage_metadata", "pages_read_engagement"]
    assert "to hear of messages" in verdict.words
    assert pages.judge_scopes(pages.NEEDED, ("pages_messaging",)).state == "failed"


def test_a_token_that_runs_out_soon_is_renewed_before() -> None:
    assert pages.judge_expiry(None, None, NOW).state == "ok"
    assert pages.judge_expiry(NOW + timedelta(days=8), None, NOW).state == "ok"
    assert pages.judge_expiry(NOW + timedelta(days=6), None, NOW).state == "failed"
    told = pages.judge_expiry(None, NOW - timedelta(days=1), NOW)
    assert told.state == "ok"
    assert "names and pictures ended" in told.words


@pytest.mark.parametrize(
    ("fields", "state"), [(FIELDS, "ok"), (FIELDS[:-1], "failed"), (None, "failed")]
)
def test_the_page_has_to_tell_of_everything(fields: Sequence[str] | None, state: State) -> None:
    assert pages.judge_subscribed(fields).state == state


def test_standing() -> None:
    assert pages.judge_standing(True).state == pages.judge_standing(None).state == "ok"
    assert pages.judge_standing(False).state == "failed"
    assert pages.judge_human_agent(None).state == "ok"
    assert pages.judge_human_agent(NOW).state == "failed"
    assert pages.judge_held(0, more=False).state == "ok"
    assert "200 or more" in pages.judge_held(200, more=True).words


@pytest.mark.parametrize(
    ("counts", "token", "state"),
    [
        ({}, None, "ok"),
        ({"limit": 3, "behind": 9}, None, "waiting"),
        ({"token": 1, "behind": 9}, failed("run out.", "Reconnect."), "unknown"),
        ({"channel": 1}, failed("switched off.", "Switch it on."), "unknown"),
        ({"token": 1}, ok("good."), "failed"),
        ({"broken": 1}, ok("good."), "failed"),
    ],
)
def test_what_waits_to_be_sent_says_for_what(
    counts: dict[str, int], token: Verdict | None, state: State
) -> None:
    root = finding("token", token) if token else None
    verdict = pages.judge_waiting(counts, [None, root])
    assert verdict.state == state
    assert (verdict.because == "token") is (state == "unknown")


def test_messages_are_waited_for_and_an_echo_only_for_a_while() -> None:
    nothing = pages.Traffic()
    assert pages.judge_message(nothing).state == pages.judge_reply(nothing).state == "waiting"
    assert pages.judge_echo(nothing, NOW).state == pages.judge_receipt(nothing).state == "waiting"
    answered = pages.Traffic(NOW, NOW, echoed=True, receipt_at=NOW)
    assert pages.judge_message(answered).state == pages.judge_reply(answered).state == "ok"
    assert pages.judge_echo(answered, NOW).state == pages.judge_receipt(answered).state == "ok"
    just_now = pages.Traffic(NOW, NOW)
    assert pages.judge_echo(just_now, NOW + timedelta(seconds=119)).state == "waiting"
    assert pages.judge_echo(just_now, NOW + timedelta(seconds=120)).state == "failed"


# Our own parts


def test_a_service_that_waits_for_kafka_has_not_failed_itself() -> None:
    down = {system.KAFKA: finding(system.KAFKA, failed("away.", "start it."))}
    checks = {"mongodb": True, "kafka": False, "partitions": False}
    assert system.judge_service("sender", True, checks, {}).state == "failed"
    blamed = system.judge_service("sender", True, checks, down)
    assert (blamed.state, blamed.because) == ("unknown", system.KAFKA)
    assert system.judge_service("sender", False, None, down).state == "failed"
    assert system.judge_service("sender", True, None, {}).state == "failed"
    assert system.judge_service("sender", True, {"kafka": True}, {}).state == "ok"


def test_topics_need_all_their_partitions() -> None:
    wanted = {"events": 12, "commands": 12}
    assert system.judge_topics(wanted, {"events": 12, "commands": 13}).state == "ok"
    assert "commands (3 of 12)" in system.judge_topics(wanted, {"events": 12, "commands": 3}).words
    assert "Missing: commands" in system.judge_topics(wanted, {"events": 12}).words


def test_work_that_waits_for_long_has_its_service_to_blame() -> None:
    old, young = NOW - timedelta(minutes=2), NOW - timedelta(seconds=59)
    well = finding("service.sender", ok("ready."))
    away = finding("service.sender", failed("away.", "start it."))
    assert system.judge_lag(system.Lag(0), away, NOW).state == "ok"
    assert system.judge_lag(system.Lag(9, young), well, NOW).state == "ok"
    assert system.judge_lag(system.Lag(9, old), well, NOW).state == "failed"
    blamed = system.judge_lag(system.Lag(9, old), away, NOW)
    assert (blamed.state, blamed.because) == ("unknown", "service.sender")


def test_only_dead_letters_of_the_last_day_are_trouble() -> None:
    assert system.judge_dead_letters(0, 0).state == system.judge_dead_letters(5, 0).state == "ok"
    assert system.judge_dead_letters(5, 2).state == "failed"


@pytest.mark.parametrize(
    ("server", "is_production", "state"),
    [
        (system.DatabaseServer(True, None, True), False, "ok"),
        (system.DatabaseServer(True, None, True), True, "failed"),
        (system.DatabaseServer(False, None, True), False, "ok"),
        (system.DatabaseServer(False, None, True), True, "failed"),
        (system.DatabaseServer(False, "rs0", True), True, "ok"),
        (system.DatabaseServer(False, "rs0", False), True, "failed"),
    ],
)
def test_production_has_a_replica_set(
    server: system.DatabaseServer, is_production: bool, state: State
) -> None:
    assert system.judge_replica_set(server, is_production=is_production).state == state


def test_keys_indexes_and_the_model() -> None:
    assert system.judge_keys(2, ()).state == system.judge_indexes(()).state == "ok"
    assert system.judge_keys(2, (PAGE,)).state == "failed"
    assert system.judge_indexes(("messages (conversation)",)).state == "failed"
    told = system.judge_model(
        provider="offline", model="offline", failure=None, words="", took_s=0.01
    )
    assert "offline demo model" in told.words
    refused = system.judge_model(
        provider="openai", model="gpt", failure="key_refused", words="The key.", took_s=None
    )
    assert refused.state == "failed"
    assert "The key." in refused.words
    gone = system.judge_model(
        provider="none", model="none", failure="no_assistant", words="", took_s=None
    )
    assert gone.state == "failed"
    assert "the assistant that was chosen is gone" in gone.words


@pytest.mark.parametrize(
    "verdict",
    [
        address.judge_address("http://h", is_public=True),
        address.unresolved("h"),
        address.refused_certificate(20),
        meta.app_refused(),
        meta.judge_registered([], HERE)[0],
        pages.judge_subscribed(None),
        system.judge_topics({"events": 12}, {}),
    ],
)
def test_whatever_fails_says_what_to_do(verdict: Verdict) -> None:
    assert verdict.state == "failed"
    assert verdict.words.endswith(".")
    assert verdict.cure.endswith(".")
