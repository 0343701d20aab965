"""What the next matching Graph calls meet."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Endpoint = Literal[
    "messages",
    "actions",
    "profile",
    "conversations",
    "message",
    "subscribed_apps",
    "me",
    "login",
    "debug_token",
    "permissions",
    "accounts",
    "messenger_profile",
    "subscriptions",
    "ids_for_pages",
    "*",
]


class Fault(BaseModel):
    """One fault, for `times` calls.

    `drop` cuts the connection: `before` means the call was never looked at, `after_accept` that it
    took effect and only the answer is lost. `status`, `error` or `body` replace the answer and the
    call has no effect, unless `accept` is true: then it had one all the same. `truncate` lets the
    call take effect and cuts the connection in the middle of the answer's body. `delay_ms` lets the
    call take effect at once and holds the answer, whatever it is, back.
    """

    model_config = ConfigDict(extra="forbid")

    endpoint: Endpoint = Field(description='"messages" are texts, "actions" typing and seen')
    page: str | None = None
    psid: str | None = Field(None, description="of the person whom the call is about")
    times: int = Field(1, ge=1, le=1_000_000)
    status: int | None = Field(None, ge=200, le=599)
    error: dict[str, Any] | None = Field(None, description="Meta's error object: code, message …")
    body: str | None = Field(None, description="the answer's body as it is, for example HTML")
    headers: dict[str, str] = Field(default_factory=dict)
    delay_ms: int = Field(0, ge=0, le=600_000)
    drop: Literal["before", "after_accept"] | None = None
    truncate: bool = False
    accept: bool = False

    @property
    def replaces_answer(self) -> bool:
        return self.status is not None or self.error is not None or self.body is not None

    @property
    def takes_effect(self) -> bool:
        """Whether the call is carried out although the caller may not hear of it."""
        return self.drop != "before" and (self.accept or not self.replaces_answer)

    @property
    def name(self) -> str:
        if self.drop:
            return f"drop_{self.drop}"
        if self.replaces_answer:
            return "accept_and_replace" if self.accept else "replace"
        return "truncate" if self.truncate else "delay"


class Faults:
    """Faults in the order in which they were set; each call meets the first that matches."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def take(self, endpoint: str, page: str | None, psid: str | None = None) -> Fault | None:
        for fault in self._waiting:
            is_meant = fault.page in (None, page) and fault.psid in (None, psid)
            if is_meant and fault.endpoint in (endpoint, "*"):
                fault.times -= 1
                if fault.times == 0:
                    self._waiting.remove(fault)
                return fault
        return None

    def waiting(self) -> list[Fault]:
        return list(self._waiting)

    def clear(self) -> None:
        self._waiting.clear()
