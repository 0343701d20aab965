"""What a scenario is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.run import Run

Play = Callable[[Run], Awaitable[None]]


async def nothing(_run: Run) -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """`prepare` runs before anybody writes, `play` while they do, `check` when all is answered."""

    name: str
    play: Play
    prepare: Play = nothing
    check: Play = nothing
    """Of what the judge does not see. It says what is wrong by `run.complain`."""
    rows: tuple[int, ...] = ()
    """The faults of `rows.py` that it plays."""
    beside: str = ""
    """Scenarios of the same word can be played side by side, each on its own Page."""
    alone: bool = False
    """What it breaks is its own: it meets its other seeds, and not the scenarios beside it."""
    hurry: bool = False
    """Not everybody waits for the answer, and colleagues step in."""
