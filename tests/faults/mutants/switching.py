"""Start a service of a stack with a mutation, and without it again.

Nothing in the product knows of this: a stack's processes find `sitecustomize` on their path, which
looks for the name of a mutation in the stack's folder when a process starts.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack import LocalStack

VARIABLE = "MUTANT_FILE"
FILE_NAME = "mutant"
BACK_WITHIN_S = 120.0

_one_at_a_time = threading.Lock()  # scenarios side by side may want something of the same service


def environment(folder: Path) -> dict[str, str]:
    """What a stack has to be started with."""
    return {"PYTHONPATH": str(Path(__file__).parent), VARIABLE: str(folder / FILE_NAME)}


@contextmanager
def mutated(stack: LocalStack, service: str, mutation: str) -> Iterator[None]:
    """Inside the block, one service runs with a mutation of `sitecustomize`."""
    begin(stack, service, mutation)
    try:
        yield
    finally:
        end(stack, service, mutation)


def begin(stack: LocalStack, service: str, mutation: str) -> None:
    """Kill the service, and return when it runs with the mutation."""
    with _one_at_a_time:
        _write(stack, [*_lines(stack), f"{service} {mutation}"])
        _start_again(stack, service)


def end(stack: LocalStack, service: str, mutation: str) -> None:
    """Kill it, and return when it runs as ever."""
    with _one_at_a_time:
        _write(stack, [line for line in _lines(stack) if line != f"{service} {mutation}"])
        _start_again(stack, service)


def _lines(stack: LocalStack) -> list[str]:
    file = stack.folder.path / FILE_NAME
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _write(stack: LocalStack, lines: list[str]) -> None:
    """In one step: a service may start at this moment."""
    file = stack.folder.path / FILE_NAME
    part = file.with_name(f"{FILE_NAME}.new")
    part.write_text("\n".join(lines), encoding="utf-8")
    part.replace(file)


def _start_again(stack: LocalStack, service: str) -> None:
    restarts = stack.component(service)["restarts"]
    stack.kill(service)
    stack.wait_until_back(service, restarts + 1, BACK_WITHIN_S)
