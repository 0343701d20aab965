"""Graph's `fields` parameter: `id,messages.limit(5){id,message}`."""

from dataclasses import dataclass, field

from simulator.world.refusals import Refusal

DEEPEST = 5


@dataclass(slots=True)
class Wanted:
    """What is wanted of one field."""

    limit: int | None = None
    fields: "dict[str, Wanted]" = field(default_factory=dict)


def parse_fields(text: str) -> dict[str, Wanted]:
    """The fields that are asked for, with modifiers and fields of their own.

    Raises:
        Refusal: code 2500, as Graph answers a syntax error.
    """
    reader = _Reader(text)
    fields = reader.fields(0)
    if reader.rest():
        raise _syntax_error(text)
    return fields


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def rest(self) -> str:
        return self._text[self._at :]

    def fields(self, depth: int) -> dict[str, Wanted]:
        if depth > DEEPEST:
            raise _syntax_error(self._text)
        fields: dict[str, Wanted] = {}
        while name := self._name():
            wanted = fields[name] = Wanted()
            while self._take("."):
                self._modifier(wanted)
            if self._take("{"):
                wanted.fields = self.fields(depth + 1)
                self._need("}")
            if not self._take(","):
                break
        return fields

    def _modifier(self, wanted: Wanted) -> None:
        name = self._name()
        self._need("(")
        argument = self._name()
        self._need(")")
        if name == "limit" and argument.isdecimal():
            wanted.limit = int(argument)

    def _name(self) -> str:
        start = self._at
        while self._at < len(self._text) and (
            self._text[self._at].isalnum() or self._text[self._at] in "_ "
        ):
            self._at += 1
        return self._text[start : self._at].strip()

    def _take(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _need(self, character: str) -> None:
        if not self._take(character):
            raise _syntax_error(self._text)


def _syntax_error(text: str) -> Refusal:
    return Refusal(2500, f"Syntax error in the fields parameter: {text[:100]}")
