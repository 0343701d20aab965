"""Clients that are slow or silent keep no connection of the console for long."""

from services.console.app import LIMITS, create_service
from services.console.settings import SiteSettings
from tests.unit.console.test_settings import settings


def test_a_request_is_complete_within_15_seconds_or_its_connection_ends() -> None:
    a_look_now_and_then_s = 0.5
    for limit in (LIMITS.header_timeout_s, LIMITS.body_timeout_s, LIMITS.idle_timeout_s):
        assert limit is not None
        assert limit + a_look_now_and_then_s < 15


def test_an_answer_may_go_on_for_as_long_as_somebody_listens() -> None:
    assert LIMITS.busy_timeout_s is None


async def test_the_service_is_run_with_these_limits() -> None:
    service = create_service(settings(SiteSettings(env="test")))
    assert service.runner is not None
    runner = service.runner(service.app)
    assert runner.limits == LIMITS  # type: ignore[attr-defined]
