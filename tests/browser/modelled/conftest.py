"""One stack for the files here: its model is the simulator's, and its sender soon holds a part."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, StorageState, expect

from tests.browser.test_console import sign_in
from tests.canaries import watched
from tests.stack import LocalStack, local_stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Its model is the simulator's, which answers with what it was asked."""
    with (
        local_stack(
            tmp_path_factory.mktemp("stack"),
            LLM_PROVIDER="simulator",
            CONVERSATION_MODEL_ATTEMPTS="1",
            SENDER_HOLD_AFTER_S="15",
        ) as running,
        watched(running),
    ):
        yield running


@pytest.fixture(scope="package")
async def session(chromium: Browser, stack: LocalStack) -> StorageState:
    """Of the administrator: signed in once for all tests."""
    page = await chromium.new_page()
    await page.goto(stack.url("console"))
    await sign_in(page, stack.environment["ADMIN_EMAIL"], stack.environment["ADMIN_PASSWORD"])
    inbox = page.get_by_role("heading", name="Inbox", level=1)
    await expect(inbox).to_be_visible(timeout=30_000)  # hashing takes its time on a busy machine
    state = await page.context.storage_state()
    await page.close()
    return state
