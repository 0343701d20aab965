"""What the process remembers, and for how long it believes it."""

from services.sender.memory import ABSENT_FOR_S, Memory


def test_that_a_part_is_absent_is_believed_for_a_moment_and_of_that_claim() -> None:
    memory = Memory()
    memory.keep_absent("send", "claim", 100.0)
    assert memory.is_absent("send", "claim", 100.0 + ABSENT_FOR_S - 1)
    assert not memory.is_absent("send", "claim", 100.0 + ABSENT_FOR_S)
    assert not memory.is_absent("send", "another", 100.0)
    memory.keep_absent("send", "claim", 500.0)  # found out anew
    assert memory.is_absent("send", "claim", 500.0)
