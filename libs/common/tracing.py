"""One trace of a message's way through the services, where somebody has asked for traces.

Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set: then nothing of OpenTelemetry is imported, and each
function here is one look at a variable. `telemetry.py` is what stands behind them when it is on.

A trace begins, or is taken up, with `entry`: a request, a record, a command that was put away. All
else is a `step` within one, and leaves no span where there is none. Spans say what logs may say:
the names in `Facts`, and nothing that a person wrote, no token, no id of a person.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol, TypedDict, Unpack

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from libs.common.settings import SettingsGroup

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Expected = tuple[type[BaseException], ...]
"""Errors that are an outcome like others: the span says which, and is not red for it."""

FLUSH_WITHIN_S = 2.0
"""Of a service's time to end: what has not been exported by then is lost."""


class Facts(TypedDict, total=False):
    """All that a span, or an event in it, may say. `telemetry.py` has the attributes' names."""

    attempt: int
    attempts: int
    code: int | None
    collection: str
    command_id: str | None
    conversation: str  # its person is hashed, as in logs
    endpoint: str
    generation: int
    group: str
    host: str
    input_tokens: int | None
    joined: int
    method: str
    model: str | None
    offset: int
    operation: str
    outcome: str | None
    page_id: str | None
    part: int
    partition: int
    parts: int
    reason: str | None
    record_type: str
    records: int
    output_tokens: int | None
    route: str
    rule: str | None
    send_id: str
    status: int
    subcode: int | None
    topic: str
    waited_s: float


class Backend(Protocol):
    """What tracing needs of OpenTelemetry."""

    def entry(
        self,
        name: str,
        kind: Kind,
        parent: str | None,
        expected: Expected,
        facts: Facts,
        *,
        linked: bool,
    ) -> AbstractContextManager[None]: ...

    def step(
        self, name: str, kind: Kind, expected: Expected, facts: Facts
    ) -> AbstractContextManager[None]: ...

    def took(
        self, name: str, kind: Kind, duration_s: float, failed: bool, facts: Facts
    ) -> None: ...

    def note(self, facts: Facts) -> None: ...

    def event(self, name: str, facts: Facts) -> None: ...

    def fail(self, reason: str) -> None: ...

    def joined(self, name: str, parents: Iterable[str]) -> None: ...

    def traceparent(self) -> str | None: ...

    def trace_id(self) -> str | None: ...

    def close(self, within_s: float) -> None: ...


class TracingSettings(SettingsGroup):
    """`OTEL_*`, as OpenTelemetry names them. Its packages read some more by themselves."""

    model_config = SettingsConfigDict(env_prefix="OTEL_")

    exporter_otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#@]+(/[^\s?#@]*)?)?$",
        description="where traces go, by OTLP over HTTP: http://collector:4318; empty: no tracing",
    )
    exporter_otlp_headers: SecretStr = Field(
        SecretStr(""), description="sent along: name=value, comma separated"
    )
    service_name: str = Field("", description="empty: the service's own name")
    traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = Field("parentbased_always_on", description="which traces are kept")
    traces_sampler_arg: float = Field(
        1.0, ge=0, le=1, description="which share of them, with a sampler of traceidratio"
    )

    @field_validator("exporter_otlp_headers")
    @classmethod
    def _are_pairs(cls, headers: SecretStr) -> SecretStr:
        pairs = [pair for pair in headers.get_secret_value().split(",") if pair.strip()]
        if not all(pair.partition("=")[0].strip() and "=" in pair for pair in pairs):
            raise ValueError("not name=value, comma separated")
        return headers


class TracingUnavailableError(Exception):
    """Traces are wanted, and what makes them is not installed."""


OFF: AbstractContextManager[None] = nullcontext()
_backend: Backend | None = None


def start(service: str, settings: TracingSettings) -> None:
    """Trace from now on, if traces are wanted.

    Raises:
        TracingUnavailableError: its text is for whoever starts the service.
    """
    if not settings.exporter_otlp_endpoint:
        return
    try:
        from libs.common.telemetry import Telemetry, exporting
    except ImportError as error:
        raise TracingUnavailableError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: "
            f"install messenger-assistant[otel], or unset it ({error.name} is missing)"
        ) from None
    use(Telemetry(exporting(service, settings)))


def use(backend: Backend | None) -> None:
    """Trace with this; None: no longer."""
    global _backend
    _backend = backend


def stop(within_s: float = FLUSH_WITHIN_S) -> None:
    """Export what has not been, and trace no longer. Blocks for `within_s` at most."""
    global _backend
    backend, _backend = _backend, None
    if backend is not None:
        backend.close(within_s)


def is_on() -> bool:
    return _backend is not None


def entry(
    name: str,
    *,
    kind: Kind = "internal",
    parent: str | bytes | None = None,
    expected: Expected = (),
    linked: bool = False,
    **facts: Unpack[Facts],
) -> AbstractContextManager[None]:
    """Begin a trace, or go on with the one that `parent`, a `traceparent`, is of.

    Args:
        linked: where that is another trace than the one at hand, the span points back to it.
    """
    if _backend is None:
        return OFF
    parent = parent.decode("ascii", "replace") if isinstance(parent, bytes) else parent
    return _backend.entry(name, kind, parent, expected, facts, linked=linked)


def step(
    name: str, *, kind: Kind = "internal", expected: Expected = (), **facts: Unpack[Facts]
) -> AbstractContextManager[None]:
    """A span within the trace at hand; nothing where there is none."""
    return OFF if _backend is None else _backend.step(name, kind, expected, facts)


def took(
    name: str, duration_s: float, *, kind: Kind, failed: bool = False, **facts: Unpack[Facts]
) -> None:
    """A step that has just ended, told by whoever measured it."""
    if _backend is not None:
        _backend.took(name, kind, duration_s, failed, facts)


def note(**facts: Unpack[Facts]) -> None:
    """Say more about the span at hand."""
    if _backend is not None:
        _backend.note(facts)


def event(name: str, **facts: Unpack[Facts]) -> None:
    """Something happened at this moment of the span at hand."""
    if _backend is not None:
        _backend.event(name, facts)


def fail(reason: str) -> None:
    """The span at hand stands for something that failed. `reason`: a word of ours, never a text."""
    if _backend is not None:
        _backend.fail(reason)


def joined(name: str, parents: Callable[[], Iterable[str]]) -> None:
    """Records of other traces are handled within the span at hand: both point to each other."""
    if _backend is not None:
        _backend.joined(name, parents())


def traceparent() -> str | None:
    """What a record or a request takes along, so that the trace goes on behind it."""
    return None if _backend is None else _backend.traceparent()


def trace_id() -> str | None:
    """32 hexadecimal digits; None where nothing is traced."""
    return None if _backend is None else _backend.trace_id()
