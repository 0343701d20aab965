"""Which of the Pages that Facebook named can be connected, and why another one can't."""

from dataclasses import dataclass
from enum import StrEnum

MAY_SUBSCRIBE = frozenset({"MANAGE", "MODERATE", "CREATE_CONTENT"})
"""Any of these tasks is enough. Source: Page, subscribed_apps."""
MAY_SEND = "MESSAGING"


class Standing(StrEnum):
    """Where a Page stands before it is chosen."""

    NEW = "new"
    HERE = "here"  # connected: doing it again renews the token and the subscription
    LOST = "lost"  # was connected here, and is to be connected again
    ELSEWHERE = "elsewhere"
    NO_ACCESS = "no_access"
    NO_MESSAGING = "no_messaging"
    NO_SUBSCRIBING = "no_subscribing"

    @property
    def can_be_chosen(self) -> bool:
        return self in (Standing.NEW, Standing.HERE, Standing.LOST)

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Standing.NEW: "Not connected yet.",
    Standing.HERE: "Connected here already. Connecting it again renews its token.",
    Standing.LOST: "Was connected here. Its settings and history are kept.",
    Standing.ELSEWHERE: "Belongs to another workspace of this installation. An Admin there has to "
    "give it up first.",
    Standing.NO_ACCESS: "Facebook gave no access to it. Ask somebody with full control of the Page "
    "to connect it.",
    Standing.NO_MESSAGING: "Your role on this Page doesn't include Messages. Ask somebody with "
    "full control of the Page to give it to you in Page access.",
    Standing.NO_SUBSCRIBING: "Your role on this Page may not connect apps. Ask somebody with full "
    "control of the Page for more, in Page access.",
}


@dataclass(frozen=True)
class KnownChannel:
    """What is known of a Page that some workspace has or had."""

    workspace_id: str
    is_active: bool


def standing(
    tasks: frozenset[str], *, has_token: bool, known: KnownChannel | None, workspace_id: str
) -> Standing:
    """Where a Page stands for this workspace.

    Args:
        tasks: what the person may do on the Page, as `me/accounts` has it.
        known: the channel of the Page, in whatever workspace.
    """
    if known is not None and known.workspace_id != workspace_id:
        return Standing.ELSEWHERE
    if not has_token:
        return Standing.NO_ACCESS
    if MAY_SEND not in tasks:
        return Standing.NO_MESSAGING
    if not tasks & MAY_SUBSCRIBE:
        return Standing.NO_SUBSCRIBING
    if known is None:
        return Standing.NEW
    return Standing.HERE if known.is_active else Standing.LOST
