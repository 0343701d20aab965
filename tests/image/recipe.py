"""A Dockerfile as data, as far as ours goes: what is not known here is an error, never skipped."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_NAME = re.compile(r"^[A-Z]+$")
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_KNOWN = frozenset(
    {"FROM", "ARG", "COPY", "RUN", "LABEL", "WORKDIR", "ENV", "ENTRYPOINT", "CMD"}
    | {"HEALTHCHECK", "EXPOSE", "USER"}
)


class RecipeError(Exception):
    """The Dockerfile has something in it that the tests can't replay yet."""


@dataclass(frozen=True)
class Instruction:
    """`flags` without their dashes; `text` is all that comes after them, on one line."""

    name: str
    flags: Mapping[str, str]
    text: str
    line: int

    def words(self) -> list[str]:
        """Of the exec form, `["a", "b"]`. Raises RecipeError for the shell form."""
        try:
            words = json.loads(self.text)
        except ValueError:
            raise RecipeError(f"line {self.line}: {self.name} is not in exec form") from None
        return [str(word) for word in words]


@dataclass
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """`defaults`: ARG before the first FROM."""

    defaults: Mapping[str, str]
    stages: tuple[Stage, ...]


def parse(text: str) -> Recipe:
    """Raises RecipeError, with the line."""
    defaults: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _instructions(text):
        if instruction.name == "FROM":
            stages.append(_stage(instruction))
        elif stages:
            stages[-1].instructions.append(instruction)
        elif instruction.name == "ARG":
            name, _, default = instruction.text.partition("=")
            defaults[name] = default
        else:
            raise RecipeError(f"line {instruction.line}: {instruction.name} before FROM")
    return Recipe(defaults, tuple(stages))


def expand(text: str, variables: Mapping[str, str], line: int = 0) -> str:
    """`$NAME` and `${NAME}`. Raises RecipeError for what nobody has set: Docker would take ""."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in variables:
            raise RecipeError(f"line {line}: ${name} is not set here")
        return variables[name]

    return _VARIABLE.sub(value, text)


def pairs(text: str) -> dict[str, str]:
    """`A=1 B="two words"`, of ENV and LABEL."""
    found = re.findall(r'([\w.]+)=("(?:[^"\\]|\\.)*"|\S*)', text)
    left = re.sub(r'[\w.]+=("(?:[^"\\]|\\.)*"|\S*)', "", text).strip()
    if left:
        raise RecipeError(f"not NAME=value: {left}")
    return {name: value[1:-1] if value.startswith('"') else value for name, value in found}


def _instructions(text: str) -> Iterator[Instruction]:
    pending, begins = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        begins = begins or number
        if stripped.endswith("\\"):
            pending += stripped[:-1].rstrip() + " "
            continue
        yield _instruction(pending + stripped, begins)
        pending, begins = "", 0
    if pending:
        raise RecipeError(f"line {begins}: goes on after the end")


def _instruction(text: str, line: int) -> Instruction:
    name, _, rest = text.partition(" ")
    if not _NAME.match(name) or name not in _KNOWN:
        raise RecipeError(f"line {line}: the tests can't replay {name}")
    flags = {}
    while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest.lstrip()):
        flags[found[1]] = found[2]
        rest = rest.lstrip()[found.end() :]
    return Instruction(name, flags, rest.strip(), line)


def _stage(instruction: Instruction) -> Stage:
    words = instruction.text.split()
    if len(words) == 1:
        return Stage(words[0], "")
    if len(words) == 3 and words[1] == "AS":
        return Stage(words[0], words[2])
    raise RecipeError(f"line {instruction.line}: FROM … or FROM … AS …")
