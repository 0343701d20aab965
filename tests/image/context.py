"""What of the repository a build may see: `.dockerignore`, as far as ours goes."""

import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath


def patterns(text: str) -> list[str]:
    """Lines that mean something, in their order."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def is_ignored(path: PurePosixPath, rules: Sequence[str]) -> bool:
    """The last pattern that fits the path, or a folder it is in, decides."""
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        if any(_fits(each, pattern) for each in (path, *path.parents) if each.name):
            ignored = not rule.startswith("!")
    return ignored


def visible(root: Path, rules: Sequence[str], below: str) -> Iterator[PurePosixPath]:
    """Files under `below`, relative to the root."""
    start = root / below
    found = [start] if start.is_file() else sorted(start.rglob("*"))
    for path in found:
        relative = PurePosixPath(path.relative_to(root).as_posix())
        if path.is_file() and not is_ignored(relative, rules):
            yield relative


def _fits(path: PurePosixPath, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(path.name, pattern.removeprefix("**/"))
    if "/" not in pattern and len(path.parts) > 1:
        return False  # a plain `*` is about the top folder's entries only
    return fnmatch.fnmatchcase(str(path), pattern)
