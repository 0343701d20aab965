"""What the simulated world consists of; all of it survives a restart."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulator.world.facebook import App, FacebookState, LoginCode, Token, User
from simulator.world.units import Milliseconds, TokenState

Who = Literal["person", "page"]
ProfileState = Literal["open", "hidden", "none"]
Feature = Literal["granted", "not_granted"]
ThreadOwner = Literal["ours", "inbox", "other"]

TYPING_FADES_MS = 20_000
KEPT_MESSAGES = 5000  # of each thread; older ones are forgotten
DETAILED_MESSAGES = 20  # Meta tells details of so many newest messages of a thread
INBOX_APP_ID = "263902037430900"  # the Page's inbox, Meta's own app
OTHER_APP_ID = "520913367702418"  # some other app that is connected to the Page

FIELDS = frozenset(
    """
    messages message_echoes messaging_postbacks message_deliveries message_reads message_reactions
    message_edits messaging_optins messaging_referrals messaging_handovers
    messaging_policy_enforcement messaging_account_linking response_feedback send_cart standby
    """.split()  # noqa: SIM905 - a list of fifteen strings reads worse
)
DEFAULT_FIELDS = tuple(
    sorted(FIELDS - {"messaging_account_linking", "response_feedback", "send_cart"})
)


class Delayed(BaseModel):
    """Something that happens by itself, a while after a send."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    delay_ms: int = Field(0, ge=0, le=600_000)


class Behaviour(BaseModel):
    """How Meta treats one Page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delivery_receipts: Delayed = Delayed(delay_ms=30)
    read_receipts: Delayed = Delayed(enabled=False, delay_ms=300)
    echoes: Delayed = Delayed(delay_ms=20)
    send_latency_ms: int = Field(0, ge=0, le=120_000)
    rate_limit_per_s: int = Field(300, ge=1, le=100_000)
    usage_header: int | None = Field(
        None, ge=0, le=1000, description="percent in the usage headers; from 100 on 80006"
    )
    published: bool = Field(True, description="false: only people with an app role exist")
    dev_mode: bool = Field(False, description="true: the same, the app is in development mode")
    restricted: bool = Field(False, description="true: Meta bars the Page from sending")
    human_agent: Feature = Field(
        "granted", description="not_granted: the tag HUMAN_AGENT meets 100/2018276"
    )
    profile_calls_per_10_min: int = Field(
        10, ge=1, le=100_000, description="of the Messenger profile; Meta allows 10"
    )
    inbox_takes_control: bool = Field(
        False, description="true: who answers in Meta's inbox has the thread from then on"
    )


@dataclass(slots=True)
class Person:
    """Somebody as one Page knows them."""

    psid: str
    first_name: str
    last_name: str
    profile_pic: str | None = None
    blocked: bool = False  # they blocked the Page, or deleted their account
    has_role: bool = False  # on the app: admin, developer or tester
    profile: ProfileState = "open"
    user_id: str = ""  # app-scoped; empty: the app has never heard of it

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


@dataclass(slots=True)
class Message:
    """One message of a thread. Fields that do not apply are None."""

    mid: str
    who: Who
    at: Milliseconds
    text: str | None = None
    attachments: list[dict[str, Any]] | None = None
    quick_replies: list[dict[str, Any]] | None = None
    quick_reply: str | None = None  # payload of the tapped quick reply
    postback: str | None = None  # payload of the tapped button
    reply_to: str | None = None
    messaging_type: str | None = None
    tag: str | None = None
    metadata: str | None = None
    app_id: str | None = None
    reaction: str | None = None  # an emoji
    reported: bool = False  # the app has answered 200 to its webhook
    queued: bool = False  # its webhook is still on its way


@dataclass(slots=True)
class Thread:
    """One Page with one person."""

    id: str
    messages: list[Message] = field(default_factory=list)  # oldest first
    forgotten: int = 0  # so many older ones there were
    last_user_action_at: Milliseconds | None = None  # what the messaging window counts from
    typing_until: Milliseconds = 0
    seen_at: Milliseconds = 0  # the Page marked the thread as seen
    delivered_watermark: Milliseconds = 0  # the person's device got everything up to here
    read_watermark: Milliseconds = 0  # the person has seen everything up to here
    owner: str | None = None  # the app that has the thread, if it is not ours


@dataclass(slots=True)
class Page:
    id: str
    name: str
    access_token: str
    token_state: TokenState = "valid"  # noqa: S105 - says how the token is
    behaviour: Behaviour = field(default_factory=Behaviour)
    subscribed_fields: tuple[str, ...] = DEFAULT_FIELDS
    messenger_profile: dict[str, Any] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    threads: dict[str, Thread] = field(default_factory=dict)


@dataclass(slots=True)
class WorldState:
    pages: dict[str, Page] = field(default_factory=dict)
    facebook: FacebookState = field(default_factory=FacebookState)
    journal: int = 0  # the number of the first journal whose changes are not in here


@dataclass(slots=True)
class Change:
    """A part of the world as it is now: applied twice, it changes nothing the second time."""

    page: Page | None = None  # without people and threads
    page_id: str | None = None  # of what follows
    person: Person | None = None
    psid: str | None = None  # of what follows
    thread: Thread | None = None  # without messages
    message: Message | None = None
    app: App | None = None
    user: User | None = None
    tokens: list[Token] = field(default_factory=list)
    code: LoginCode | None = None
    reset: bool = False  # nothing of what was before is left
