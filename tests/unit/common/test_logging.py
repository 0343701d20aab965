"""Only allowed keys are written, secrets are blotted out, and people appear as hashes."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from libs.common import tracing
from libs.common.errors import TransientError
from libs.common.logging import Seldom, configure, keep_allowed, person_hash, tell_exception
from libs.common.text import printable
from tests.traces import recorded

PSID = "7391028401"
TOKEN = "EAAGm0PX4ZCpsBAKZBtest"
WRITTEN = "what a person wrote"  # a name, because a stack shows the lines of code


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a configured service writes to standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(logging, "captureWarnings", lambda _: None)  # pytest has them
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure("parcels", form="json", hash_key=b"a key of the tests")
    yield written
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def only_line(written: io.StringIO) -> dict[str, Any]:
    (line,) = written.getvalue().splitlines()
    return dict(json.loads(line))


def kept(**event: object) -> dict[str, Any]:
    return dict(keep_allowed(None, "info", {"event": "tested", **event}))


def test_line_says_who_when_and_what(lines: io.StringIO) -> None:
    structlog.get_logger().info("parcel_sent", page_id="1052938400", parts=2)
    line = only_line(lines)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "parcel_sent",
        "level": "info",
        "service": "parcels",
        "page_id": "1052938400",
        "parts": 2,
    }


def test_line_within_a_trace_names_it(lines: io.StringIO) -> None:
    with recorded(), tracing.entry("parcel"):
        trace_id = tracing.trace_id()
        structlog.get_logger().info("parcel_sent")
    assert only_line(lines)["trace_id"] == trace_id


def test_key_that_is_not_allowed_is_not_written(lines: io.StringIO) -> None:
    structlog.get_logger().info("parcel_sent", text=WRITTEN, token=TOKEN)
    assert WRITTEN not in lines.getvalue()
    assert TOKEN not in lines.getvalue()
    assert only_line(lines)["event"] == "parcel_sent"


def test_person_is_named_by_the_same_hash_everywhere(lines: io.StringIO) -> None:
    structlog.get_logger().info("heard", psid=PSID, conversation=f"1052938400:{PSID}")
    line = only_line(lines)
    assert line["person"] == person_hash(PSID)
    assert line["conversation"] == f"1052938400:{person_hash(PSID)}"
    assert PSID not in lines.getvalue()


def test_hash_of_a_person_depends_on_the_key(lines: io.StringIO) -> None:
    before = person_hash(PSID)
    configure("other", form="json", hash_key=b"a key of the tests")
    assert person_hash(PSID) == before
    configure("other", form="json", hash_key=b"another key")
    assert person_hash(PSID) != before
    assert lines.getvalue() == ""


def test_bound_context_is_treated_alike(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(psid=PSID, text="private", event_id="e-1"):
        structlog.get_logger().info("heard")
    line = only_line(lines)
    assert line["event_id"] == "e-1"
    assert line["person"] == person_hash(PSID)
    assert "private" not in lines.getvalue()


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        f"Bearer {'abc' * 4}",
        "sk-proj-abcdefghijklmnop1234",
        "x" * 60,
        "bad6df0b858104754a0ffde2f0c05fe9731f1a5e141ee1bccf316d05f28d5135",
        "ada@example.org",
    ],
)
@pytest.mark.parametrize("shape", [lambda secret: f"before {secret}, after", lambda s: [1, {2: s}]])
def test_secrets_are_blotted_out(secret: str, shape: Any) -> None:  # noqa: ANN401
    shown = json.dumps(kept(error=shape(secret)))
    assert secret not in shown
    assert "[redacted]" in shown


def test_address_of_a_database_is_shown_without_its_password() -> None:
    line = kept(reason="no answer from mongodb://me:pass@mongo:27017/x")
    assert line["reason"] == "no answer from mongodb://[redacted]@mongo:27017/x"


def test_objects_are_blotted_out_too() -> None:
    assert kept(error=TransientError(f"{TOKEN} is wrong"))["error"] == "[redacted] is wrong"
    assert kept(partitions={3}, part=1, duration_s=0.5, mode=None) == {
        "event": "tested",
        "partitions": [3],
        "part": 1,
        "duration_s": 0.5,
        "mode": None,
    }


class Parcel(BaseModel):
    weight: int


def validation_error() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Parcel.model_validate({"weight": WRITTEN})
    return caught.value


def test_exception_that_may_quote_people_keeps_its_words_to_itself(lines: io.StringIO) -> None:
    try:
        raise TransientError("no answer") from validation_error()
    except TransientError:
        structlog.get_logger().exception("parcel_failed")
    shown = only_line(lines)["exception"]
    assert WRITTEN not in shown
    assert "ValidationError: (its text is not shown)" in shown
    assert "which led to:" in shown
    assert shown.splitlines()[-1] == "libs.common.errors.TransientError: no answer"
    assert "test_logging.py" in shown


def test_exception_may_be_given_in_every_way() -> None:
    error = RuntimeError("broken")
    try:
        raise error
    except RuntimeError:
        for given in (True, error, sys.exc_info()):
            shown = tell_exception(None, "error", {"exc_info": given})["exception"]
            assert shown.splitlines()[-1] == "builtins.RuntimeError: broken"
    assert tell_exception(None, "error", {"exc_info": True}) == {}
    assert tell_exception(None, "error", {"exc_info": None}) == {}


def test_group_shows_each_of_its_errors() -> None:
    group = ExceptionGroup("two", [RuntimeError("one of them"), ValueError("private")])
    shown = tell_exception(None, "error", {"exc_info": group})["exception"]
    assert "  | builtins.RuntimeError: one of them" in shown
    assert "  | builtins.ValueError: (its text is not shown)" in shown
    assert "private" not in shown


def test_error_that_caused_itself_ends() -> None:
    error, other = RuntimeError("one"), RuntimeError("other")
    error.__cause__, other.__cause__ = other, error
    shown = tell_exception(None, "error", {"exc_info": error})["exception"]
    assert shown.splitlines()[-1] == "builtins.RuntimeError: one"


def test_libraries_speak_only_of_trouble_and_by_the_same_rules(lines: io.StringIO) -> None:
    library = logging.getLogger("somebodys.library")
    library.info("all is well")
    try:
        raise ValueError(WRITTEN)
    except ValueError:
        library.exception("refused %s", TOKEN, extra={"text": "private"})
    line = only_line(lines)
    assert (line["event"], line["level"], line["service"]) == (
        "refused [redacted]",
        "error",
        "parcels",
    )
    assert "builtins.ValueError: (its text is not shown)" in line["exception"]
    assert WRITTEN not in lines.getvalue()


def test_level_is_obeyed_and_a_console_gets_readable_lines(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", lines)  # pytest has put its own there meanwhile
    configure("parcels", level="warning", form="console")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud", page_id="1")
    (line,) = lines.getvalue().splitlines()
    assert "loud" in line
    assert not line.startswith("{")


def said(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("library", logging.ERROR, "file.py", 1, text, args, None)


def test_a_library_that_repeats_itself_is_heard_once_in_ten_seconds() -> None:
    now = 100.0
    seldom = Seldom(every_s=10, clock=lambda: now)
    assert seldom.filter(said("no answer from %s", "a"))
    assert not seldom.filter(said("no answer from %s", "b"))
    assert seldom.filter(said("something else"))
    now = 109.9
    assert not seldom.filter(said("no answer from %s", "c"))
    now = 110.0
    again = said("no answer from %s", "d")
    assert seldom.filter(again)
    assert again.getMessage() == "no answer from d (2 more like it before)"
    now = 125.0
    later = said("no answer from %s", "e")
    assert seldom.filter(later)
    assert later.getMessage() == "no answer from e"


def test_what_libraries_repeat_is_written_seldom(lines: io.StringIO) -> None:
    for number in range(50):
        logging.getLogger("aiokafka").error("Unable connect to %s", number)
    assert only_line(lines)["event"] == "Unable connect to 0"


# --- whatever stands in a value stays in it

FORGED = (
    "x\n" + json.dumps({"event": "forged", "level": "info"}),
    'x", "event": "forged", "y": "',
    "x\r\x1b[2K\x1b[31mforged\x1b[0m\x07\x9b31m",
    "x\x85forged\u2028forged\u2029forged\x0bforged\x0cforged\x1cforged",
    "x\u202eforged\u2066",
    "x\u200fforged\u061c \u200e",
    "x\ud800\x00forged",
)
ROUGH = st.text(max_size=30) | st.sampled_from(FORGED)


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("shape", ["value", "list", "name", "error", "library", "conversation"])
@pytest.mark.parametrize("text", FORGED)
def test_no_value_leaves_its_line(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch, text: str, shape: str, form: str
) -> None:
    monkeypatch.setattr(sys, "stderr", lines)  # pytest has put its own there meanwhile
    configure("parcels", form=form)
    log = structlog.get_logger()
    match shape:
        case "value":
            log.error("parcel_lost", reason=text)
        case "list":
            log.error("parcel_lost", partitions=[text, (text,)])
        case "name":
            log.error("parcel_lost", state={text: 1})
        case "error":
            log.error("parcel_lost", error=TransientError(text))
        case "library":
            logging.getLogger("library").error("parcel_lost %s", text)
        case "conversation":
            log.error("parcel_lost", conversation=f"{text}:{PSID}")
    written = lines.getvalue()
    assert written.endswith("\n")
    own = _COLOURS.sub("", written) if form == "console" else written
    assert re.findall(r"[^\x20-\x7e\xa0-\u2027\u2030-\ud7ff]", own) == ["\n"]
    assert not set(own) & set("\u061c\u200e\u200f")
    assert "forged" in own or shape == "conversation"  # whose latter part is hashed
    if form == "json":
        assert only_line(lines)["event"].startswith("parcel_lost")
    else:
        assert "[31m" not in own.replace("\\u001b[31m", "").replace("\\u009b31m", "")


_COLOURS = re.compile(r"\x1b\[[0-9;]{1,4}m")  # the console's own; ours are the longest


@given(ROUGH)
def test_a_stack_keeps_its_lines_and_what_an_error_says_is_in_one_of_them(text: str) -> None:
    try:
        raise TransientError(text)
    except TransientError:
        line = tell_exception(None, "error", {"event": "tested", "exc_info": True})
    shown = keep_allowed(None, "error", line)["exception"]
    *stack, words = shown.split("\n")
    assert stack[0] == "Traceback (most recent call last):"
    assert words.startswith("libs.common.errors.TransientError: ")
    assert shown.replace("\n", "") == printable(shown.replace("\n", ""))


@given(ROUGH)
def test_what_is_printable_says_what_it_was_within_json(text: str) -> None:
    shown = printable(json.dumps(text, ensure_ascii=False))
    assert json.loads(shown) == text
    assert printable(shown) == shown


def test_what_ends_the_process_is_a_line_as_well(lines: io.StringIO) -> None:
    try:
        raise ValueError(WRITTEN)
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    line = only_line(lines)
    assert (line["event"], line["error"]) == ("crashed", "ValueError")
    assert WRITTEN not in lines.getvalue()


def test_a_library_that_says_it_wrongly_does_not_say_what_it_was_given(lines: io.StringIO) -> None:
    ours, *_pytests = logging.getLogger().handlers
    ours.handle(said("%d parcels", WRITTEN))
    line = only_line(lines)
    assert (line["event"], line["error"]) == ("log_line_broke", "TypeError")
    assert WRITTEN not in lines.getvalue()
