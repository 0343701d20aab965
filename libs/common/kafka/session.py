"""One Kafka client at work for the engine: polling, committing and being watched, side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from prometheus_client import Counter, Gauge

from libs.common.kafka.connection import client_options
from libs.common.kafka.engine import KeyedEngine
from libs.common.kafka.errors import KafkaUnavailableError
from libs.common.kafka.records import from_fetched
from libs.common.kafka.watchdog import Watchdog
from libs.common.settings import KafkaSettings

MAX_RECORDS = 2000  # of one poll: converting them must not hold up the loop
GATHERED_BYTES = 64 * 1024  # as much is worth an answer of Kafka at once
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
ASSIGNED = Gauge("assistant_consumer_assigned_partitions", "Partitions that are ours.", LABELS)
ASSIGNMENTS = Counter(
    "assistant_consumer_assignments_total", "Times partitions were given out anew.", LABELS
)

log = structlog.get_logger(__name__)
T = TypeVar("T")

LOST = (KafkaError, KafkaUnavailableError, TimeoutError, OSError)
"""What ends a client and not the consumer: the next one may do better."""


@dataclass(frozen=True)
class Times:
    """Deadlines and intervals, in seconds. Tests shorten them."""

    join_within_s: float = 90.0  # others may drain first
    stop_within_s: float = 5.0
    commit_within_s: float = 5.0
    commit_every_s: float = 0.1
    poll_s: float = 0.2
    gather_s: float = 0.0  # so long may Kafka wait for more, for whom nobody waits; 0: not at all
    drain_s: float = 5.0  # when a partition is taken away; well within the rebalance timeout
    drain_grace_s: float = 1.0
    look_every_s: float = 5.0
    stuck_after_s: float = 45.0
    longest_pause_s: float = 5.0


class StuckClientError(Exception):
    """The client fetches nothing, though there is something and Kafka answers."""


@dataclass(frozen=True)
class Membership:
    """Who reads what."""

    topic: str
    group: str
    service: str


class Session(ConsumerRebalanceListener):  # type: ignore[misc]
    """The life of one client, from joining the group to leaving it."""

    def __init__(
        self,
        settings: KafkaSettings,
        who: Membership,
        engine: KeyedEngine,
        kafka_answers: Callable[[], Awaitable[bool]],
        times: Times,
    ) -> None:
        self._topic = who.topic
        self._labels = (who.topic, who.group)
        self._engine = engine
        self._kafka_answers = kafka_answers
        self._times = times
        self._log = log.bind(topic=who.topic, group=who.group)
        self._client = _make_client(settings, who, times)
        self._leaves = settings.leave_on_stop
        self._client.subscribe([who.topic], listener=self)
        self.has_joined = False
        self.has_fetched = False
        self._measured: set[int] = set()  # partitions with a lag that `/metrics` tells
        CLIENTS.labels(*self._labels).inc()
        for outcome in ("ok", "failed", "not_owner"):
            COMMITS.labels(*self._labels, outcome)

    async def live(
        self, stopping: asyncio.Event, drain_timeout_s: Callable[[], float]
    ) -> Exception | None:
        """Until `stopping` (then None), or until Kafka or the client fails (then what it was).

        Raises:
            StuckClientError: the client is stuck.
            Exception: what made the engine fail, or a fault of ours.
        """
        try:
            if not await _unless(stopping, self._join()):
                return None
            error = await self._work(stopping)
        except LOST as lost:
            return lost
        await self._engine.drain(
            drain_timeout_s() if stopping.is_set() else self._times.drain_s,
            self._times.drain_grace_s,
        )
        await self._commit()
        if self._engine.failure is not None:
            raise self._engine.failure
        if error is None or isinstance(error, LOST):
            return error
        raise error

    async def close(self, *, for_good: bool = False) -> None:
        """End the client within a time; what it had goes to whoever has the partitions next.

        `for_good`: the service stops. A static member does not leave its group by itself, since it
        is expected back under its name; where that is not to be, others get its partitions at once.
        """
        if for_good and self._leaves and self._client._coordinator is not None:
            self._client._coordinator._group_instance_id = None
        self._engine.forget()
        self._measure()
        self._forget_lag(self._measured.copy())
        try:
            async with asyncio.timeout(self._times.stop_within_s):
                await self._client.stop()
        except (KafkaError, TimeoutError, OSError) as error:
            self._log.warning("consumer_abandoned", error=type(error).__name__)
            with suppress(Exception):  # `stop` gave up half-way
                await self._client._client.close()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish what can be finished soon, commit it, and let go."""
        leaving = [tp.partition for tp in revoked]
        if not leaving:
            return
        await self._engine.drain(self._times.drain_s, self._times.drain_grace_s, leaving)
        await self._commit()
        self._engine.forget(leaving)
        self._forget_lag(self._measured.intersection(leaving))
        self._log.info("partitions_revoked", partitions=len(leaving))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Not a coroutine: nothing may be fetched between the assignment and this."""
        self._engine.assign(tp.partition for tp in assigned)
        self.has_joined = True
        ASSIGNMENTS.labels(*self._labels).inc()
        self._log.info("partitions_assigned", partitions=len(self._engine.assigned))

    async def _join(self) -> bool:
        async with asyncio.timeout(self._times.join_within_s):
            await self._client.start()
        return True

    async def _work(self, stopping: asyncio.Event) -> BaseException | None:
        """What ended it first; None: `stopping`, or the engine failed."""
        jobs = {
            "poll": self._keep_polling(),
            "commit": self._keep_committing(),
            "watch": self._watch(),
            "stop": _wait(stopping),
            "failure": _wait(self._engine.failed),
        }
        tasks = {
            asyncio.create_task(job, name=f"{self._labels[1]}-{name}") for name, job in jobs.items()
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        errors = (task.exception() for task in done)
        return next((error for error in errors if error is not None), None)

    async def _keep_polling(self) -> None:
        while True:
            fetched = await self._client.getmany(
                timeout_ms=int(self._times.poll_s * 1000), max_records=MAX_RECORDS
            )
            for tp, records in fetched.items():
                if tp.partition not in self._engine.assigned:
                    # its position has moved past them: only a new client brings them again
                    raise KafkaUnavailableError("records of a partition that is not ours")
                self._engine.add(tp.partition, [from_fetched(record) for record in records])
            self.has_fetched |= bool(fetched)
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
        ASSIGNED.labels(*self._labels).set(len(self._engine.assigned))

    async def _keep_committing(self) -> None:
        """Commit soon after something is finished, though not more than ten times a second."""
        while True:
            await self._engine.moved.wait()
            self._engine.moved.clear()
            if not await self._commit():
                self._engine.moved.set()
            await asyncio.sleep(self._times.commit_every_s)

    async def _commit(self) -> bool:
        """Commit what may be committed; False if it has to be tried again."""
        offsets = self._engine.committable()
        if not offsets:
            return True
        wanted = {TopicPartition(self._topic, number): offset for number, offset in offsets.items()}
        try:
            async with asyncio.timeout(self._times.commit_within_s):
                await self._client.commit(wanted)
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
        COMMITS.labels(*self._labels, outcome).inc()

    async def _watch(self) -> None:
        """Measure the lag.

        Raises:
            StuckClientError: see there.
        """
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
                    raise StuckClientError
                continue
            watchdog.reset()
            # this client does not hear Kafka: is that Kafka's fault, or its own?
            if not await self._kafka_answers():
                deaf_since = None
            elif deaf_since is None:
                deaf_since = _now()
            elif _now() - deaf_since >= self._times.stuck_after_s:
                raise StuckClientError

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
            if number not in finished:  # taken away since Kafka was asked
                continue
            reached = finished[number]
            reached = positions.get(number) if reached is None else reached
            LAG.labels(*self._labels, str(number)).set(max(0, end - (reached or 0)))
            self._measured.add(number)

    def _forget_lag(self, partitions: Iterable[int]) -> None:
        """Of what is somebody else's now we know nothing: the last number would stay for ever."""
        for number in partitions:
            LAG.remove(*self._labels, str(number))
        self._measured.difference_update(partitions)


def _make_client(settings: KafkaSettings, who: Membership, times: Times) -> AIOKafkaConsumer:
    session_ms = int(settings.session_timeout_s * 1000)
    return AIOKafkaConsumer(
        **client_options(settings, f"{who.service}-{who.group}"),
        **_gathering(times.gather_s),
        group_id=who.group,
        group_instance_id=settings.instance_id or None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=min(3000, session_ms // 3),
        max_poll_interval_ms=600_000,  # our poll loop never waits for work
        request_timeout_ms=max(session_ms + 5000, 40_000),
    )


def _gathering(seconds: float) -> dict[str, int]:
    """Every answer of Kafka costs a request, whether it holds one record or a hundred."""
    if not seconds:
        return {}
    return {"fetch_max_wait_ms": int(seconds * 1000), "fetch_min_bytes": GATHERED_BYTES}


async def _unless(stopping: asyncio.Event, work: Awaitable[T]) -> T | None:
    """The result of `work`, or None when `stopping` comes first."""
    task = asyncio.ensure_future(work)
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        stop.cancel()
        task.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
