"""The pictures for the docs."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser import screenshots
from tests.browser.assistant import Assistant
from tests.browser.site import Site

ANSWERS = iter(
    [
        "Hello! I'm Crumb, the bakery's assistant. Ask me about bread, cakes or opening hours. 🥐",
        "On Saturdays we are open from 7:00 to 14:00.",
        "Yes: a buckwheat loaf, every Tuesday and Friday. It sells out quickly, so it is best to "
        "reserve one the day before.",
    ]
)


async def from_the_script(assistant: Assistant, psid: str, _said: dict[str, Any]) -> None:
    await assistant.does(psid, "mark_seen")
    await assistant.does(psid, "typing_on")
    await assistant.says(psid, next(ANSWERS))


@pytest.mark.usefixtures("chromium")  # fails with a clear word if there is none
async def test_pictures_show_a_conversation(site: Site, tmp_path: Path) -> None:
    site.assistant.on_said = from_the_script
    pictures = await screenshots.take_pictures(site.url, tmp_path / "images")
    assert [picture.name for picture in pictures] == [
        "chat-light.png",
        "chat-dark.png",
        "chat-phone.png",
    ]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    thread = list(site.simulator.world.pages[0].threads.values())[-1]
    assert [said.who for said in thread.messages] == ["person", "page"] * 3


def test_the_port_follows_the_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT_OFFSET", "300")
    assert screenshots.simulator_url() == "http://127.0.0.1:8390"
