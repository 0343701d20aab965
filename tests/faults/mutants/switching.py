"""Start a service of a stack with a mutation, and without it again.

Nothing in the product knows of this: a stack's processes find `sitecustomize` on their path, which
looks for the name of a mutation in the stack's folder when a process starts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack import LocalStack

VARIABLE = "MUTANT_FILE"
FILE_NAME = "mutant"


def environment(folder: Path) -> dict[str, str]:
    """What a stack has to be started with."""
    return {"PYTHONPATH": str(Path(__file__).parent), VARIABLE: str(folder / FILE_NAME)}


@contextmanager
def mutated(stack: LocalStack, service: str, mutation: str) -> Iterator[None]:
    """Inside the block, one service runs with a mutation of `sitecustomize`."""
    file = stack.folder.path / FILE_NAME
    file.write_text(f"{service} {mutation}", encoding="utf-8")
    try:
        _start_again(stack, service)
        yield
    finally:
        file.unlink()
        _start_again(stack, service)


def _start_again(stack: LocalStack, service: str) -> None:
    restarts = stack.component(service)["restarts"]
    stack.kill(service)
    stack.wait_until_back(service, restarts + 1)
