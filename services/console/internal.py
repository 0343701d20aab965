"""The other services' internal APIs, as the console asks them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
from pydantic import SecretStr, TypeAdapter
from yarl import URL

from libs.common import tracing
from libs.common.errors import PermanentError, TransientError
from services.console.settings import ServicesSettings

ServiceName = Literal["gateway", "conversation", "sender", "takeover", "analytics"]
JSON = dict[str, Any]

TIMEOUT_S = 10.0

_OBJECT: TypeAdapter[JSON] = TypeAdapter(JSON)


class ServiceAwayError(TransientError):
    """No answer that could be used: the service is away, or has trouble of its own."""

    code = "service_away"

    def __init__(self, service: ServiceName, why: str) -> None:
        super().__init__(f"the {service} service gave no answer: {why}")
        self.service = service


class ServiceRefusedError(PermanentError):
    """The service refuses, and says why.

    `facts` is the whole of its error: `code`, `message`, often `field`, and what belongs to it.
    """

    code = "service_refused"

    def __init__(self, service: ServiceName, status: int, facts: JSON) -> None:
        super().__init__(str(facts.get("message", status)))
        self.service = service
        self.status = status
        self.facts = facts

    @property
    def reason(self) -> str:
        """The service's own code of the error."""
        return str(self.facts.get("code", "error"))

    @property
    def field(self) -> str | None:
        field = self.facts.get("field")
        return str(field) if field else None


class Internal:
    """Calls with the service token.

    Where it is refused, the previous one is tried: that service was started before the new one
    was known. So a new token can be rolled out in any order.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        addresses: ServicesSettings,
        tokens: Sequence[SecretStr],
    ) -> None:
        self._session = session
        self._addresses = addresses
        self._tokens = tokens

    async def call(
        self,
        service: ServiceName,
        method: str,
        path: str,
        *,
        body: JSON | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> JSON:
        """One call; what it answers, `{}` without a body.

        Args:
            path: below the service's address, each part quoted by whoever made it.

        Raises:
            ServiceAwayError: no answer, or 5xx.
            ServiceRefusedError: 4xx.
        """
        sent = _Sent(method, path, body, query, headers, timeout_s)
        return (await self._answer(service, sent))[0]

    async def text(
        self, service: ServiceName, path: str, query: Mapping[str, str] | None = None
    ) -> str:
        """What a GET answers that is no JSON. Raises: as `call`."""
        return (await self._answer(service, _Sent("GET", path, query=query)))[1]

    async def _answer(self, service: ServiceName, sent: "_Sent") -> tuple[JSON, str]:
        """What it answers, read and as it came. Raises: as `call`."""
        status, answer, text = 401, {}, ""
        with tracing.step(f"ask {service}", kind="client", method=sent.method, host=service):
            for token in self._tokens:
                try:
                    async with self._asking(service, sent, token) as response:
                        answer, text = await _json(response), await response.text()
                        status = response.status
                except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                    raise ServiceAwayError(service, type(error).__name__) from None
                if status != 401:  # which is told before anything is done
                    break
            tracing.note(status=status)
            _check(service, status, answer)
        return answer, text

    def _asking(
        self, service: ServiceName, sent: "_Sent", token: SecretStr
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        url = URL(self._addresses.of(service) + sent.path, encoded=True)
        authorization = {"Authorization": f"Bearer {token.get_secret_value()}"}
        return self._session.request(
            sent.method,
            url.update_query(sent.query) if sent.query else url,
            json=sent.body,
            headers={**(sent.headers or {}), **_trace(), **authorization},
            timeout=aiohttp.ClientTimeout(total=sent.timeout_s),
            allow_redirects=False,
        )


@dataclass(frozen=True)
class _Sent:
    """One request, whichever token it goes with."""

    method: str
    path: str
    body: JSON | None = None
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    timeout_s: float = TIMEOUT_S


def _trace() -> JSON:
    traceparent = tracing.traceparent()
    return {} if traceparent is None else {"traceparent": traceparent}


def _check(service: ServiceName, status: int, answer: JSON) -> None:
    if status >= 500:
        raise ServiceAwayError(service, f"HTTP {status}")
    if status >= 300:
        facts = answer.get("error")
        raise ServiceRefusedError(service, status, facts if isinstance(facts, dict) else {})


@asynccontextmanager
async def open_internal(
    addresses: ServicesSettings, tokens: Sequence[SecretStr]
) -> AsyncIterator[Internal]:
    """`tokens`: the usual one first, then the previous one during a rollout."""
    async with aiohttp.ClientSession() as session:
        yield Internal(session, addresses, tokens)


async def _json(response: aiohttp.ClientResponse) -> JSON:
    """Raises: ValueError: it is no JSON object (pydantic's error is one)."""
    text = await response.text()
    if not text or response.content_type != "application/json":
        return {}
    return _OBJECT.validate_json(text)
