"""Mutations of services, for the suite to find. Python runs this when a process starts.

Each line of the file that `MUTANT_FILE` names holds a service and a mutation: a function here has
both in its name, or `any` and the mutation. The process of that service is changed before its own
first line; others, and all when there is no file, are as ever. Some are no mistakes, but accidents
at an exact point: to die there, to have a wrong clock, to be sent back to the log's beginning.
"""

import asyncio
import os
import sys
import traceback
from contextlib import suppress
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


def sender_leak() -> None:
    """Each command leaves 50 kB and tasks that never end: the soak has to complain."""
    from services.sender import consumer

    order_key, kept = consumer.order_key, []

    def leak(record: Any) -> bytes:  # noqa: ANN401 - as it is
        tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in range(10)]
        kept.append((bytes(50_000), tasks))
        return order_key(record)

    _replace(consumer, "order_key", leak)


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


def gateway_answer_at_once() -> None:
    """Meta hears 200 before the log has anything, and what is not there soon never gets there."""
    from libs.common.errors import TransientError
    from libs.common.kafka import KafkaPublisher

    os.environ["GATEWAY_PUBLISH_TIMEOUT_S"] = "0.5"  # a killed Kafka may be back in two seconds
    publish, pending = KafkaPublisher.publish, set[asyncio.Task[None]]()

    async def try_it(publisher: KafkaPublisher, *records: Any) -> None:  # noqa: ANN401
        with suppress(TransientError):
            await publish(publisher, *records)

    async def publish_some_time(publisher: KafkaPublisher, *records: Any) -> None:  # noqa: ANN401
        task = asyncio.create_task(try_it(publisher, *records))
        pending.add(task)
        task.add_done_callback(pending.discard)

    _replace(KafkaPublisher, "publish", publish_some_time)


def gateway_dies() -> None:
    """Killed before a webhook is on the log, between two events of one, and after it, before the
    answer: each once, however often it is started, and noted in the file `deaths`."""
    import signal

    from libs.common.kafka import publisher

    send, deaths = publisher._send, Path(os.environ["MUTANT_FILE"]).with_name("deaths")
    done = deaths.read_text(encoding="utf-8").split() if deaths.exists() else []

    def die(point: str) -> None:
        if point not in done:
            with deaths.open("a", encoding="utf-8") as file:
                file.write(f"{point} ")
            os.kill(os.getpid(), signal.SIGKILL)

    async def send_and_die(producer: Any, messages: Any) -> None:  # noqa: ANN401 - as it is
        if len(messages) > 1:
            await send(producer, messages[:1])
            die("between")
            await send(producer, messages[1:])
            return
        die("before")
        await send(producer, messages)
        die("after")

    _replace(publisher, "_send", send_and_die)


def any_rewound() -> None:
    """Whatever was committed, it begins with the log's first record."""
    from libs.common.kafka.session import Session

    assigned = Session.on_partitions_assigned

    def assigned_from_the_beginning(session: Session, partitions: Any) -> None:  # noqa: ANN401
        partitions = list(partitions)
        for partition in partitions:
            session._client.seek(partition, 0)
        assigned(session, partitions)

    _replace(Session, "on_partitions_assigned", assigned_from_the_beginning)


def any_clock() -> None:
    """Its clock is wrong by so many seconds as the file `clock` says at each moment."""
    import datetime
    import time

    file, real = Path(os.environ["MUTANT_FILE"]).with_name("clock"), datetime.datetime
    time_s, read = time.time, [float("-inf"), 0.0]

    def wrong_by_s() -> float:
        now = time.monotonic()
        if now - read[0] > 0.05:
            read[0] = now
            read[1] = float(file.read_text(encoding="utf-8")) if file.exists() else 0.0
        return read[1]

    class Kind(type(real)):  # type: ignore[misc]
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, real)

    class Wrong(real, metaclass=Kind):  # type: ignore[misc,valid-type]
        def __new__(cls, *args: Any, **more: Any) -> Any:  # noqa: ANN401
            return real(*args, **more)

        @classmethod
        def now(cls, tz: Any = None) -> Any:  # noqa: ANN401
            return real.fromtimestamp(time.time(), tz)

    _replace(time, "time", lambda: time_s() + wrong_by_s())
    _replace(time, "time_ns", lambda: int(time.time() * 1e9))
    _replace(datetime, "datetime", Wrong)


def _replace(owner: Any, name: str, value: object) -> None:  # noqa: ANN401 - a module or a class
    if not hasattr(owner, name):
        raise AttributeError(f"{owner} has no {name} any more: mend the mutation")
    setattr(owner, name, value)


def _mutate() -> None:
    file = Path(os.environ.get("MUTANT_FILE", ""))
    if not file.is_file():
        return
    for line in file.read_text(encoding="utf-8").splitlines():
        service, mutation = line.split()
        if f"services.{service}" in sys.orig_argv:
            print(f"mutation: {mutation}", flush=True)
            name = f"{service}_{mutation}"
            globals()[name if name in globals() else f"any_{mutation}"]()


try:
    _mutate()
except BaseException:  # Python would start all the same, unchanged: the suite would learn nothing
    traceback.print_exc()
    os._exit(1)
