"""Mutations of services, for the suite to find. Python runs this when a process starts.

The file that `MUTANT_FILE` names holds a service and one of the functions here. The process of that
service is changed before its own first line; others, and all when there is no file, are as ever.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Any
from uuid import uuid4


def dedupe_off() -> None:
    """A message that was seen before counts as a new one, and so does its turn."""
    from services.conversation.domain import receive, turns

    _replace(receive, "is_known", lambda *_: False)
    _replace(turns, "turn_id", lambda *_: uuid4().hex)


def commit_before_work() -> None:
    """What has been fetched is committed, whether it has been handled or not."""
    from libs.common.kafka.engine import KeyedEngine
    from libs.common.kafka.offsets import OffsetTracker

    def committable(tracker: OffsetTracker) -> int | None:
        return None if tracker.last is None else tracker.last + 1

    add = KeyedEngine.add

    def add_and_commit(engine: KeyedEngine, *records: Any) -> None:  # noqa: ANN401 - as it is
        add(engine, *records)
        engine.moved.set()

    _replace(OffsetTracker, "committable", property(committable))
    _replace(KeyedEngine, "add", add_and_commit)


def blind_retry() -> None:
    """An unclear answer is taken for a no: the message goes out again at once."""
    from services.sender.domain.evidence import Absent
    from services.sender.inquiry import Inquiry

    async def assume_absent(_inquiry: Inquiry) -> Absent:
        return Absent()

    _replace(Inquiry, "run", assume_absent)


def fence_off() -> None:
    """The sender does not mind who has the conversation."""
    from libs.common.window import decide
    from services.sender import part, store

    def decide_as_before(**facts: Any) -> Any:  # noqa: ANN401 - as it is
        return decide(**{**facts, "mode_now": "ai", "mode_epoch_now": facts["command_epoch"]})

    _replace(store, "_fenced", lambda _fence: {})
    _replace(part, "decide", decide_as_before)


def answer_at_once() -> None:
    """Take over does not wait for a message that is on its way."""
    from services.takeover.keeper import Keeper

    async def do_not_wait(*_: Any) -> None:  # noqa: ANN401
        pass

    _replace(Keeper, "until_quiet", do_not_wait)


def _replace(owner: Any, name: str, value: object) -> None:  # noqa: ANN401 - a module or a class
    if not hasattr(owner, name):
        raise AttributeError(f"{owner} has no {name} any more: mend the mutation")
    setattr(owner, name, value)


def _mutate() -> None:
    file = Path(os.environ.get("MUTANT_FILE", ""))
    if not file.is_file():
        return
    service, mutation = file.read_text(encoding="utf-8").split()
    if f"services.{service}" in sys.orig_argv:
        print(f"mutation: {mutation}", flush=True)
        globals()[mutation]()


try:
    _mutate()
except BaseException:  # Python would start all the same, unchanged: the suite would learn nothing
    traceback.print_exc()
    os._exit(1)
