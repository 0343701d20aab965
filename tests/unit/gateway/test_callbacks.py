"""`signed_request` callbacks: the app removed, data to be deleted."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient as Client

from libs.common.events import PageDeauthorized, PersonDeletionRequested, topic_of
from libs.common.topics import CHANNELS
from tests.unit.gateway.conftest import FakePublisher, LogAwayError
from tests.unit.gateway.webhooks import SIGNED_REQUEST

DEAUTHORIZE = "/webhooks/messenger/deauthorize"
DELETION = "/webhooks/messenger/data-deletion"
Gateway = Client[Any, Any]


async def test_deauthorization_is_published(gateway: Gateway, publisher: FakePublisher) -> None:
    async with gateway.post(DEAUTHORIZE, data={"signed_request": SIGNED_REQUEST}) as response:
        assert response.status == 200
    (event,) = publisher.records
    assert isinstance(event, PageDeauthorized)
    assert (event.page_id, event.user_id) == ("*", "300")
    assert event.occurred_at == datetime.fromtimestamp(1763900000, UTC)
    assert topic_of(event) == CHANNELS


async def test_deletion_answers_with_a_page_that_shows_the_code(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    async with gateway.post(DELETION, data={"signed_request": SIGNED_REQUEST}) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        answer = await response.json()
    (event,) = publisher.records
    assert isinstance(event, PersonDeletionRequested)
    assert (event.page_id, event.user_id) == ("*", "300")
    code = event.confirmation_code
    url = f"https://console.example.org/data-deletion/{code}"
    assert answer == {"url": url, "confirmation_code": code}

    async with gateway.get(f"{DELETION}/{code}", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, url)


async def test_a_repeated_callback_is_the_same_event_with_the_same_code(
    gateway: Gateway, publisher: FakePublisher
) -> None:
    answers = []
    for _ in range(2):
        async with gateway.post(DELETION, data={"signed_request": SIGNED_REQUEST}) as response:
            answers.append(await response.json())
    assert answers[0] == answers[1]
    assert publisher.records[0] == publisher.records[1]


@pytest.mark.parametrize("code", ["x", "<script>", "A" * 26, "a" * 27, "0" * 26])
async def test_a_code_of_another_form_has_no_page(gateway: Gateway, code: str) -> None:
    async with gateway.get(f"{DELETION}/{code}") as response:
        assert response.status == 404
        assert code not in await response.text()


@pytest.mark.parametrize("path", [DEAUTHORIZE, DELETION])
@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"signed_request": SIGNED_REQUEST[1:]}, 403),
        ({"signed_request": ""}, 403),
        ({"other": "x"}, 403),
        ({}, 403),
        ({f"field{number}": "x" for number in range(50)}, 400),
    ],
)
async def test_forged_callbacks_are_refused(
    gateway: Gateway, publisher: FakePublisher, path: str, form: dict[str, str], status: int
) -> None:
    async with gateway.post(path, data=form) as response:
        assert response.status == status
    assert publisher.calls == []


@pytest.mark.parametrize("path", [DEAUTHORIZE, DELETION])
async def test_without_the_log_the_callback_is_not_acknowledged(
    gateway: Gateway, publisher: FakePublisher, path: str
) -> None:
    publisher.error = LogAwayError()
    async with gateway.post(path, data={"signed_request": SIGNED_REQUEST}) as response:
        assert response.status == 503
        assert "confirmation_code" not in await response.text()
