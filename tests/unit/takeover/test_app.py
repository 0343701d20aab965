"""How the service starts: what it needs to be told, and what it answers before it is connected."""

import pytest
from aiohttp.test_utils import TestClient, TestServer

from libs.common.settings import load
from services.takeover.app import create_service
from services.takeover.settings import Settings
from tests.unit.takeover.world import TOKEN, settings

INTERNAL = "/internal/v1/conversations/100:200/takeover"


async def test_probes_and_refusals_come_before_the_resources() -> None:
    service = create_service(settings())
    async with TestClient(TestServer(service.app)) as client:
        for path, token, status in [
            ("/healthz", "", 200),
            ("/readyz", "", 503),
            ("/metrics", "", 200),
            (INTERNAL, "", 401),
            ("/internal/v1/openapi.json", "", 401),
            (INTERNAL, TOKEN, 503),
            ("/elsewhere", TOKEN, 404),
        ]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with client.get(path, headers=headers) as response:
                assert (path, response.status) == (path, status)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("FACEBOOK_APP_ID", "not a number"), ("SERVICE_TOKEN", "short"), ("HTTP_PORT", "0")],
)
def test_a_bad_value_ends_the_start_with_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    good = {"FACEBOOK_APP_ID": "4242", "SERVICE_TOKEN": TOKEN, "HTTP_PORT": "8084"}
    for name, each in (good | {variable: value}).items():
        monkeypatch.setenv(name, each)
    with pytest.raises(SystemExit):
        load(Settings)
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith(variable)
