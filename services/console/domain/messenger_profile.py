"""What a Page shows before the first message: what we want there, and what Facebook has. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Part = Literal["greeting", "get_started"]
PARTS: tuple[Part, ...] = ("greeting", "get_started")
Outcome = Literal["written", "refused", "unknown"]


@dataclass(frozen=True)
class Wish:
    """What the settings want; an empty text: that there be none."""

    greeting: str
    get_started: str

    def of(self, part: Part) -> str:
        return self.greeting if part == "greeting" else self.get_started


class ProfileAnswer(BaseModel):
    """What Facebook answered last, and what it has as far as its answers tell."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: datetime
    outcome: Outcome
    words: str = Field("", description="of what was not written: why, and what to do")
    code: str | None = Field(None, description="Facebook's own, `100/2018145`")
    greeting: str | None = Field(None, description="there; empty: none; None: not known")
    get_started: str | None = Field(None, description="the button's payload, likewise")

    def has(self, part: Part) -> str | None:
        return self.greeting if part == "greeting" else self.get_started


def missing(answer: ProfileAnswer | None, wish: Wish) -> tuple[Part, ...]:
    """What Facebook doesn't have as it is wanted, or perhaps hasn't."""
    if answer is None:
        return PARTS
    return tuple(part for part in PARTS if answer.has(part) != wish.of(part))


@dataclass(frozen=True)
class Plan:
    """What to tell Facebook: parts to be written, and parts to be removed."""

    write: tuple[Part, ...]
    remove: tuple[Part, ...]

    @property
    def is_empty(self) -> bool:
        return not self.write and not self.remove


def plan(answer: ProfileAnswer | None, wish: Wish, *, all_of_it: bool = False) -> Plan:
    """Only what is missing: a Page has ten such calls in ten minutes, and writing the greeting
    takes away what somebody wrote at Facebook for other languages."""
    wanted = PARTS if all_of_it else missing(answer, wish)
    return Plan(
        tuple(part for part in wanted if wish.of(part)),
        tuple(part for part in wanted if not wish.of(part)),
    )


def adopted(found: Mapping[Part, str], wish: Wish) -> dict[Part, str]:
    """What a Page brings along from Facebook, and is taken over rather than overwritten."""
    return {part: found[part] for part in PARTS if found[part] and found[part] != wish.of(part)}
