"""How a batch comes to its end: handled, tried again, or put among the dead letters."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from prometheus_client import Counter

from libs.common import tracing
from libs.common.errors import PermanentError, TransientError, name_of
from libs.common.kafka.batch import KeyBatch
from libs.common.kafka.errors import ConsumerBrakeError, HandlerCancelledError
from libs.common.kafka.records import ConsumedRecord
from libs.common.kafka.traces import Traced, processing_batch

RETRIES = Counter(
    "assistant_consumer_retries_total",
    "Batches handed out once more, by why.",
    ["topic", "group", "reason"],  # reason: transient, failed, dead_letter_refused
)

Handler = Callable[[KeyBatch], Awaitable[None]]
DeadLetter = Callable[[ConsumedRecord, BaseException, int], Awaitable[None]]
"""Takes a record, the error it met and how often it was tried alone."""

LOG_EVERY_S = 1.0  # an outage meets thousands of keys at once

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long to try. Pauses are drawn evenly from 0 to a ceiling that doubles each time."""

    max_attempts: int = 3
    brake_after: int = 20
    first_pause_s: float = 0.1
    longest_pause_s: float = 10.0

    def pause_s(self, retry: int) -> float:
        """Before the `retry`-th new attempt, counted from 0."""
        ceiling = self.first_pause_s * 2 ** min(retry, 30)
        return random.uniform(0, min(ceiling, self.longest_pause_s))


class EndingError(Exception):
    """The partition is being taken away, or the consumer stops: nothing new begins."""


class Work(Protocol):
    """The worker on whose behalf a batch is handled."""

    def finish(self, records: Sequence[ConsumedRecord], outcome: str) -> None: ...

    def check(self) -> None:
        """Raises: EndingError."""

    async def pause(self, seconds: float) -> None:
        """Sleep between two attempts. Raises: EndingError: before it, or instead of its end."""


class BatchRunner:
    """Hands batches to the handler for as long as it takes, and judges what comes back.

    - `TransientError`, `OSError`, time-outs: the same batch again, for ever, in place.
    - Anything else: the records one by one, so that only the bad one suffers; that one is tried
      `max_attempts` times, or once if the error is permanent, and becomes a dead letter.
    - `brake_after` dead letters in a row, without any success between them: `ConsumerBrakeError`.
    """

    def __init__(
        self,
        handler: Handler,
        dead_letter: DeadLetter,
        patience: Patience,
        *,
        topic: str,
        group: str,
        traced: Traced = "batch",
    ) -> None:
        self._handler = handler
        self._group = group
        self._traces_batches = traced == "batch"
        self._dead_letter = dead_letter
        self._patience = patience
        self._retries = {
            reason: RETRIES.labels(topic, group, reason)
            for reason in ("transient", "failed", "dead_letter_refused")
        }
        self._log = log.bind(topic=topic, group=group)
        self._log_again_at = 0.0
        self._dead_in_a_row = 0

    async def run(self, batch: KeyBatch, work: Work) -> None:
        """Return when every record of the batch is finished.

        Raises:
            EndingError: it is time to end; what is not finished will come again elsewhere.
            ConsumerBrakeError: see above.
        """
        try:
            error = await self._until_settled(batch, work)
        finally:
            batch.close()
        if error is None:
            self._succeed(batch.records, work)
        elif len(batch.records) == 1:
            await self._alone(batch.key, batch.records[0], work, failures=1, error=error)
        else:
            self._retries["failed"].inc()
            for record in batch.records:
                await self._alone(batch.key, record, work)

    async def _until_settled(self, batch: KeyBatch, work: Work) -> Exception | None:
        """None: handled. Otherwise the first error that is not transient."""
        retry = 0
        while True:
            error = await self._attempt(batch)
            if error is None or not is_transient(error):
                return error
            self._retries["transient"].inc()
            self._tell("handler_retries", batch.records[0], error, retry=retry)
            await work.pause(self._patience.pause_s(retry))
            batch.take_more()
            retry += 1

    async def _attempt(self, batch: KeyBatch) -> Exception | None:
        try:
            if self._traces_batches and tracing.is_on():
                with processing_batch(batch, self._group):
                    await self._handler(batch)
            else:
                await self._handler(batch)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return HandlerCancelledError()  # leaked from something that the handler waited for
        except Exception as error:
            return error
        return None

    async def _alone(
        self,
        key: bytes,
        record: ConsumedRecord,
        work: Work,
        *,
        failures: int = 0,
        error: Exception | None = None,
    ) -> None:
        """Bring one record to its end, `failures` attempts at it alone having failed already."""
        work.check()
        while error is None or self._deserves_another(error, failures):
            if error is not None:
                self._retries["failed"].inc()
                self._tell("handler_failed", record, error, attempts=failures)
                await work.pause(self._patience.pause_s(failures - 1))
            error = await self._until_settled(KeyBatch(key, [record]), work)
            if error is None:
                self._succeed([record], work)
                return
            failures += 1
        await self._bury(record, error, failures, work)

    def _deserves_another(self, error: Exception, failures: int) -> bool:
        return not isinstance(error, PermanentError) and failures < self._patience.max_attempts

    def _succeed(self, records: Sequence[ConsumedRecord], work: Work) -> None:
        self._dead_in_a_row = 0
        work.finish(records, "ok")

    async def _bury(
        self, record: ConsumedRecord, error: Exception, attempts: int, work: Work
    ) -> None:
        """Put the record among the dead letters; until that is done it is not finished."""
        self._log.error(
            "dead_letter",
            partition=record.partition,
            offset=record.offset,
            error=name_of(error),
            attempts=attempts,
        )
        retry = 0
        while not await self._buried(record, error, attempts):
            self._retries["dead_letter_refused"].inc()
            await work.pause(self._patience.pause_s(retry))
            retry += 1
        work.finish([record], "dead_letter")
        self._dead_in_a_row += 1
        if self._dead_in_a_row >= self._patience.brake_after:
            raise ConsumerBrakeError(f"{self._dead_in_a_row} dead letters in a row")

    async def _buried(self, record: ConsumedRecord, error: Exception, attempts: int) -> bool:
        try:
            await self._dead_letter(record, error, attempts)
        except Exception as refusal:
            self._tell("dead_letter_refused", record, refusal)
            return False
        return True

    def _tell(self, event: str, record: ConsumedRecord, error: Exception, **facts: int) -> None:
        """Log at most once in `LOG_EVERY_S`; never the error's text, which may quote a person."""
        now = time.monotonic()
        if now >= self._log_again_at:
            self._log_again_at = now + LOG_EVERY_S
            self._log.warning(
                event,
                partition=record.partition,
                offset=record.offset,
                error=name_of(error),
                **facts,
            )


def is_transient(error: Exception) -> bool:
    """Whether the same thing may work later. In Python 3.11 every time-out is an `OSError`."""
    return isinstance(error, TransientError | OSError)
