"""Which text is part n: the plan, corrected by what really went out.

The plan is made anew in every run. Between two runs it may come out differently: the channel's
length limit was changed, or Meta found a part too long and it went out in two. What counts then is
what was sent: the parts to come are what is left of the text after it.
"""

from collections.abc import Sequence

from libs.common.splitting import split_text, text_length

SHORTEST_SPLIT = 50
"""UTF-16 units: a part as short as this that is still too long is no matter of length."""


class Outline:
    """The parts of one command, in order."""

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = list(parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, part: int) -> str:
        return self._parts[part]

    def settle(self, part: int, text: str) -> None:
        """Part `part` went out as `text` (or was refused, or held): plan the rest accordingly."""
        if self._parts[part] != text:
            rest = _after(self._parts[part:], text)
            if rest is None:  # not the beginning of what was planned: the numbering has to do
                rest = self._parts[part + 1 :]
            self._parts[part:] = [text, *rest]

    def split_again(self, part: int) -> bool:
        """Cut a part that Meta found too long into halves; False if it is too short for that."""
        length = text_length(self._parts[part])
        if length < 2 * SHORTEST_SPLIT:
            return False
        pieces = split_text(self._parts[part], length // 2 + 1)
        self._parts[part : part + 1] = pieces
        return len(pieces) > 1


def _after(parts: Sequence[str], sent: str) -> list[str] | None:
    """What is left of `parts` after `sent`, whitespace aside; None if they do not begin with it."""
    wanted = "".join(sent.split())
    matched = 0
    for index, part in enumerate(parts):
        for position, char in enumerate(part):
            if matched == len(wanted):
                left = part[position:].strip()
                return [left, *parts[index + 1 :]] if left else list(parts[index + 1 :])
            if char.isspace():
                continue
            if char != wanted[matched]:
                return None
            matched += 1
    return [] if matched == len(wanted) else None
