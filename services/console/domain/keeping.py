"""For how long a workspace keeps messages, as people choose and read it."""

CHOICES = (30, 90, 180, 365, 730)
EVER, OWN = "ever", "own"


def keep_words(days: int | None) -> str:
    """For ever; 30 days."""
    return "for ever" if days is None else f"{days} days"


def choice_of(days: int | None) -> str:
    """Which of the choices stands for it."""
    if days is None:
        return EVER
    return str(days) if days in CHOICES else OWN


def is_shorter(before: int | None, after: int | None) -> bool:
    """Whether messages go that were to stay."""
    return after is not None and (before is None or after < before)
