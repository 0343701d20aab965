"""What open chat pages are told: server-sent events by thread."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

QUEUE_LIMIT = 1000

Update = tuple[str, dict[str, Any]]  # the event's name and its data
Listener = asyncio.Queue[Update | None]  # None: the stream ends


class Hub:
    """Hands updates of a thread to whoever looks at it; costs nothing when nobody does."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)

    @contextmanager
    def listening(self, topic: str) -> Iterator[Listener]:
        queue: Listener = asyncio.Queue(QUEUE_LIMIT)
        self._listeners[topic].add(queue)
        try:
            yield queue
        finally:
            self._listeners[topic].discard(queue)
            if not self._listeners[topic]:
                del self._listeners[topic]

    def has_listeners(self, topic: str) -> bool:
        return topic in self._listeners

    def tell(self, topic: str, name: str, data: dict[str, Any]) -> None:
        for queue in self._listeners.get(topic, ()):
            _put(queue, (name, data))

    def tell_all(self, start: str, name: str, data: dict[str, Any]) -> None:
        """Every topic whose name starts so."""
        for topic in list(self._listeners):
            if topic.startswith(start):
                self.tell(topic, name, data)

    def close(self) -> None:
        """End every stream; browsers come back by themselves."""
        for queues in self._listeners.values():
            for queue in queues:
                _put(queue, None)


def _put(queue: Listener, update: Update | None) -> None:
    if queue.full():  # a page that does not read: end its stream, it starts over with a snapshot
        while not queue.empty():
            queue.get_nowait()
        update = None
    queue.put_nowait(update)
