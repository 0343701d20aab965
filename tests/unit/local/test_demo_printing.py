"""The transcript as people and programs read it."""

import json
import re
from pathlib import Path

import pytest

from deploy.local.demo.printing import Printer, abridged, wants_colour
from deploy.local.demo.running import Running
from deploy.local.demo.transcript import Line, Table, Transcript

RUNNING = Running({"simulator": "http://127.0.0.1:8090"}, Path("/somewhere/logs"))


def told(transcript: Transcript, printer: Printer, output: list[str]) -> str:
    printer.end(transcript, 12.3, RUNNING)
    return "\n".join(output)


def play(*, colour: bool, fails: bool) -> tuple[Transcript, str]:
    output: list[str] = []
    printer = Printer(output.append, colour=colour)
    transcript = Transcript([printer])
    transcript.begin("Corner Bakery")
    transcript.scene("A question")
    transcript.line(Line("person", "Ada", "When are you open?"))
    transcript.line(Line("person", "Ada", "On Sunday, I mean."))
    transcript.line(Line("page", "Corner Bakery", "word " * 40, "0.9 s later"))
    transcript.table(Table(("alone", "in life"), (("records", (1, 3), "one an event"),)))
    transcript.expect("answered once", 1, 2 if fails else 1)
    return transcript, told(transcript, printer, output)


def test_what_people_write_are_only_letters_to_a_terminal() -> None:
    evil = "evil\x1b[31m\r\x9b2K\u202e\x07"
    output: list[str] = []
    transcript = Transcript([Printer(output.append, colour=False)])
    transcript.begin(evil)
    transcript.scene("A question")
    transcript.line(Line("person", evil, f"one\n{evil}", evil))
    transcript.expect("it is the same", "one", evil)
    text = "\n".join(output)
    assert text.count("\\u001b[31m") == 5
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_a_story_that_held_says_so_and_where_to_go_next() -> None:
    transcript, output = play(colour=False, fails=False)
    assert transcript.held
    assert "1. A question" in output
    assert "    Ada\n    │ When are you open?\n    │ On Sunday, I mean.\n" in output
    assert "Corner Bakery, 0.9 s later" in output
    assert re.search(r"^    records +1 +3   one an event$", output, re.MULTILINE)
    assert "✓ answered once" in output
    assert "1 checks held, in 12 s." in output
    assert "http://127.0.0.1:8090/" in output
    assert max(len(line) for line in output.splitlines()) <= 96
    assert "\x1b" not in output


def test_a_check_that_failed_tells_what_was_expected_and_seen() -> None:
    transcript, output = play(colour=False, fails=True)
    assert not transcript.held
    assert "✗ answered once" in output
    assert "expected  1" in output
    assert "seen      2" in output
    assert "1 of 1 checks failed" in output
    assert "/somewhere/logs" in output


def test_colours_only_add_to_the_text() -> None:
    _, plain = play(colour=False, fails=True)
    _, coloured = play(colour=True, fails=True)
    assert "\x1b[31" in coloured
    for code in ("0", "1", "2", "31", "31;1", "32", "32;1", "34", "34;1", "36", "36;1"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == plain


@pytest.mark.parametrize(
    ("environment", "is_terminal", "colour"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colours_are_for_terminals_whose_owner_wants_them(
    environment: dict[str, str], is_terminal: bool, colour: bool
) -> None:
    assert wants_colour(environment, is_terminal=is_terminal) is colour


def test_of_a_long_message_the_beginning_and_the_end_are_shown() -> None:
    lines = [str(number) for number in range(30)]
    shown = abridged(lines)
    assert shown[0] == "0"
    assert shown[-1] == "29"
    assert "⋯ 20 more lines" in shown
    assert abridged(lines[:14]) == lines[:14]


def test_programs_get_all_of_it() -> None:
    transcript, _ = play(colour=False, fails=True)
    document = json.loads(json.dumps(transcript.to_json(1.234)))
    assert document["held"] is False
    assert (document["checks"], document["failed"], document["seconds"]) == (1, 1, 1.2)
    (scene,) = document["scenes"]
    assert scene["lines"][0] == {
        "side": "person",
        "who": "Ada",
        "text": "When are you open?",
        "note": "",
    }
    assert scene["checks"][0] == {
        "name": "answered once",
        "held": False,
        "expected": "1",
        "seen": "2",
    }


def test_a_story_without_a_check_has_not_held() -> None:
    assert not Transcript().held


def test_a_check_before_the_first_scene_is_kept_too() -> None:
    transcript = Transcript()
    transcript.check("the stack answers", held=False, seen="nothing")
    assert [check.name for check in transcript.failed] == ["the stack answers"]
