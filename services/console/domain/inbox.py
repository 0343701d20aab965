"""A conversation as the inbox shows it, and which ones somebody wants to see. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

Tab = Literal["needs_human", "mine", "assistant", "all", "done"]

TABS: Mapping[Tab, str] = {
    "needs_human": "Needs human",
    "mine": "Mine",
    "assistant": "Assistant",
    "all": "All",
    "done": "Done",
}
"""In the order in which they stand, with their words."""

ALL: Tab = "all"
MOST_COUNTED = 1000
LONGEST_SEARCH = 100


class Told(BaseModel):
    """What the conversation service tells; what it tells besides is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Last(Told):
    """The latest message of a conversation, in one line."""

    direction: Literal["in", "out"]
    origin: Literal["person", "assistant", "human", "human_facebook"]
    by_name: str | None = None
    kind: Literal["text", "attachment", "postback", "deleted"] = "text"
    text: str = Field("", repr=False)
    at: datetime


class Asked(Told):
    """The call for a human that nobody has followed yet."""

    reason: str = ""
    summary: str = Field("", repr=False)
    at: datetime


class Row(Told):
    """One conversation, as the list shows it."""

    id: str
    page_id: str
    psid: str
    name: str | None = Field(None, repr=False)
    picture_url: str | None = Field(None, repr=False)
    last_activity_at: datetime | None = None
    last_user_message_at: datetime | None = None
    last: Last | None = None
    inbound_count: int = 0
    outbound_count: int = 0
    unread: int = 0
    mode: Literal["ai", "human"] = "ai"
    epoch: int = 0
    by: str | None = None
    by_name: str | None = None
    since: datetime | None = None
    auto_resume_at: datetime | None = None
    takeover_reason: str | None = None
    asked: Asked | None = None
    thread_ours: bool = True
    held: int = 0
    failed: int = 0
    done: bool = False
    first_seen_at: datetime | None = None

    @property
    def shown_name(self) -> str:
        """As Facebook says; of whom it says nothing, the end of the id."""
        return self.name or f"Person {self.psid[-4:]}"

    @property
    def picture_version(self) -> str:
        """Another one for another picture, so that browsers may keep the one that they have."""
        return hashlib.sha256((self.picture_url or "").encode()).hexdigest()[:12]

    @property
    def messages(self) -> int:
        return self.inbound_count + self.outbound_count


class Listing(Told):
    """A stretch of the list, and the cursor of the next one."""

    conversations: tuple[Row, ...] = ()
    next: str | None = None


class Counts(Told):
    """How many there are, each counted to at most `MOST_COUNTED`."""

    needs_human: int = 0
    mine: int = 0
    assistant: int = 0
    all: int = 0
    done: int = 0
    unread: int = 0

    def words(self, name: str) -> str:
        count: int = getattr(self, name)
        return f"{MOST_COUNTED - 1}+" if count >= MOST_COUNTED else str(count)


@dataclass(frozen=True)
class Filters:
    """What somebody wants to see, as it stands in the address.

    Args:
        page: a Page's id; None: all of the workspace.
        q: words of a name.
    """

    tab: Tab = ALL
    page: str | None = None
    unread: bool = False
    q: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filters":
        """What can't be read counts as not said: an old link still shows something."""
        tab = query.get("tab", ALL)
        page = query.get("page", "")
        return cls(
            tab=next((each for each in TABS if each == tab), ALL),
            page=page if page.isascii() and page.isdigit() and len(page) <= 32 else None,
            unread=query.get("unread") == "1",
            q=" ".join(query.get("q", "").split())[:LONGEST_SEARCH].rstrip(),
        )

    @property
    def pairs(self) -> dict[str, str]:
        """As in an address, without what is so anyway."""
        said = {
            "tab": "" if self.tab == ALL else self.tab,
            "page": self.page or "",
            "unread": "1" if self.unread else "",
            "q": self.q,
        }
        return {name: value for name, value in said.items() if value}

    @property
    def is_narrowed(self) -> bool:
        """By more than the tab."""
        return bool(self.page or self.unread or self.q)

    def but(self, **changes: object) -> "Filters":
        return replace(self, **changes)  # type: ignore[arg-type]

    def at(self, path: str, **more: str) -> str:
        """The address with these filters: `/inbox?tab=mine`."""
        pairs = self.pairs | more
        return f"{path}?{urlencode(pairs)}" if pairs else path
