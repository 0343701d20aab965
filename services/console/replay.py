"""`python -m services.console.replay`: puts dead letters back on the topics that they came from.

All that nobody has put back or discarded, the oldest first; `--list` only shows them, `--dry-run`
shows what would be done, `--discard` gives them up instead. `--service`, `--error`, `--page` and
`--id` choose some of them.

Ends with 0 if all was done, 1 if some can't be put back, 2 if it could not begin or go on. It needs
the console's KAFKA_ and MONGODB_ variables, and neither the console nor anything else to run.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from libs.common import logging as project_logging
from libs.common.erasures import TombstoneStore
from libs.common.errors import PermanentError, ProjectError
from libs.common.mongo import open_database
from libs.common.settings import KafkaSettings, MongoSettings, RuntimeSettings, SettingsGroup, load
from libs.common.text import printable
from services.console.app import utc_now
from services.console.audit import AuditLog
from services.console.channels_store import ChannelStore
from services.console.dead_letters import DeadLetters, ShownLetter
from services.console.dead_letters_store import DeadLetterStore
from services.console.letters_log import KafkaLetters

NAME = "replay"
ALL_DONE, SOME_LEFT, COULD_NOT = 0, 1, 2


class ReplaySettings(SettingsGroup):
    """The console's own, as far as they are needed."""

    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    mongo: MongoSettings = Field(default_factory=MongoSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)


@dataclass(frozen=True)
class Line:
    """A letter, and what became of it: open, would_replay, replayed, discarded, refused."""

    shown: ShownLetter
    outcome: str
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        letter = self.shown.letter
        partition, offset = letter.source or (None, None)
        return {
            "id": letter.id,
            "written_at": letter.written_at.isoformat(),
            "service": letter.service,
            "error": letter.error,
            "attempts": letter.attempts,
            "topic": letter.topic,
            "partition": partition,
            "offset": offset,
            "type": letter.type,
            "page_id": letter.page_id,
            "size_bytes": letter.size_bytes,
            "outcome": self.outcome,
            "why": self.why or None,
        }

    def __str__(self) -> str:
        letter = self.shown.letter
        facts = (
            letter.id,
            letter.service or "unknown service",
            letter.error or "unknown error",
            letter.type or "unknown type",
            f"page {letter.page_id}" if letter.page_id else "no page",
            self.outcome.replace("_", " "),
        )
        return printable("  ".join(facts) + (f": {self.why}" if self.why else ""))


async def carry_out(settings: ReplaySettings, wanted: argparse.Namespace) -> list[Line]:
    """Raises: ProjectError: Kafka or the database is away."""
    async with _opened(settings) as letters:
        found = [each for each in await letters.everything() if each.is_open]
        chosen = [each for each in reversed(found) if _is_chosen(each, wanted)]
        if wanted.list:
            return [Line(each, "open", each.why_not) for each in chosen]
        return [await _settle(letters, each, wanted) for each in chosen]


async def _settle(letters: DeadLetters, shown: ShownLetter, wanted: argparse.Namespace) -> Line:
    if wanted.dry_run:
        if shown.why_not and not wanted.discard:
            return Line(shown, "refused", shown.why_not)
        return Line(shown, "would_discard" if wanted.discard else "would_replay")
    settle = letters.discard_as_operator if wanted.discard else letters.replay_as_operator
    try:
        return Line(shown, (await settle(shown)).state)
    except PermanentError as error:
        return Line(shown, "refused", str(error))


def _is_chosen(shown: ShownLetter, wanted: argparse.Namespace) -> bool:
    letter = shown.letter
    return (
        (not wanted.service or letter.service == wanted.service)
        and (not wanted.error or wanted.error in (letter.error or ""))
        and (not wanted.page or letter.page_id == wanted.page)
        and (not wanted.id or letter.id in wanted.id)
    )


@asynccontextmanager
async def _opened(settings: ReplaySettings) -> AsyncIterator[DeadLetters]:
    production = settings.runtime.env == "production"
    async with open_database(settings.mongo, app_name=NAME, production=production) as database:
        store = DeadLetterStore(database)
        await store.ensure_indexes()
        yield DeadLetters(
            KafkaLetters(settings.kafka),
            store,
            TombstoneStore(database),
            ChannelStore(database),
            AuditLog(database, utc_now),
            utc_now,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.console.replay",
        description="Puts dead letters back on the topics that they came from, the oldest first, "
        "each once. Exit status: 0 all was done, 1 some can't be put back, 2 could not begin.",
    )
    parser.add_argument("--list", action="store_true", help="only show them")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done")
    parser.add_argument("--discard", action="store_true", help="give them up instead")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--service", metavar="NAME", help="that could not handle them")
    parser.add_argument("--error", metavar="TEXT", help="part of the error's name")
    parser.add_argument("--page", metavar="ID", help="of this Page only")
    parser.add_argument("--id", metavar="ID", action="append", help="this one; may be repeated")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    wanted = _parser().parse_args(arguments)
    try:
        settings = load(ReplaySettings)
    except SystemExit:  # it has said which variable
        return COULD_NOT
    project_logging.configure(NAME, level="error")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        lines = asyncio.run(carry_out(settings, wanted))
    except ProjectError as error:
        print(f"not done: {error} ({error.code})", file=sys.stderr)
        return COULD_NOT
    if wanted.json:
        print(json.dumps({"letters": [each.as_json() for each in lines]}, indent=2))
    else:
        print(_as_text(lines))
    return SOME_LEFT if any(each.outcome == "refused" for each in lines) else ALL_DONE


def _as_text(lines: Sequence[Line]) -> str:
    if not lines:
        return "No dead letter waits."
    counts: dict[str, int] = {}
    for each in lines:
        counts[each.outcome] = counts.get(each.outcome, 0) + 1
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    return "\n".join([*map(str, lines), "", f"{told}."])


if __name__ == "__main__":
    sys.exit(main())
