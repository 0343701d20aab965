"""The keyed consumer: connects the engine to Kafka, commits, and notices when the client is stuck.

The poll loop never waits for work, so that a long turn costs no membership (aiokafka issue 848).
Partitions that are taken away are drained first, for a few seconds, and committed; what remains
comes again to whoever has them next. When the client fails, another one is made; when it is stuck
and the next one is too, the process ends, and whoever supervises it starts it again.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from prometheus_client import Counter, Gauge

from libs.common.kafka.connection import client_options
from libs.common.kafka.dead_letters import dead_letter
from libs.common.kafka.engine import KeyedEngine, KeyOf, Limits, Wants
from libs.common.kafka.errors import ConsumerStuckError, KafkaUnavailableError
from libs.common.kafka.handling import BatchRunner, Handler, Patience
from libs.common.kafka.publisher import Message
from libs.common.kafka.records import ConsumedRecord, from_fetched
from libs.common.kafka.watchdog import Watchdog
from libs.common.settings import KafkaSettings

LABELS = ["topic", "group"]
LAG = Gauge(
    "assistant_consumer_lag_records",
    "Records on the log that are not finished, by partition.",
    [*LABELS, "partition"],
)
KEYS_IN_FLIGHT = Gauge("assistant_consumer_keys_in_flight", "Keys being handled.", LABELS)
BUFFERED = Gauge("assistant_consumer_buffered_bytes", "Memory that waiting records take.", LABELS)
OLDEST = Gauge(
    "assistant_consumer_oldest_seconds", "Age of the batch that has been handled longest.", LABELS
)
PAUSED = Gauge(
    "assistant_consumer_paused_partitions", "Not fetched from, for lack of room.", LABELS
)
COMMITS = Counter("assistant_consumer_commits_total", "Commits of offsets.", [*LABELS, "outcome"])
CLIENTS = Counter("assistant_consumer_clients_total", "Clients made, the first included.", LABELS)

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Times:
    """Deadlines and intervals, in seconds. Tests shorten them."""

    join_within_s: float = 90.0  # others may drain first
    stop_within_s: float = 5.0
    commit_within_s: float = 5.0
    commit_every_s: float = 0.1
    poll_s: float = 0.2
    drain_s: float = 5.0  # when a partition is taken away; well within the rebalance timeout
    drain_grace_s: float = 1.0
    look_every_s: float = 5.0
    stuck_after_s: float = 45.0
    longest_pause_s: float = 5.0


class Publisher(Protocol):
    """Where dead letters go, and a second opinion on whether Kafka answers."""

    async def publish_messages(self, messages: list[Message]) -> None: ...

    async def ready(self) -> bool: ...


class _StuckClientError(Exception):
    """The client fetches nothing, though there is something and Kafka answers."""


def wants_all(_headers: Mapping[str, bytes]) -> bool:
    return True


def record_key(record: ConsumedRecord) -> bytes:
    return record.key


class KeyedConsumer:
    """Runs `handler` over a topic: keys side by side, each in order, nothing committed too early.

    At least once: a record whose handler has not returned when the process dies comes again.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        topic: str,
        group: str,
        handler: Handler,
        publisher: Publisher,
        service: str,
        wants: Wants = wants_all,
        key_of: KeyOf = record_key,
        max_keys_in_flight: int = 2000,
        limits: Limits | None = None,
        patience: Patience | None = None,
        times: Times | None = None,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._group = group
        self._service = service
        self._publisher = publisher
        self._times = times or Times()
        runner = BatchRunner(handler, self._bury, patience or Patience(), topic=topic, group=group)
        self._engine = KeyedEngine(
            runner,
            topic=topic,
            group=group,
            wants=wants,
            key_of=key_of,
            limits=limits or Limits(max_keys_in_flight=max_keys_in_flight),
        )
        self._stopping = asyncio.Event()
        self._finished = asyncio.Event()
        self._drain_timeout_s = self._times.drain_s
        self._assigned = False
        self._stuck_in_a_row = 0
        self._log = log.bind(topic=topic, group=group)

    async def run(self) -> None:
        """Return after `stop`.

        Raises:
            ConsumerBrakeError: too many dead letters in a row.
            ConsumerStuckError: two clients in a row were stuck.
        """
        pause_s = 0.2
        try:
            while not self._stopping.is_set():
                error = await self._live_once()
                if error is None:
                    continue
                self._log.warning("consumer_lost", error=type(error).__name__, pause_s=pause_s)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause_s)
                pause_s = 0.2 if self._assigned else min(pause_s * 2, self._times.longest_pause_s)
        finally:
            self._engine.forget()
            self._finished.set()

    async def stop(self, drain_timeout_s: float) -> None:
        """Fetch nothing more; let handlers end for `drain_timeout_s`, then cancel them."""
        self._drain_timeout_s = drain_timeout_s
        self._stopping.set()
        await self._finished.wait()

    async def is_ready(self) -> bool:
        """Whether the group has given us our share of the partitions, be it none."""
        return self._assigned

    async def _live_once(self) -> Exception | None:
        """The life of one client. Returns what ended it; None: `stop` did."""
        client = self._make_client()
        CLIENTS.labels(self._topic, self._group).inc()
        self._assigned = False
        life = _Life(self, client)
        try:
            return await life.live()
        except _StuckClientError as error:
            self._stuck_in_a_row += 1
            if self._stuck_in_a_row > 1:
                raise ConsumerStuckError("the client was made anew and is stuck again") from None
            return error
        finally:
            await self._close(client)

    async def _close(self, client: AIOKafkaConsumer) -> None:
        """End a client within a time; what it still had goes to whoever has the partitions next."""
        self._engine.forget()
        try:
            async with asyncio.timeout(self._times.stop_within_s):
                await client.stop()
        except (KafkaError, TimeoutError, OSError) as error:
            self._log.warning("consumer_abandoned", error=type(error).__name__)
            with suppress(Exception):
                await client._client.close()

    def _make_client(self) -> AIOKafkaConsumer:
        session_ms = int(self._settings.session_timeout_s * 1000)
        client = AIOKafkaConsumer(
            **client_options(self._settings, f"{self._service}-{self._group}"),
            group_id=self._group,
            group_instance_id=self._settings.instance_id or None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(3000, session_ms // 3),
            max_poll_interval_ms=600_000,  # our poll loop never waits for work
            request_timeout_ms=max(session_ms + 5000, 40_000),
        )
        client.subscribe([self._topic], listener=_Listener(self, client))
        return client

    def progressed(self) -> None:
        """Records came: whatever was stuck before is not any more."""
        self._stuck_in_a_row = 0

    def assign(self, partitions: Iterable[int]) -> None:
        self._engine.assign(partitions)
        self._assigned = True
        self._log.info("partitions_assigned", partitions=len(self._engine.assigned))

    async def revoke(self, client: AIOKafkaConsumer, partitions: Iterable[int]) -> None:
        """Finish what can be finished soon, commit it, and let go."""
        leaving = list(partitions)
        if not leaving:
            return
        await self._engine.drain(self._times.drain_s, self._times.drain_grace_s, leaving)
        await self.commit(client)
        self._engine.forget(leaving)
        self._log.info("partitions_revoked", partitions=len(leaving))

    async def commit(self, client: AIOKafkaConsumer) -> bool:
        """Commit what may be committed; False if it has to be tried again."""
        offsets = self._engine.committable()
        if not offsets:
            return True
        wanted = {
            TopicPartition(self._topic, partition): offset for partition, offset in offsets.items()
        }
        try:
            async with asyncio.timeout(self._times.commit_within_s):
                await client.commit(wanted)
        except (CommitFailedError, IllegalStateError):
            # somebody else has the partitions now, and handles what we finished once more
            self._committed("not_owner")
            return True
        except (KafkaError, TimeoutError, OSError):
            self._committed("failed")
            return False
        self._engine.mark_committed(offsets)
        self._committed("ok")
        return True

    def _committed(self, outcome: str) -> None:
        COMMITS.labels(self._topic, self._group, outcome).inc()

    async def _bury(self, record: ConsumedRecord, error: BaseException, attempts: int) -> None:
        letter = dead_letter(record, error, attempts, service=self._service)
        await self._publisher.publish_messages([letter])


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """What aiokafka calls when partitions come and go."""

    def __init__(self, consumer: KeyedConsumer, client: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._client = client

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._consumer.revoke(self._client, [tp.partition for tp in revoked])

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        # not a coroutine: nothing may be fetched between the assignment and this
        self._consumer.assign(tp.partition for tp in assigned)


class _Life:
    """One client at work: polling, committing and being watched, side by side."""

    def __init__(self, consumer: KeyedConsumer, client: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._client = client
        self._engine = consumer._engine
        self._times = consumer._times
        self._topic = consumer._topic
        self._labels = (consumer._topic, consumer._group)

    async def live(self) -> Exception | None:
        """Until `stop` (None), or until Kafka or the client fails (what it was).

        Raises:
            _StuckClientError, ConsumerBrakeError
        """
        consumer = self._consumer
        try:
            if not await self._unless_stopping(self._join()):
                return None
        except (KafkaError, TimeoutError, OSError) as error:
            return error
        jobs = {
            asyncio.create_task(job, name=f"{consumer._group}-{name}")
            for name, job in (
                ("poll", self._poll()),
                ("commit", self._commit()),
                ("watch", self._watch()),
                ("stop", self._wait(consumer._stopping)),
                ("failure", self._wait(self._engine.failed)),
            )
        }
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
        stopping = consumer._stopping.is_set()
        drain_s = consumer._drain_timeout_s if stopping else self._times.drain_s
        await self._engine.drain(drain_s, self._times.drain_grace_s)
        await consumer.commit(self._client)
        if self._engine.failure is not None:
            raise self._engine.failure
        return None if stopping else _error_of(done)

    async def _join(self) -> bool:
        async with asyncio.timeout(self._times.join_within_s):
            await self._client.start()
        return True

    async def _unless_stopping(self, work: Awaitable[T]) -> T | None:
        """The result, or None when `stop` comes first."""
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self._consumer._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            stop.cancel()
            task.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    @staticmethod
    async def _wait(event: asyncio.Event) -> None:
        await event.wait()

    async def _poll(self) -> None:
        while True:
            fetched = await self._client.getmany(
                timeout_ms=int(self._times.poll_s * 1000), max_records=2000
            )
            for tp, records in fetched.items():
                if tp.partition not in self._engine.assigned:
                    # its position has moved past them: only a new client brings them again
                    raise KafkaUnavailableError("records of a partition that is not ours")
                self._engine.add(tp.partition, [from_fetched(record) for record in records])
            if fetched:
                self._consumer.progressed()
            self._apply_backpressure()
            self._measure()
            await asyncio.sleep(0)  # a full buffer would otherwise never let handlers begin

    def _apply_backpressure(self) -> None:
        wanted = {TopicPartition(self._topic, number) for number in self._engine.paused()}
        current = self._client.paused()
        assigned = self._client.assignment()
        if to_pause := (wanted - current) & assigned:
            self._client.pause(*to_pause)
        if to_resume := (current - wanted) & assigned:
            self._client.resume(*to_resume)
        PAUSED.labels(*self._labels).set(len(wanted))

    def _measure(self) -> None:
        KEYS_IN_FLIGHT.labels(*self._labels).set(self._engine.keys_in_flight)
        BUFFERED.labels(*self._labels).set(self._engine.buffered_bytes)
        OLDEST.labels(*self._labels).set(self._engine.oldest_age_s())

    async def _commit(self) -> None:
        """Commit soon after something is finished, though not more than ten times a second."""
        while True:
            await self._engine.moved.wait()
            self._engine.moved.clear()
            done = await self._consumer.commit(self._client)
            if not done:
                self._engine.moved.set()
            await asyncio.sleep(self._times.commit_every_s)

    async def _watch(self) -> None:
        """Raises: _StuckClientError."""
        watchdog = Watchdog(self._times.stuck_after_s)
        deaf_since: float | None = None
        while True:
            await asyncio.sleep(self._times.look_every_s)
            ends = await self._ends()
            if ends is not None:
                deaf_since = None
                positions = await self._positions(ends)
                self._measure_lag(ends, positions)
                if watchdog.observe(_now(), positions, ends, self._engine.paused()):
                    raise _StuckClientError
                continue
            watchdog.reset()
            # this client does not hear Kafka: is that Kafka's fault, or its own?
            if not await self._consumer._publisher.ready():
                deaf_since = None
            elif deaf_since is None:
                deaf_since = _now()
            elif _now() - deaf_since >= self._times.stuck_after_s:
                raise _StuckClientError

    async def _ends(self) -> dict[int, int] | None:
        """For each partition of ours where its log ends; None: no answer."""
        partitions = [TopicPartition(self._topic, number) for number in self._engine.assigned]
        if not partitions:
            return {}
        try:
            async with asyncio.timeout(self._times.commit_within_s):
                found = await self._client.end_offsets(partitions)
        except (KafkaError, TimeoutError, OSError):
            return None
        return {tp.partition: offset for tp, offset in found.items()}

    async def _positions(self, ends: Mapping[int, int]) -> dict[int, int | None]:
        found: dict[int, int | None] = {}
        for number in ends:
            partition = TopicPartition(self._topic, number)
            if partition not in self._client.assignment():
                continue
            try:
                async with asyncio.timeout(0.5):
                    found[number] = await self._client.position(partition)
            except (KafkaError, TimeoutError):
                found[number] = None
        return found

    def _measure_lag(self, ends: Mapping[int, int], positions: Mapping[int, int | None]) -> None:
        finished = self._engine.finished_up_to()
        for number, end in ends.items():
            reached = finished.get(number)
            reached = positions.get(number) if reached is None else reached
            LAG.labels(*self._labels, str(number)).set(max(0, end - (reached or 0)))


def _error_of(done: "set[asyncio.Task[None]]") -> Exception:
    for task in done:
        error = task.exception()
        if isinstance(error, _StuckClientError):
            raise error
        if isinstance(error, KafkaError | KafkaUnavailableError | TimeoutError | OSError):
            return error
        if error is not None:
            raise error
    return KafkaUnavailableError("the client ended")


def _now() -> float:
    return asyncio.get_running_loop().time()
