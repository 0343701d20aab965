"""The world and what can happen in it. Every method is O(1) in people, threads and messages."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar

from pydantic import TypeAdapter

from simulator.ids import Ids
from simulator.world.facebook import User
from simulator.world.limits import PageLimits
from simulator.world.logins import Logins
from simulator.world.model import (
    DEFAULT_FIELDS,
    DETAILED_MESSAGES,
    FIELDS,
    INBOX_APP_ID,
    KEPT_MESSAGES,
    TYPING_FADES_MS,
    Behaviour,
    Change,
    Message,
    Page,
    Person,
    ProfileState,
    Thread,
    WorldState,
)
from simulator.world.sending import Send
from simulator.world.units import Milliseconds, TokenState

T = TypeVar("T")
FORGOTTEN_AT_ONCE = 500
_STATE = TypeAdapter(WorldState)
_THREAD_MARKS = (
    "last_user_action_at",
    "typing_until",
    "seen_at",
    "delivered_watermark",
    "read_watermark",
    "owner",
)
_PAGE_MARKS = (
    "name",
    "access_token",
    "token_state",
    "behaviour",
    "subscribed_fields",
    "messenger_profile",
)


class NotInWorldError(Exception):
    """Something that was named does not exist. `field` is what named it."""

    def __init__(self, field: str, value: str) -> None:
        super().__init__(f"{field}: there is no {value!r}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Said:
    """What a person writes."""

    text: str | None = None
    attachments: list[dict[str, Any]] | None = None
    quick_reply: str | None = None
    reply_to: str | None = None


class World:
    """Pages, their people and their threads."""

    def __init__(self, state: WorldState | None = None, random: Random | None = None) -> None:
        self._state = state or WorldState()
        self.ids = Ids(random or Random())
        self.logins = Logins(self._state.facebook, self.ids)
        self._index()

    @classmethod
    def load(cls, document: bytes) -> "World":
        """Raises: ValidationError: the document is not what `dump` made."""
        return cls(_STATE.validate_json(document))

    def dump(self, journal: int = 0) -> bytes:
        """All of it; `journal` is the number of the journal with what changes from now on."""
        self._state.journal = journal
        return _STATE.dump_json(self._state, exclude_defaults=True)

    @property
    def journal(self) -> int:
        """Which journal goes on where the loaded document ends."""
        return self._state.journal

    def clear(self) -> None:
        self._state.pages.clear()
        self.logins.clear()
        self._index()

    def _index(self) -> None:
        self._tokens = {page.access_token: page for page in self.pages}
        self._limits: dict[str, PageLimits] = {}
        self._threads_by_id: dict[str, tuple[Page, str]] = {}
        self._mids: dict[str, tuple[Page, str, int]] = {}
        for page in self.pages:
            for psid, thread in page.threads.items():
                self._threads_by_id[thread.id] = (page, psid)
                for position, message in enumerate(thread.messages, start=thread.forgotten):
                    self._mids[message.mid] = (page, psid, position)

    # What there is

    @property
    def pages(self) -> list[Page]:
        return list(self._state.pages.values())

    def page(self, page_id: str) -> Page:
        """Raises: NotInWorldError."""
        return _found(self._state.pages.get(page_id), "page", page_id)

    def find_page(self, page_id: str) -> Page | None:
        return self._state.pages.get(page_id)

    def page_of_token(self, token: str) -> Page | None:
        """The Page whose token it is, be it the Page's first one or one of a login."""
        if (page := self._tokens.get(token)) is not None:
            return page
        login = self.logins.find(token)
        return self.find_page(login.page_id) if login is not None and login.page_id else None

    def user(self, user_id: str) -> User:
        """Raises: NotInWorldError."""
        return _found(self.logins.find_user(user_id), "user", user_id)

    def pages_of(self, user: User) -> list[Page]:
        """Those that the user has a role on."""
        return [page for page in self.pages if page.id in user.roles]

    def person(self, page: Page, psid: str) -> Person:
        """Raises: NotInWorldError."""
        return _found(page.people.get(psid), "psid", psid)

    def name_for_app(self, person: Person) -> str:
        """What the app calls the person: they get an app-scoped id when it first hears of it."""
        person.user_id = person.user_id or self.ids.user()
        return person.user_id

    def people_of(self, user_id: str) -> list[tuple[Page, Person]]:
        """Who this user is on the Pages. O(people): nobody asks for it often."""
        return [
            (page, person)
            for page in self.pages
            for person in page.people.values()
            if person.user_id == user_id
        ]

    def thread(self, page: Page, psid: str) -> Thread:
        """The thread with a person of the Page, which may be empty."""
        self.person(page, psid)
        if psid not in page.threads:
            thread = page.threads[psid] = Thread(self.ids.thread())
            self._threads_by_id[thread.id] = (page, psid)
        return page.threads[psid]

    def thread_by_id(self, thread_id: str) -> tuple[Page, str] | None:
        return self._threads_by_id.get(thread_id)

    def message(self, mid: str) -> tuple[Page, str, Message] | None:
        if (place := self._mids.get(mid)) is None:
            return None
        page, psid, position = place
        thread = page.threads[psid]
        return page, psid, thread.messages[position - thread.forgotten]

    def is_detailed(self, mid: str) -> bool:
        """Meta tells details of the newest messages of a thread only."""
        page, psid, position = self._mids[mid]
        thread = page.threads[psid]
        return position >= thread.forgotten + len(thread.messages) - DETAILED_MESSAGES

    def limits(self, page: Page) -> PageLimits:
        return self._limits.setdefault(page.id, PageLimits())

    # What the simulated Facebook user sets up

    def add_page(self, name: str, *, subscribed: bool = True) -> Page:
        page = Page(self.ids.page(), name, self.ids.token())
        page.subscribed_fields = DEFAULT_FIELDS if subscribed else ()
        self._state.pages[page.id] = page
        self._tokens[page.access_token] = page
        return page

    def add_person(
        self,
        page: Page,
        first_name: str,
        last_name: str,
        *,
        profile_pic: str | None = None,
        has_role: bool = False,
        profile: ProfileState = "open",
    ) -> Person:
        person = Person(
            self.ids.psid(),
            first_name,
            last_name,
            profile_pic,
            has_role=has_role,
            profile=profile,
        )
        page.people[person.psid] = person
        return person

    def set_token(self, page: Page, state: TokenState) -> None:
        """All tokens of the Page that there are; those of later logins are not touched."""
        page.token_state = state
        self.logins.set_tokens(state, page_id=page.id)

    def set_messenger_profile(self, page: Page, profile: dict[str, Any]) -> None:
        page.messenger_profile = profile

    def set_behaviour(self, page: Page, behaviour: Behaviour) -> None:
        page.behaviour = behaviour

    def subscribe(self, page: Page, fields: tuple[str, ...]) -> None:
        """The webhook fields of the Page; none of them means unsubscribed."""
        page.subscribed_fields = fields

    @property
    def subscribed_fields_of_app(self) -> frozenset[str]:
        """The webhook fields that the app hears of at all, of whichever Page."""
        fields = self.logins.app.fields
        return FIELDS if fields is None else frozenset(fields)

    # What people do

    def write(self, page: Page, psid: str, said: Said, at: Milliseconds) -> Message:
        """The person writes; the messaging window opens anew."""
        message = Message(
            self.ids.mid(),
            "person",
            at,
            text=said.text,
            attachments=said.attachments,
            quick_reply=said.quick_reply,
            reply_to=said.reply_to,
        )
        self._add(page, psid, message)
        self._acted(page, psid, at)
        return message

    def tap(self, page: Page, psid: str, title: str, payload: str, at: Milliseconds) -> Message:
        """The person taps a button such as Get Started; this opens the window as well."""
        message = Message(self.ids.mid(), "person", at, text=title, postback=payload)
        self._add(page, psid, message)
        self._acted(page, psid, at)
        return message

    def react(
        self, page: Page, psid: str, mid: str, emoji: str | None, at: Milliseconds
    ) -> Message:
        """The person reacts to a message, or takes it back with None.

        Raises:
            NotInWorldError: there is no such message in this thread.
        """
        found = self.message(mid)
        if found is None or found[0] is not page or found[1] != psid:
            raise NotInWorldError("mid", mid)
        found[2].reaction = emoji
        self._acted(page, psid, at)
        return found[2]

    def read(self, page: Page, psid: str, at: Milliseconds) -> Thread:
        """The person has seen everything there is; what is read has been delivered."""
        thread = self.thread(page, psid)
        thread.read_watermark = max(thread.read_watermark, at)
        thread.delivered_watermark = max(thread.delivered_watermark, at)
        return thread

    # What the Page does

    def accept(self, page: Page, send: Send, app_id: str, now: Milliseconds) -> Message:
        """Put an accepted send into the thread; the typing dots end with it."""
        message = Message(
            self.ids.mid(),
            "page",
            now,
            text=send.text,
            attachments=send.attachments,
            quick_replies=send.quick_replies,
            reply_to=send.reply_to,
            messaging_type=send.messaging_type,
            tag=send.tag,
            metadata=send.metadata,
            app_id=app_id,
        )
        self._add(page, send.person.psid, message).typing_until = 0
        return message

    def act(self, page: Page, send: Send, now: Milliseconds) -> Thread:
        """Carry out a sender action."""
        thread = self.thread(page, send.person.psid)
        if send.action == "mark_seen":
            thread.seen_at = now
        else:
            thread.typing_until = now + TYPING_FADES_MS if send.action == "typing_on" else 0
        return thread

    def write_in_inbox(self, page: Page, psid: str, text: str, now: Milliseconds) -> Message:
        """Somebody answers in the Page's own inbox, and so has seen the thread."""
        message = Message(self.ids.mid(), "page", now, text=text, app_id=INBOX_APP_ID)
        thread = self._add(page, psid, message)
        thread.typing_until = 0
        thread.seen_at = now
        return message

    def own(self, page: Page, psid: str, owner: str | None) -> Thread:
        """Give the thread to another app, or with None to ours; typing dots end with it."""
        thread = self.thread(page, psid)
        thread.owner = owner
        if owner is not None:
            thread.typing_until = 0
        return thread

    def deliver(self, page: Page, psid: str, message: Message) -> Thread:
        """The person's device has got a message of the Page."""
        thread = self.thread(page, psid)
        thread.delivered_watermark = max(thread.delivered_watermark, message.at)
        return thread

    def _add(self, page: Page, psid: str, message: Message) -> Thread:
        thread = self.thread(page, psid)
        self._mids[message.mid] = (page, psid, thread.forgotten + len(thread.messages))
        thread.messages.append(message)
        if len(thread.messages) >= KEPT_MESSAGES + FORGOTTEN_AT_ONCE:
            for old in thread.messages[:FORGOTTEN_AT_ONCE]:
                del self._mids[old.mid]
            del thread.messages[:FORGOTTEN_AT_ONCE]
            thread.forgotten += FORGOTTEN_AT_ONCE
        return thread

    def _acted(self, page: Page, psid: str, at: Milliseconds) -> None:
        thread = page.threads[psid]
        thread.last_user_action_at = max(thread.last_user_action_at or 0, at)

    # What a journal tells

    def apply(self, change: Change) -> None:
        """Make the change once more; what it is about may be gone meanwhile."""
        if change.reset:
            self.clear()
        self.logins.apply(change)
        if change.page is not None:
            self._apply_page(change.page)
        page = self.find_page(change.page_id) if change.page_id else None
        if page is None:
            return
        if change.person is not None:
            page.people[change.person.psid] = change.person
        if change.psid in page.people and change.thread is not None:
            self._apply_thread(page, change.psid, change.thread, change.message)

    def _apply_page(self, told: Page) -> None:
        page = self._state.pages.setdefault(told.id, told)
        for name in _PAGE_MARKS:
            setattr(page, name, getattr(told, name))
        self._tokens[page.access_token] = page

    def _apply_thread(self, page: Page, psid: str, told: Thread, message: Message | None) -> None:
        if psid not in page.threads:
            page.threads[psid] = Thread(told.id)
            self._threads_by_id[told.id] = (page, psid)
        thread = page.threads[psid]
        for name in _THREAD_MARKS:
            setattr(thread, name, getattr(told, name))
        if message is None:
            return
        if message.mid in self._mids:
            position = self._mids[message.mid][2] - thread.forgotten
            thread.messages[position] = message
        else:
            self._add(page, psid, message)


def page_change(page: Page) -> Change:
    return Change(page=replace(page, people={}, threads={}))


def person_change(page: Page, person: Person) -> Change:
    return Change(page_id=page.id, person=person)


def thread_change(page: Page, psid: str, message: Message | None = None) -> Change:
    """The thread's marks, and one message of it that is new or has changed."""
    thread = replace(page.threads[psid], messages=[])
    return Change(page_id=page.id, psid=psid, thread=thread, message=message)


def _found(thing: T | None, field: str, value: str) -> T:
    if thing is None:
        raise NotInWorldError(field, value)
    return thing


def fresh_world() -> World:
    """What a first start finds: a connected Page and two people who have not written yet."""
    world = World()
    page = world.add_page("Corner Bakery")
    world.set_messenger_profile(page, {"get_started": {"payload": "GET_STARTED"}})
    add_usual_users(world)
    world.add_person(page, "Mia", "Torres", has_role=True)
    world.add_person(page, "Jonas", "Weber")
    return world


def add_usual_users(world: World) -> None:
    """Three who could log in: who owns all Pages, who may only look at them, who has none."""
    owner = world.logins.add_user("Alex Morgan", "admin")
    analyst = world.logins.add_user("Sam Rivera")
    for page in world.pages:
        world.logins.set_role(owner, page.id, "admin")
        world.logins.set_role(analyst, page.id, "analyst")
    world.logins.add_user("Noor Haddad")
