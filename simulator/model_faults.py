"""What the next questions to the model meet, and a list of all that were asked."""

from collections import deque
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

KEPT_CALLS = 10_000
KEPT_CHARACTERS = 300  # of a question


class ModelFault(BaseModel):
    """One fault, for `times` questions.

    `status`, `body` or `reply` replace the answer. `drop` cuts the connection: `before` any byte of
    the answer, or in its `middle`. `delay_ms` holds the answer, whatever it is, back.
    """

    model_config = ConfigDict(extra="forbid")

    about: str | None = Field(None, min_length=1, max_length=300, description="part of a question")
    times: int = Field(1, ge=1, le=1_000_000)
    status: int | None = Field(None, ge=200, le=599)
    headers: dict[str, str] = Field(default_factory=dict, description="for example Retry-After")
    body: str | None = Field(None, description="the answer's body as it is, JSON or not")
    reply: str | None = Field(None, description="the text of an answer that is well otherwise")
    drop: Literal["before", "middle"] | None = None
    delay_ms: int = Field(0, ge=0, le=600_000)

    @property
    def name(self) -> str:
        if self.drop:
            return f"drop_{self.drop}"
        if self.status is not None or self.body is not None or self.reply is not None:
            return "replace"
        return "delay"


class ModelFaults:
    """Faults in the order in which they were set; each question meets the first that matches."""

    def __init__(self) -> None:
        self._waiting: list[ModelFault] = []

    def add(self, fault: ModelFault) -> None:
        self._waiting.append(fault)

    def take(self, question: str) -> ModelFault | None:
        for fault in self._waiting:
            if fault.about is None or fault.about in question:
                fault.times -= 1
                if fault.times == 0:
                    self._waiting.remove(fault)
                return fault
        return None

    def waiting(self) -> list[ModelFault]:
        return list(self._waiting)

    def clear(self) -> None:
        self._waiting.clear()


class ModelCalls:
    """The latest questions, each with its moment and the fault it met."""

    def __init__(self) -> None:
        self._calls: deque[dict[str, Any]] = deque(maxlen=KEPT_CALLS)

    def note(self, number: int, at: int, question: str, fault: ModelFault | None) -> dict[str, Any]:
        """A new entry, to which more may be added. `at` is in ms since 1970."""
        call: dict[str, Any] = {"n": number, "at": at, "question": question[:KEPT_CHARACTERS]}
        if fault is not None:
            call["fault"] = fault.name
        self._calls.append(call)
        return call

    def about(self, part: str) -> list[dict[str, Any]]:
        """Those whose question holds this text, in order."""
        return [call for call in self._calls if part in call["question"]]

    def clear(self) -> None:
        self._calls.clear()
