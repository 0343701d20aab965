"""One command: its parts in order, each final before the next begins."""

from datetime import timedelta

from libs.common.channels import Channel, ChannelSettings
from libs.common.events import SendText
from services.sender.desk import Desk
from services.sender.domain.claims import After, Expected, Fresh
from services.sender.domain.outline import Outline
from services.sender.domain.parts import plan_parts
from services.sender.part import Part, Source

FRESH_FOR = timedelta(minutes=5)
"""A younger command is claimed without looking first. The conversation remembers its latest 50
commands, so a copy would pass unnoticed only if 50 others were sent to this person in between."""


class Courier:
    """Delivers commands. The same one may come any number of times: it is sent once."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def deliver(self, command: SendText, source: Source, *, kept: bool = False) -> None:
        """Return when every part of the command is final, recorded and told.

        Args:
            kept: it was put away, and nothing of this person is put away before it.

        Raises:
            TransientError: not all are; handling the command again goes on where this ended.
            NotNowError: not all are, and will not be for long; nothing of the person may pass it.
        """
        channel = await self._desk.channels.channel(command.page_id)
        outline = Outline(plan_parts(command.text, origin=command.origin, limit=_limit(channel)))
        if not len(outline):
            await Part(self._desk, command, source, outline, 0).fail(
                "empty", "There is nothing to send: the text is empty."
            )
            return
        await self._deliver_parts(command, source, outline, kept=kept)

    async def _deliver_parts(
        self, command: SendText, source: Source, outline: Outline, *, kept: bool
    ) -> None:
        number = 0
        expected = None if kept else self._expected_at_first(command, source)
        while number < len(outline):  # the outline may grow
            part = Part(self._desk, command, source, outline, number, kept=kept)
            delivery = await part.deliver(expected)
            if delivery.state == "failed":
                await self._fail_rest(command, source, outline, number + 1)
                return
            number, expected = number + 1, After(delivery.send_id)

    async def _fail_rest(
        self, command: SendText, source: Source, outline: Outline, number: int
    ) -> None:
        """Half an answer is worse than one that ends: what follows a refused part is not sent."""
        for later in range(number, len(outline)):
            await Part(self._desk, command, source, outline, later).fail(
                "earlier_part_failed", "An earlier part of the same message was not sent."
            )

    def _expected_at_first(self, command: SendText, source: Source) -> Expected | None:
        if self._desk.now() - command.occurred_at > FRESH_FOR:
            return None
        return Fresh(source.partition, source.offset)


def _limit(channel: Channel | None) -> int:
    return (channel.settings if channel else ChannelSettings()).max_message_length
