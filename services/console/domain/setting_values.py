"""What each setting of a Page takes. The console and `/api/v1` say the same. Pure.

Texts are counted in UTF-16 code units, as Facebook and the browser's own limits do.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from libs.common.text import utf16_length

MOST_GREETING = 160
MOST_PAYLOAD = 1000
MOST_SENT = 2000
MOST_PROMPT = 4000
MOST_URL = 2000
MOST_SECRET = 200
MOST_PHRASES = 50
MOST_PHRASE = 200  # a longer sentence is never looked at
MOST_MINUTES = 10_080  # a week
LEAST_IDLE_S, MOST_IDLE_S = 360, 30 * 86_400
MOST_A_DAY = 10**12  # the database holds no number without end

PLACEHOLDERS = ("user_first_name", "user_last_name", "user_full_name")
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True)
class Utf16:
    """At most so many UTF-16 code units."""

    max_length: int

    def __get_pydantic_core_schema__(
        self,
        source: Any,  # noqa: ANN401 - pydantic's own
        handler: GetCoreSchemaHandler,
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "maxLength": self.max_length}

    def _checked(self, text: str) -> str:
        if utf16_length(text) > self.max_length:
            raise PydanticCustomError(
                "string_too_long",
                "use at most {max_length} characters; most emoji count as two",
                {"max_length": self.max_length},
            )
        return text


def previewed(greeting: str) -> str:
    """As somebody called Alex Morgan sees it."""
    names = dict(zip(PLACEHOLDERS, ("Alex", "Morgan", "Alex Morgan"), strict=True))
    return _PLACEHOLDER.sub(lambda found: names.get(found[1], found[0]), greeting)


def _known_placeholders(text: str) -> str:
    for name in _PLACEHOLDER.findall(text):
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{{{each}}}}}" for each in PLACEHOLDERS)
            raise ValueError(f"Facebook fills in {known} and nothing else in double braces")
    return text


def _phrases(given: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, in the order given."""
    return tuple(dict.fromkeys(given))


Greeting = Annotated[str, Utf16(MOST_GREETING), AfterValidator(_known_placeholders)]
Payload = Annotated[str, Utf16(MOST_PAYLOAD)]
Sent = Annotated[str, Field(min_length=1), Utf16(MOST_SENT)]
Prompt = Annotated[str, Utf16(MOST_PROMPT)]
WantedPrompt = Annotated[str, Field(min_length=1), Utf16(MOST_PROMPT)]
Phrase = Annotated[str, Field(min_length=1), Utf16(MOST_PHRASE)]
Phrases = Annotated[tuple[Phrase, ...], Field(max_length=MOST_PHRASES), AfterValidator(_phrases)]
Address = Annotated[str, Utf16(MOST_URL)]
Secret = Annotated[str, Utf16(MOST_SECRET)]
MessageLength = Annotated[int, Field(ge=50, le=2000)]
QuietWindow = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
SessionIdle = Annotated[float, Field(ge=LEAST_IDLE_S, le=MOST_IDLE_S, allow_inf_nan=False)]
LoopTurns = Annotated[int, Field(ge=0, le=30)]
LoopPause = Annotated[float, Field(ge=60, le=86_400, allow_inf_nan=False)]
ResumeMinutes = Annotated[int, Field(ge=5, le=MOST_MINUTES)]
DailyLimit = Annotated[int, Field(ge=0, le=MOST_A_DAY)]
