"""The simulator: the world together with what goes out of it, webhooks and live updates."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from simulator import shown
from simulator.callbacks import Callbacks
from simulator.calls import FILE_NAME as CALLS_FILE_NAME
from simulator.calls import CallLog
from simulator.completions import SimulatedModel
from simulator.faults import Faults
from simulator.live import Hub
from simulator.settings import Settings
from simulator.signing import wire_body
from simulator.store import FILE_NAME, Store, load_world
from simulator.webhooks import Webhook, WebhookSender
from simulator.world import notifications
from simulator.world.facebook import User
from simulator.world.model import INBOX_APP_ID, Change, Message, Page, Person, Thread
from simulator.world.notifications import Handover
from simulator.world.sending import Send, is_reachable
from simulator.world.units import Milliseconds
from simulator.world.world import Said, World, page_change, person_change, thread_change

HANDOVERS = "messaging_handovers"


def now_ms() -> Milliseconds:
    return time.time_ns() // 1_000_000


class Simulator:
    """What people and the Page do, and what the app hears of it."""

    def __init__(
        self,
        settings: Settings,
        world: World | None = None,
        *,
        clock: Callable[[], Milliseconds] = now_ms,
    ) -> None:
        self.app_id = settings.facebook_app_id
        self.app_secret = settings.facebook_app_secret.get_secret_value()
        self.verify_token = settings.webhook_verify_token.get_secret_value()
        listening_at = f"http://{settings.http.host}:{settings.http.port}"
        self.base_url = settings.simulator_url or listening_at
        self.now = clock
        path = settings.state_dir / FILE_NAME
        self.media_dir = settings.state_dir / "simulator-media"
        self.world = world or load_world(path)
        self.calls = CallLog(settings.state_dir / CALLS_FILE_NAME)
        self.faults, self.model, self.hub = Faults(), SimulatedModel(), Hub()
        self.default_callback_url = settings.webhook_target_url
        self.webhooks = WebhookSender(
            self.default_callback_url, self.app_secret, on_unsubscribed=self._unsubscribed
        )
        self.callbacks = Callbacks(self.webhooks)
        self._store = Store(path, self.world)
        self.world.logins.keep = self._store.keep
        self._point_webhooks()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Webhooks go out and the world is saved inside the block."""
        self.world.logins.forget_old(self.now())
        self._store.open()
        self.calls.open()
        await self.webhooks.open()
        saving = asyncio.create_task(self._store.run(), name="save-world")
        try:
            self._resume()
            yield
        finally:
            saving.cancel()
            with suppress(asyncio.CancelledError):
                await saving
            await self.callbacks.close()
            await self.webhooks.close()
            self.calls.close()
            self._store.close()

    def page_changed(self, page: Page) -> None:
        """Call it after every change of a Page itself: it is on the disk then."""
        self._store.keep(page_change(page))

    def page_writes_profile(self, page: Page, profile: dict[str, Any]) -> None:
        """What the Page shows before the first message; open chat pages show it at once."""
        self.world.set_messenger_profile(page, profile)
        self.page_changed(page)
        self.hub.tell_all(topic(page, ""), "profile", profile)

    def person_changed(self, page: Page, person: Person) -> None:
        self._store.keep(person_change(page, person))

    def _thread_changed(self, page: Page, psid: str, message: Message | None = None) -> None:
        self._store.keep(thread_change(page, psid, message))

    def reset_app_secret(self) -> str:
        """A new one, as in the app's dashboard: from now on the old one is worth nothing.

        Until this process ends: the next one has what its environment says.
        """
        self.app_secret = self.webhooks.app_secret = secrets.token_hex(16)
        return self.app_secret

    async def reset(self) -> None:
        """An empty world: no Page, no call, no fault, nothing on its way."""
        self.world.clear()
        self._store.keep(Change(reset=True))
        self._point_webhooks()
        self.calls.clear()
        self.faults.clear()
        self.model.clear()
        self.hub.close()
        await self.webhooks.clear()

    # The app and its users

    def app_changed(self) -> None:
        """Call it after every change of the app: it is on the disk then."""
        self.world.logins.app_changed()
        self._point_webhooks()

    def _point_webhooks(self) -> None:
        self.webhooks.url = self.world.logins.app.callback_url or self.default_callback_url

    def user_removes_app(self, user: User) -> None:
        """Everything the user gave ends, and the app is told in the background."""
        self.world.logins.remove_app(user)
        self.callbacks.tell(self.deauthorize_url, user.id, self.now())

    @property
    def deauthorize_url(self) -> str:
        given = self.world.logins.app.deauthorize_url
        return given or f"{self.default_callback_url}/deauthorize"

    @property
    def data_deletion_url(self) -> str:
        given = self.world.logins.app.data_deletion_url
        return given or f"{self.default_callback_url}/data-deletion"

    # What people do

    def person_writes(
        self, page: Page, psid: str, said: Said, at: Milliseconds, *, copies: int = 1
    ) -> Message:
        self.webhooks.check_room()
        message = self.world.write(page, psid, said, at)
        self._tell_message(page, psid, message)
        self._notify_of(page, psid, message, copies)
        return message

    def person_taps(
        self, page: Page, psid: str, title: str, payload: str, *, copies: int = 1
    ) -> Message:
        self.webhooks.check_room()
        message = self.world.tap(page, psid, title, payload, self.now())
        self._tell_message(page, psid, message)
        self._notify_of(page, psid, message, copies)
        return message

    def person_reads(self, page: Page, psid: str) -> Thread:
        now = self.now()
        thread = self.world.read(page, psid, now)
        self._thread_changed(page, psid)
        element = notifications.read(page, psid, thread, now)
        self._notify(page, psid, "message_reads", element)
        return thread

    def person_reacts(
        self, page: Page, psid: str, mid: str, kind: str, emoji: str | None
    ) -> Message:
        now = self.now()
        message = self.world.react(page, psid, mid, emoji, now)
        self._thread_changed(page, psid, message)
        self.hub.tell(topic(page, psid), "reaction", {"mid": mid, "emoji": emoji})
        element = notifications.reaction(page, psid, mid, kind, emoji, now)
        self._notify(page, psid, "message_reactions", element)
        return message

    # What the Page does

    def page_sends(self, page: Page, send: Send) -> Message:
        message = self.world.accept(page, send, self.app_id, self.now())
        self._page_wrote(page, send.person.psid, message)
        return message

    def page_acts(self, page: Page, send: Send) -> None:
        thread = self.world.act(page, send, self.now())
        self._thread_changed(page, send.person.psid)
        self._tell_state(page, send.person.psid, thread)

    def inbox_writes(self, page: Page, psid: str, text: str) -> Message:
        """Somebody answers in Meta's own inbox: an echo with another app id."""
        if page.behaviour.inbox_takes_control:
            self.thread_goes_to(page, psid, INBOX_APP_ID, "take")
        message = self.world.write_in_inbox(page, psid, text, self.now())
        self._page_wrote(page, psid, message)
        return message

    # Who has the thread

    def thread_goes_to(self, page: Page, psid: str, owner: str | None, how: Handover) -> Thread:
        """Another app has the thread from now on, or ours (None). Nothing happens if it has."""
        thread = self.world.thread(page, psid)
        if thread.owner == owner:
            return thread
        before, after = thread.owner or self.app_id, owner or self.app_id
        thread = self.world.own(page, psid, owner)
        self._thread_changed(page, psid)
        self._tell_state(page, psid, thread)
        element = notifications.handover(page, psid, how, before, after, self.now())
        self._notify(page, psid, HANDOVERS, element)
        return thread

    def control_is_requested(self, page: Page, psid: str, app_id: str) -> None:
        """Another app asks for the thread; who has it decides."""
        self.world.person(page, psid)
        element = notifications.request_for_control(page, psid, app_id, self.now())
        self._notify(page, psid, HANDOVERS, element)

    def _page_wrote(self, page: Page, psid: str, message: Message) -> None:
        """The message, its echo and its receipts, each when the Page's behaviour says."""
        self._tell_message(page, psid, message)
        self._tell_state(page, psid, self.world.thread(page, psid))
        behaviour = page.behaviour
        if (after := behaviour.echoes).enabled:
            element = notifications.echo(page, psid, message)
            self._notify(page, psid, "message_echoes", element, delay_ms=after.delay_ms)
        if (after := behaviour.delivery_receipts).enabled:
            self.world.deliver(page, psid, message)
            element = notifications.delivery(page, psid, message, message.at + after.delay_ms)
            self._notify(page, psid, "message_deliveries", element, delay_ms=after.delay_ms)
        if (after := behaviour.read_receipts).enabled:
            thread = self.world.read(page, psid, message.at)
            element = notifications.read(page, psid, thread, message.at + after.delay_ms)
            self._notify(page, psid, "message_reads", element, delay_ms=after.delay_ms)
        self._thread_changed(page, psid, message)

    # Who hears of it

    def _resume(self) -> None:
        """What the last run could not hand over any more goes out now."""
        waiting = [
            (message.at, page, psid, message)
            for page in self.world.pages
            for psid, thread in page.threads.items()
            for message in thread.messages
            if message.queued
        ]
        for _, page, psid, message in sorted(waiting, key=lambda each: each[0]):
            self._notify_of(page, psid, message)

    def _notify_of(self, page: Page, psid: str, message: Message, copies: int = 1) -> None:
        """Notify of a person's message or tap and mark it once the app has taken it."""

        def done(accepted: bool) -> None:
            message.queued, message.reported = False, accepted
            self._thread_changed(page, psid, message)
            if accepted:
                self.hub.tell(topic(page, psid), "reported", {"mid": message.mid})

        if message.postback is None:
            field, element = "messages", notifications.message(page, psid, message)
        else:
            field, element = "messaging_postbacks", notifications.postback(page, psid, message)
        message.queued = self._notify(page, psid, field, element, copies=copies, on_done=done)
        self._thread_changed(page, psid, message)

    def _notify(
        self,
        page: Page,
        psid: str,
        field: str,
        element: dict[str, Any],
        *,
        delay_ms: int = 0,
        copies: int = 1,
        on_done: Callable[[bool], None] | None = None,
    ) -> bool:
        """A webhook, if Page and app are subscribed to the field and the app may know the person.

        Of a thread that another app has we only hear on standby, which is a field of its own.
        """
        channel: notifications.Channel = "messaging"
        thread = page.threads.get(psid)
        if field != HANDOVERS and thread is not None and thread.owner is not None:
            channel, field, element = "standby", "standby", notifications.overheard(element)
        if field not in page.subscribed_fields or field not in self.world.subscribed_fields_of_app:
            return False
        is_open = self.world.logins.is_open_to_all
        if not is_reachable(page, page.people[psid], app_is_open=is_open):
            return False
        sent_at = self.now() + delay_ms
        body = wire_body(notifications.envelope(page.id, element, sent_at, channel))
        webhook = Webhook(page.id, body, copies, on_done)
        return self.webhooks.send(topic(page, psid), webhook, delay_ms=delay_ms)

    def _unsubscribed(self, page_id: str) -> None:
        if (page := self.world.find_page(page_id)) is not None:
            self.world.subscribe(page, ())
            self.page_changed(page)

    def _tell_message(self, page: Page, psid: str, message: Message) -> None:
        where = topic(page, psid)
        if self.hub.has_listeners(where):
            self.hub.tell(where, "message", shown.message(message))

    def _tell_state(self, page: Page, psid: str, thread: Thread) -> None:
        fades_in_ms = max(0, thread.typing_until - self.now())
        state = {
            "seen_at": thread.seen_at,
            "typing_fades_in_ms": fades_in_ms,
            "owner": shown.owner(thread),
        }
        self.hub.tell(topic(page, psid), "state", state)


def topic(page: Page, psid: str) -> str:
    """What one thread is called inside the simulator."""
    return f"{page.id}:{psid}"
