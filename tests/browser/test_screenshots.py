"""The pictures for the docs."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser import screenshots
from tests.browser.assistant import Assistant
from tests.browser.site import Site

ANSWERS = {
    "Hi! Are you open on Sunday?": "Hello! On Sunday we are open from 8:00 to 13:00. 🥐",
    "How early do I have to order it?": "Two days ahead is early enough. A 20 cm cake serves ten.",
    "Thank you!": "You're welcome!",
}


async def from_the_script(assistant: Assistant, psid: str, said: dict[str, Any]) -> None:
    """Answers what ends a burst, and whatever the others ask."""
    if said["text"] in {line for lines in screenshots.TALK for line in lines[:-1]}:
        return
    await assistant.does(psid, "mark_seen")
    await assistant.does(psid, "typing_on")
    await assistant.says(psid, ANSWERS.get(said["text"], "Yes, gladly."))


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
    told = [said.text for said in thread.messages if said.who == "page"]
    assert told == list(ANSWERS.values())
    assert len(thread.messages) == len(told) + sum(map(len, screenshots.TALK))


def test_the_port_follows_the_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT_OFFSET", "300")
    assert screenshots.simulator_url() == "http://127.0.0.1:8390"
