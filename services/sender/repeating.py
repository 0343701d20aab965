"""A part that a person wants sent again: as it was, once for each time they say so."""

from libs.common.events import SendText
from services.sender.closing import closing_of
from services.sender.desk import Desk
from services.sender.domain.deliveries import Delivery, event_of
from services.sender.domain.evidence import Found
from services.sender.domain.keeping import Kept, NotNowError
from services.sender.domain.outline import Outline
from services.sender.domain.parts import send_id
from services.sender.inquiry import Doubt, Inquiry
from services.sender.part import Part, Source


class Repeater:
    """Sends one part of a command anew, under its old name."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def repeat(self, command: SendText, kept: Kept, source: Source) -> None:
        """Return when the part has a final state again, or needs none: it was settled meanwhile.

        What was held may have arrived all the same, so its echo and the thread are looked at once
        more before it is posted; where they show nothing, the person has decided.
        """
        number, generation = kept.part or 0, kept.again or 1
        name = send_id(command.command_id, number)
        opened = await self._desk.store.begin_again(name, generation)
        if opened is None:
            await self._tell_again(name, generation)
            return
        texts = [opened.text] * opened.parts
        part = Part(
            self._desk,
            command,
            source,
            Outline(texts),
            number,
            kept=True,
            generation=generation,
        )
        found = await self._glance(command, name, opened)
        if found is not None and opened.since is not None:
            await part.found(found.mid, found.by, opened.since)
            return
        await part.deliver(None)

    async def _tell_again(self, name: str, generation: int) -> None:
        """A crash may have come between the record of this very generation and its event."""
        recorded = await self._desk.store.delivery(name)
        if recorded is not None and recorded.generation == generation:
            await self._desk.publisher.publish(event_of(recorded))

    async def _glance(self, command: SendText, name: str, opened: Delivery) -> Found | None:
        """Raises: NotNowError: the Page cannot be asked for long."""
        if opened.since is None:
            return None  # it was refused: there is nothing to be found
        if self._desk.echoes.mid_of(name) is None:
            closing = await closing_of(self._desk, command.page_id)
            if closing is not None:
                raise NotNowError(closing.why, wake_at=closing.until)
        doubt = Doubt("", opened.since, opened.since, opened.text, 1, by_meta=opened.since_by_meta)
        return await Inquiry(self._desk, command, name, doubt).glance()
