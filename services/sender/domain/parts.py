"""From one command to the messages it takes, and what these are called."""

from libs.common.events.outcomes import Origin
from libs.common.splitting import LengthUnit, split_text, split_typed
from services.sender.domain.markdown import to_messenger_text


def send_id(command_id: str, part: int) -> str:
    """The name of one part, the same in every run; `part` counts from 0."""
    return f"{command_id}:{part}"


def plan_parts(text: str, *, origin: Origin, limit: int, unit: LengthUnit = "utf16") -> list[str]:
    """The texts to send, in order, each within `limit`; [] if there is nothing to send.

    The assistant writes Markdown, which Messenger would show as it is: it is rendered. A human's
    text goes as typed, whitespace around it included, and is split only if it is too long for one
    message. The same arguments always give the same parts: after a crash, part n is
    still part n.
    """
    if origin == "human":
        return split_typed(text, limit, unit)
    shown = to_messenger_text(text)
    return split_text(shown, limit, unit) or split_text(text, limit, unit)
