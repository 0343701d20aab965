"""What other services know of a Page, asked by their internal APIs."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from services.console.doctor.domain.findings import Found, Verdict, unknown_because
from services.console.doctor.domain.meta import Refusal
from services.console.doctor.domain.pages import Traffic
from services.console.doctor.domain.system import judge_model, not_asked
from services.console.doctor.examining import CannotJudgeError
from services.console.internal import Internal, ServiceAwayError, ServiceName, ServiceRefusedError

T = TypeVar("T")

MOST = 200
WITHIN_S = 6.0
MODEL_WITHIN_S = 18.0

NO_ANSWER = (ServiceAwayError, ServiceRefusedError)


async def told(service: ServiceName, found: Found, question: Callable[[], Awaitable[T]]) -> T:
    """What a service answers. One that is known to be gone is not asked.

    Args:
        found: with the line of the service.

    Raises:
        CannotJudgeError: no answer; because of that line, if it is broken.
    """
    line = found.get(line_of(service))
    if line is not None and line.state == "failed":
        raise CannotJudgeError(unknown_because(line))
    try:
        return await question()
    except NO_ANSWER:
        broken = line is not None and line.state == "unknown"
        verdict = unknown_because(line) if line and broken else not_asked(service)
        raise CannotJudgeError(verdict) from None


def line_of(service: str) -> str:
    """The id of the line that says how a service is."""
    return f"service.{service}"


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Failed(_Told):
    reason: str | None = None
    at: datetime


class _FailedList(_Told):
    deliveries: tuple[_Failed, ...]


class _HeldList(_Told):
    deliveries: tuple[dict[str, Any], ...]
    next: str | None = None


class _Waiting(_Told):
    waiting: dict[str, int]


class _Message(_Told):
    at: datetime


class _Reply(_Told):
    at: datetime
    echoed: bool = False


class _Traffic(_Told):
    message: _Message | None = None
    reply: _Reply | None = None
    receipt_at: datetime | None = None


class _Permission(_Told):
    class Refusal(_Told):
        refused_at: datetime

    refusal: Refusal | None = None


class ModelAnswer(_Told):
    """Whether a model answers; `words`: why not.

    `is_own`: it is the one that the conversation service was started with.
    """

    provider: str
    model: str
    is_own: bool = True
    failure: str | None = None
    words: str = ""
    took_s: float | None = None

    @property
    def verdict(self) -> Verdict:
        return judge_model(
            provider=self.provider,
            model=self.model,
            failure=self.failure,
            words=self.words,
            took_s=self.took_s,
        )


class Asking:
    """Questions to the other services.

    Every method raises:
        ServiceAwayError, ServiceRefusedError: the service gave no answer that helps.
    """

    def __init__(self, internal: Internal) -> None:
        self._internal = internal

    async def refusals(self, page_ids: Iterable[str]) -> Sequence[Refusal]:
        """What Meta refused lately on these Pages."""
        found: list[Refusal] = []
        query = {"state": "failed", "limit": str(MOST)}
        for page_id in page_ids:
            answer = await self._page("sender", page_id, "deliveries", query)
            listed = _FailedList.model_validate(answer).deliveries
            found += [Refusal(each.reason, each.at) for each in listed if each.reason]
        return found

    async def held(self, page_id: str) -> tuple[int, bool]:
        """How many parts are held, and whether there are more."""
        query = {"state": "held", "limit": str(MOST)}
        listed = _HeldList.model_validate(await self._page("sender", page_id, "deliveries", query))
        return len(listed.deliveries), listed.next is not None

    async def waiting(self, page_id: str) -> Mapping[str, int]:
        """What is put away until the Page may send again, counted by why."""
        return _Waiting.model_validate(await self._page("sender", page_id, "waiting")).waiting

    async def traffic(self, page_id: str) -> Traffic:
        told = _Traffic.model_validate(await self._page("conversation", page_id, "traffic"))
        return Traffic(
            told.message.at if told.message else None,
            told.reply.at if told.reply else None,
            told.reply.echoed if told.reply else False,
            told.receipt_at,
        )

    async def human_agent_refused_at(self, page_id: str) -> datetime | None:
        """When Meta refused the tag, if that stands."""
        told = _Permission.model_validate(await self._page("takeover", page_id, "human-agent"))
        return told.refusal.refused_at if told.refusal else None

    async def model(self, page_id: str | None = None) -> ModelAnswer:
        """Asks the model something tiny, at most once a minute: the installation's, or a Page's."""
        of_page = f"/pages/{quote(page_id, safe='')}" if page_id else ""
        path = f"/internal/v1{of_page}/model-check"
        answer = await self._internal.call("conversation", "POST", path, timeout_s=MODEL_WITHIN_S)
        return ModelAnswer.model_validate(answer)

    async def _page(
        self,
        service: ServiceName,
        page_id: str,
        what: str,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        path = f"/internal/v1/pages/{quote(page_id, safe='')}/{what}"
        return await self._internal.call(service, "GET", path, query=query, timeout_s=WITHIN_S)
