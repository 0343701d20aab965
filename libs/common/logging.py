"""Logs: an event name and facts. What is not on the list of allowed keys is not written.

Message texts, tokens and raw user ids therefore cannot reach a log by accident: a person appears
as a keyed hash (`person`), and a new key has to be added here on purpose. Exceptions are shown with
their stack; their own words only where those cannot quote what people wrote. A value stays within
its line, whatever it holds: control characters are written as `\\u001b`, for a terminal, too.
"""

import hashlib
import hmac
import logging
import re
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from libs.common import tracing
from libs.common.errors import ProjectError
from libs.common.text import printable

ALLOWED_KEYS = frozenset(
    """
    address attempt attempts backoff_s bytes cause channel code command_id conversation
    count delay_s duration_s endpoint env error event event_id events exc_info exception
    field generation group host in_flight key_hash kind lag level limit logger mid mode
    model name offset outcome page_id part partition partitions parts path pause_s pending
    pid port reason record_type records remaining retry_after_s rule send_id service signal
    state status subcode task timeout_s timestamp topic trace_id turn_id type url_host
    version waited_s
    """.split()  # noqa: SIM905 - a list of eighty strings reads worse
)
_SECRET = re.compile(
    r"EAA[A-Za-z0-9]{6,}|sk-[A-Za-z0-9_-]{16,}|Bearer\s+\S+|[A-Za-z0-9_-]{60,}"
    r"|(?<=://)[^/\s@]+(?=@)|[\w.+-]+@[\w-]+\.[\w.]+"
)
# errors whose words are ours, the system's or about code; others may quote a record or a document
_QUOTABLE: tuple[type[Exception], ...] = (
    ProjectError,
    OSError,
    AssertionError,
    AttributeError,
    ImportError,
    NameError,
    RuntimeError,
    TypeError,
)
_MOST_REMEMBERED = 1000  # messages; beyond that they are forgotten, and may be said again
_LONGEST_CHAIN = 8
_HASH_KEY = secrets.token_bytes(16)  # replaced by configure(): the same in every service


def person_hash(psid: str) -> str:
    """How a person is named in logs: the same in every service, useless without the key."""
    return hmac.new(_HASH_KEY, psid.encode(), hashlib.sha256).hexdigest()[:12]


def configure(
    service: str, *, level: str = "info", form: str = "auto", hash_key: bytes = b""
) -> None:
    """Set up structlog and the standard library's loggers, to standard error."""
    global _HASH_KEY
    if hash_key:
        _HASH_KEY = hashlib.sha256(b"log-person:" + hash_key).digest()
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Name(service),
        name_trace,
        tell_exception,
        keep_allowed,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    handler.addFilter(Seldom())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)  # libraries speak only when something is wrong
    logging.captureWarnings(True)
    sys.excepthook = _tell_end


class _Handler(logging.StreamHandler[TextIO]):
    """Python's own would print what it can't format, with all that it was given."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - Python's name
        kind = type(sys.exc_info()[1]).__name__
        structlog.get_logger(record.name).error("log_line_broke", error=kind)


def _tell_end(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
    """What ends the process is told as everything else is: in one line, and without its words where
    those may be somebody's."""
    if not issubclass(kind, Exception):
        sys.__excepthook__(kind, error, stack)
        return
    structlog.get_logger(__name__).critical("crashed", error=kind.__name__, exc_info=error)


class Seldom(logging.Filter):
    """Lets a library say the same thing once in ten seconds: aiokafka says it a hundred times a
    second for as long as Kafka is away. The next time, how often it was said stands behind it."""

    def __init__(self, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # until when quiet, how often

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        quiet_until, unsaid = self._said.get(key, (float("-inf"), 0))
        now = self._clock()
        if now < quiet_until:
            self._said[key] = (quiet_until, unsaid + 1)
            return False
        if len(self._said) >= _MOST_REMEMBERED:
            self._said.clear()
        self._said[key] = (now + self._every_s, 0)
        if unsaid:
            record.msg, record.args = f"{record.getMessage()} ({unsaid} more like it before)", ()
        return True


class _Name:
    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(
        self, _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event["service"] = self._service
        return event


def name_trace(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """The trace that the line belongs to, if there is one."""
    if (trace_id := tracing.trace_id()) is not None:
        event["trace_id"] = trace_id
    return event


def tell_exception(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Write out `exc_info`, however it was given, as `exception`."""
    given = event.pop("exc_info", None)
    if isinstance(given, tuple):
        given = given[1]
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        event["exception"] = "\n".join(_lines_of(error))
    return event


def _lines_of(error: BaseException, depth: int = 0) -> Iterator[str]:
    """As Python shows it, without the words of errors that may quote somebody."""
    if depth > _LONGEST_CHAIN:
        return
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _lines_of(before, depth + 1)
        yield "which led to:"
    yield "Traceback (most recent call last):"
    yield from "".join(traceback.format_tb(error.__traceback__)).splitlines()
    words = printable(str(error)) if isinstance(error, _QUOTABLE) else "(its text is not shown)"
    yield f"{type(error).__module__}.{type(error).__qualname__}: {words}"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from (f"  | {line}" for line in _lines_of(each, depth + 1))


def keep_allowed(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop what is not allowed, hash the person in a conversation id, blot out secrets."""
    kept: dict[str, Any] = {}
    for key, value in event.items():
        if key.startswith("_"):
            kept[key] = value  # structlog's own
        elif key in ALLOWED_KEYS:
            kept[key] = clean(key, value)
        elif key == "psid":
            kept["person"] = person_hash(str(value))
    return kept


def clean(key: str, value: Any) -> Any:  # noqa: ANN401 - log values are of any type
    """A value as it may be shown: the person in a conversation's id hashed, secrets blotted out."""
    if key == "conversation" and isinstance(value, str) and ":" in value:
        page, _, psid = value.partition(":")
        return f"{printable(page)}:{person_hash(psid)}"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {printable(str(name)): clean("", each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean("", each) for each in value]
    lines = "\n" if key == "exception" else ""  # `tell_exception` has made them
    return printable(_SECRET.sub("[redacted]", str(value)), keep=lines)
