"""What can go wrong with the local stack, in words for the person who started it."""


class StackError(Exception):
    """The message is all that is shown: one line, or one and the tail of a log."""
