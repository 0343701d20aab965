"""How the service starts: what it needs to be told, and what it answers before it is connected."""

import pytest
from aiohttp.test_utils import TestClient, TestServer

from libs.common.settings import load
from services.conversation.app import create_service
from services.conversation.settings import Settings
from tests.unit.conversation.world import KEYS, TOKEN, settings

INTERNAL = "/internal/v1/pages/100/conversations"


async def test_probes_and_refusals_come_before_the_resources() -> None:
    service = create_service(settings())
    async with TestClient(TestServer(service.app)) as client:
        for path, token, status in [
            ("/healthz", "", 200),
            ("/readyz", "", 503),
            ("/metrics", "", 200),
            (INTERNAL, "", 401),
            (INTERNAL, TOKEN, 503),
            ("/elsewhere", TOKEN, 404),
        ]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with client.get(path, headers=headers) as response:
                assert (path, response.status) == (path, status)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("FACEBOOK_APP_ID", "SERVICE_TOKEN", "HTTP_PORT", "LLM_PROVIDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FACEBOOK_APP_ID", "4242")
    monkeypatch.setenv("FACEBOOK_APP_SECRET", "app-secret")
    monkeypatch.setenv("ENCRYPTION_KEYS", KEYS)
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    monkeypatch.setenv("HTTP_PORT", "8082")
    return monkeypatch


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FACEBOOK_APP_ID", "not a number"),
        ("FACEBOOK_APP_ID", ""),
        ("SERVICE_TOKEN", "short"),
        ("FACEBOOK_APP_SECRET", "short"),
        ("ENCRYPTION_KEYS", "no key ring"),
        ("GRAPH_API_URL", "not a url"),
        ("CONVERSATION_PROFILE_CALLS", "0"),
        ("HTTP_PORT", "0"),
        ("CONVERSATION_TURN_DEADLINE_S", "0"),
        ("CONVERSATION_MODEL_ATTEMPTS", "11"),
        ("CONVERSATION_MAX_BURST_S", "61"),
        ("LLM_PROVIDER", "oracle"),
    ],
)
def test_a_bad_value_ends_the_start_with_one_line_that_names_it(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    environment.setenv(variable, value)
    with pytest.raises(SystemExit):
        load(Settings)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(variable)


def test_the_defaults_are_enough_for_everything_else(environment: pytest.MonkeyPatch) -> None:
    assert load(Settings).assistant.provider == "offline"
