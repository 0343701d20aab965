"""How the service starts: what it needs to be told, and what it answers before it is connected."""

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from libs.common.settings import HttpSettings, InternalSettings, RuntimeSettings, load
from services.analytics.app import create_service
from services.analytics.settings import AppSettings, Settings

TOKEN = "t" * 32
METRICS = "/internal/v1/pages/100/metrics"


async def test_probes_and_refusals_come_before_the_resources() -> None:
    service = create_service(
        Settings(
            http=HttpSettings(port=1),
            runtime=RuntimeSettings(env="test"),
            internal=InternalSettings(service_token=SecretStr(TOKEN)),
            app=AppSettings(facebook_app_id="1"),
        )
    )
    async with TestClient(TestServer(service.app)) as client:
        for path, token, status in [
            ("/healthz", "", 200),
            ("/readyz", "", 503),
            ("/metrics", "", 200),
            (METRICS, "", 401),
            (METRICS, TOKEN, 503),
            (f"{METRICS}.csv", TOKEN, 503),
            ("/internal/v1/metrics?pages=1", TOKEN, 503),
            ("/elsewhere", TOKEN, 404),
        ]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with client.get(path, headers=headers) as response:
                assert (path, response.status) == (path, status)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FACEBOOK_APP_ID", "not a number"),
        ("SERVICE_TOKEN", "short"),
        ("HTTP_PORT", "0"),
        ("ANALYTICS_FLUSH_EVENTS", "0"),
        ("ANALYTICS_FLUSH_S", "61"),
    ],
)
def test_a_bad_value_ends_the_start_with_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    good = {"FACEBOOK_APP_ID": "4242", "SERVICE_TOKEN": TOKEN, "HTTP_PORT": "8085"}
    for name, fine in (good | {variable: value}).items():
        monkeypatch.setenv(name, fine)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{variable} is wrong")
