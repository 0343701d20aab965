"""What went wrong, said so that the caller knows what to do about it."""

from typing import ClassVar


class ProjectError(Exception):
    """Base of our own errors. `code` is stable: it stands in metrics, events and API answers."""

    code: ClassVar[str] = "error"


class TransientError(ProjectError):
    """Trying the same thing again later may work: the consumer retries, in place and in order."""

    code = "transient"


class PermanentError(ProjectError):
    """Trying again cannot help: the consumer puts the record among the dead letters."""

    code = "permanent"


def name_of(error: BaseException) -> str:
    """The class and, of our own errors, the stable code. Texts may quote what a person wrote."""
    name = type(error).__name__
    return f"{name}/{error.code}" if isinstance(error, ProjectError) else name
