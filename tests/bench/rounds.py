"""Contenders in turns: what else the machine does in a round meets all of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Say = Callable[[str], None]


async def interleaved(
    names: Sequence[str], rounds: int, run: Callable[[str], Awaitable[T]]
) -> dict[str, list[T]]:
    """Run each once a round; who begins changes from round to round."""
    results: dict[str, list[T]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            results[name].append(await run(name))
    return results
