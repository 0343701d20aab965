"""Mutations of services, for the suite to find. Python runs this when a process starts.

The file that `MUTANT_FILE` names holds a service and a mutation: a function here has both in its
name. The process of that service is changed before its own first line; others, and all when there
is no file, are as ever.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Any
from uuid import uuid4


def conversation_dedupe_off() -> None:
    """A message that was seen before counts as a new one, and so does its turn."""
    from services.conversation.domain import receive, turns

    _replace(receive, "is_known", lambda *_: False)
    _replace(turns, "turn_id", lambda *_: uuid4().hex)


def conversation_commit_before_work() -> None:
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


def sender_blind_retry() -> None:
    """An unclear answer is taken for a no: the message goes out again at once."""
    from services.sender.domain.evidence import Absent
    from services.sender.inquiry import Inquiry

    async def assume_absent(_inquiry: Inquiry) -> Absent:
        return Absent()

    _replace(Inquiry, "run", assume_absent)


def sender_dedupe_off() -> None:
    """No delivery that was recorded is found, and no command remembered but the latest."""
    from services.sender import store
    from services.sender.domain import claims

    expected = store._expected

    async def find_nothing(_store: store.DeliveryStore, _send_id: str) -> None:
        return None

    def is_in_doubt(sending: claims.Sending, command_id: str, part: int) -> bool:
        return sending.command_id == command_id and sending.part >= part

    _replace(store.DeliveryStore, "delivery", find_nothing)
    _replace(store, "_expected", lambda place, _command_id: expected(place, ""))
    _replace(claims, "is_in_doubt", is_in_doubt)


def sender_order_off() -> None:
    """Commands of one person are carried out side by side."""
    from services.sender import consumer

    _replace(consumer, "order_key", lambda _record: uuid4().hex.encode())


def sender_fence_off() -> None:
    """The sender does not mind who has the conversation."""
    from libs.common.window import decide
    from services.sender import part, store

    def decide_as_before(**facts: Any) -> Any:  # noqa: ANN401 - as it is
        return decide(**{**facts, "mode_now": "ai", "mode_epoch_now": facts["command_epoch"]})

    _replace(store, "_fenced", lambda _fence: {})
    _replace(part, "decide", decide_as_before)


def takeover_answer_at_once() -> None:
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
        globals()[f"{service}_{mutation}"]()


try:
    _mutate()
except BaseException:  # Python would start all the same, unchanged: the suite would learn nothing
    traceback.print_exc()
    os._exit(1)
