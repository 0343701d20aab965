"""What an endpoint is: something that looks, changes the world and answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from simulator.core import Simulator
from simulator.graph.request import GraphCall


@dataclass(frozen=True, slots=True)
class Answer:
    body: dict[str, Any]
    mid: str | None = None


Operation = Callable[[Simulator, GraphCall], Answer | Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation and what it is called in faults and in the list of calls."""

    name: str
    run: Operation


SUCCESS = Answer({"success": True})
