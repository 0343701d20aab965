"""Assistants of a workspace: made, changed, given a key, deleted.

An assistant and the Pages that use it are different documents, so a change is written first and
told afterwards. Who isn't told, since we died in between, learns it when what it keeps is too old:
after `CACHE_S`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.channels import Assistant, Change
from libs.common.crypto import KeyRing
from libs.common.errors import PermanentError
from libs.common.outbound import Inside
from services.console.assistants_store import AssistantStore
from services.console.audit import Actor, AuditLog, Clock
from services.console.connecting import news_of
from services.console.domain.assistants import (
    CONNECTION,
    MOST_ASSISTANTS,
    WrongSettingError,
    keeps_key,
    settled,
    takes_key,
    told,
)
from services.console.domain.tokens import new_id
from services.console.records import ConnectedChannel

ATTEMPTS = 4

IsExpected = Callable[[Assistant], bool]


class UnknownAssistantError(PermanentError):
    """There is no such assistant in the workspace."""

    code = "not_found"


class AssistantChangedError(PermanentError):
    """Somebody else has changed it since it was looked at. `now` is what it has become."""

    code = "changed_meanwhile"

    def __init__(self, now: Assistant) -> None:
        super().__init__("somebody else has changed this assistant meanwhile")
        self.now = now


class AssistantInUseError(PermanentError):
    """Pages use it."""

    code = "in_use"

    def __init__(self, pages: Sequence[ConnectedChannel]) -> None:
        names = ", ".join(f"“{page.page_name}”" for page in pages)
        super().__init__(f"it answers on {names}: give these Pages another assistant first")
        self.pages = tuple(pages)


class TooManyAssistantsError(PermanentError):
    """The workspace has as many as it may have."""

    code = "too_many_assistants"


class NoKeyTakenError(PermanentError):
    """Its provider takes no key."""

    code = "no_key_taken"


@dataclass(frozen=True)
class UsedAssistant:
    """An assistant and the Pages that it answers on, by name."""

    assistant: Assistant
    pages: tuple[ConnectedChannel, ...]


@dataclass(frozen=True)
class Saved:
    """What became of a change; whether a stored key was for elsewhere, and is forgotten."""

    assistant: Assistant
    key_dropped: bool


class Assistants:
    """The assistants of one installation."""

    def __init__(
        self,
        store: AssistantStore,
        keys: KeyRing,
        inside: Inside,
        audit: AuditLog,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        """`inside`: hosts that may be asked besides public ones. `wake`: there are news."""
        self._store = store
        self._keys = keys
        self._inside = inside
        self._audit = audit
        self._clock = clock
        self._wake = wake

    async def all(self, workspace_id: str) -> list[UsedAssistant]:
        """In the order of their names."""
        found = await self._store.of_workspace(workspace_id)
        pages = await self._store.pages(workspace_id)
        shown = [UsedAssistant(each, _using(each, pages)) for each in found]
        return sorted(shown, key=lambda each: (each.assistant.name.casefold(), each.assistant.id))

    async def used(self, workspace_id: str, assistant_id: str) -> UsedAssistant:
        """Raises: UnknownAssistantError: not in this workspace."""
        assistant = await self.assistant(workspace_id, assistant_id)
        return UsedAssistant(assistant, _using(assistant, await self._store.pages(workspace_id)))

    async def assistant(self, workspace_id: str, assistant_id: str) -> Assistant:
        """Raises: UnknownAssistantError: not in this workspace."""
        found = await self._store.assistant(assistant_id)
        if found is None or found.workspace_id != workspace_id:
            raise UnknownAssistantError("there is no such assistant in the workspace")
        return found

    async def create(self, actor: Actor, values: Mapping[str, Any]) -> Assistant:
        """A new one, which answers nowhere yet.

        Args:
            values: `name`, and what else is known of it.

        Raises:
            WrongSettingError: it can't be used like this.
            TooManyAssistantsError: there are enough.
        """
        blank = Assistant(
            id=new_id("ast"),
            workspace_id=actor.workspace_id,
            name=values["name"],
            system_prompt="",
            version=1,
            changed=self._change(actor),
        )
        async with self._audit.doing(
            actor, "assistant.created", target=blank.name, target_id=blank.id
        ):
            assistant = settled(blank.model_copy(update=dict(values)), self._inside)
            if len(await self._store.of_workspace(actor.workspace_id)) >= MOST_ASSISTANTS:
                raise TooManyAssistantsError(f"there are {MOST_ASSISTANTS}: delete one first")
            await self._store.add(assistant)
        return assistant

    async def change(
        self,
        actor: Actor,
        assistant_id: str,
        changes: Mapping[str, Any],
        *,
        key: str | None = None,
        expected: IsExpected = lambda assistant: True,
    ) -> Saved:
        """Change what is named, and store `key` for the place that it is then sent to.

        Args:
            expected: whether the assistant is still what the change was made for.

        Raises:
            UnknownAssistantError: not in this workspace.
            AssistantChangedError: it is not, or others change it without end.
            WrongSettingError: it can't be used like this.
        """
        before = await self.assistant(actor.workspace_id, assistant_id)
        outlook = self._changed(actor, before, changes, key)
        async with self._audit.doing(
            actor,
            "assistant.changed",
            target=before.name,
            target_id=before.id,
            **told(before, outlook),
        ):
            for _ in range(ATTEMPTS):
                if not expected(before):
                    break
                after = self._changed(actor, before, changes, key)
                if await self._store.replace(before, after):
                    await self._tell(after)
                    dropped = before.api_key is not None and after.api_key is None
                    return Saved(after, dropped)
                before = await self.assistant(actor.workspace_id, assistant_id)
            raise AssistantChangedError(before)

    async def store_key(self, actor: Actor, assistant_id: str, key: str) -> Assistant:
        """Raises: UnknownAssistantError, NoKeyTakenError, AssistantChangedError."""
        before = await self.assistant(actor.workspace_id, assistant_id)
        if not takes_key(before):
            raise NoKeyTakenError("the assistant's provider takes no key: choose one that does")
        place = before.key_context
        saved = await self.change(
            actor, assistant_id, {}, key=key, expected=lambda now: now.key_context == place
        )
        return saved.assistant

    async def forget_key(self, actor: Actor, assistant_id: str) -> Assistant:
        """Raises: UnknownAssistantError, AssistantChangedError."""
        return (await self.change(actor, assistant_id, {"api_key": None})).assistant

    async def remove(self, actor: Actor, assistant_id: str) -> Assistant:
        """Delete one that answers nowhere.

        Raises:
            UnknownAssistantError: not in this workspace.
            AssistantInUseError: Pages use it.
            AssistantChangedError: somebody is changing it at this moment.
        """
        used = await self.used(actor.workspace_id, assistant_id)
        assistant = used.assistant
        async with self._audit.doing(
            actor, "assistant.deleted", target=assistant.name, target_id=assistant.id
        ):
            if used.pages:
                raise AssistantInUseError(used.pages)
            if not await self._store.remove(assistant):
                raise AssistantChangedError(assistant)
            # somebody may have given it a Page between our look and the end
            now = _using(assistant, await self._store.pages(actor.workspace_id))
            if now:
                await self._store.add(assistant)
                raise AssistantInUseError(now)
        return assistant

    def draft(
        self, actor: Actor, stored: Assistant, changes: Mapping[str, Any], key: str | None
    ) -> dict[str, Any]:
        """What is to be tried instead of what is stored; a key goes encrypted, as it is stored.

        Raises:
            WrongSettingError: it can't be used like this.
        """
        wanted = self._changed(actor, stored, changes, key)
        names = ("system_prompt", "knowledge", "provider", "model", "base_url")
        draft = {name: getattr(wanted, name) for name in names}
        return draft if wanted.api_key == stored.api_key else draft | {"api_key": wanted.api_key}

    def _changed(
        self, actor: Actor, before: Assistant, changes: Mapping[str, Any], key: str | None
    ) -> Assistant:
        after = before.model_copy(update=dict(changes))
        if CONNECTION & changes.keys():
            # else an address that may not be asked any more would hold back all other changes
            after = settled(after, self._inside)
        update: dict[str, Any] = {"version": before.version + 1, "changed": self._change(actor)}
        if key is not None:
            if not takes_key(after):
                raise WrongSettingError("api_key", "This provider takes no key.")
            sealed = self._keys.encrypt(key, context=after.key_context)
            update |= {"api_key": sealed, "api_key_at": self._clock()}
        elif after.api_key is None or not keeps_key(before, after):
            update |= {"api_key": None, "api_key_at": None}
        return after.model_copy(update=update)

    def _change(self, actor: Actor) -> Change:
        return Change(by=actor.account_id, by_name=actor.email, at=self._clock())

    async def _tell(self, assistant: Assistant) -> None:
        """Every Page that uses it is news to who keeps it in memory."""
        now = self._clock()
        pages = _using(assistant, await self._store.pages(assistant.workspace_id))
        for page in pages:
            news = news_of("channel.updated", page.id, now)
            await self._store.leave_news(page.id, assistant.id, news)
        if pages:
            self._wake()


def _using(assistant: Assistant, pages: Sequence[ConnectedChannel]) -> tuple[ConnectedChannel, ...]:
    using = [page for page in pages if page.assistant_id == assistant.id]
    return tuple(sorted(using, key=lambda page: (page.page_name.casefold(), page.id)))
