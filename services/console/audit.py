"""The audit log: who did what, when, and what became of it.

An entry is written before the thing is done and completed afterwards. So nothing is done that isn't
there, and one that a crash left at `begun` says honestly that it may have been.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.common.errors import ProjectError
from libs.common.mongo import Database, mongo_errors
from libs.common.paging import After, behind
from services.console.domain.roles import Role
from services.console.domain.tokens import new_id
from services.console.records import AuditEntry

Clock = Callable[[], datetime]

ACTIONS: Mapping[str, str] = {
    "workspace.created": "Created the workspace",
    "workspace.timezone_changed": "Changed the workspace's time zone",
    "workspace.keep_messages_changed": "Changed for how long messages are kept",
    "session.started": "Signed in",
    "session.ended": "Signed out",
    "session.ended_everywhere": "Signed out everywhere",
    "password.changed": "Changed their password",
    "password.chosen": "Chose a password by a one-time link",
    "profile.changed": "Changed their name",
    "user.invited": "Invited a user",
    "user.role_changed": "Changed a user's role",
    "user.disabled": "Disabled a user",
    "user.enabled": "Enabled a user",
    "user.link_made": "Made a one-time link for a user",
    "api_token.created": "Made an API token",
    "api_token.revoked": "Revoked an API token",
    "assistant.created": "Made an assistant",
    "assistant.changed": "Changed an assistant",
    "assistant.deleted": "Deleted an assistant",
    "assistant.tried": "Tried an assistant",
    "channel.connected": "Connected a Page",
    "channel.reconnected": "Connected a Page again",
    "channel.disconnected": "Disconnected a Page",
    "conversation.taken_over": "Took a conversation over",
    "conversation.extended": "Changed when the assistant returns",
    "conversation.resumed": "Returned a conversation to the assistant",
    "conversation.written_in": "Wrote to a person",
    "conversation.done": "Marked a conversation as done",
    "conversation.reopened": "Opened a conversation again",
    "person.erased": "Had a person's data erased",
    "person.exported": "Downloaded what is stored about a person",
    "channel.paused": "Paused the assistant on a Page",
    "channel.resumed": "Resumed the assistant on a Page",
    "channel.settings_changed": "Changed a Page's settings",
    "channel.profile_written": "Wrote greeting and Get Started to Facebook again",
    "delivery.sent_again": "Had a message sent again",
    "delivery.discarded": "Discarded a message that was held or had failed",
    "dead_letter.replayed": "Replayed a dead letter",
    "dead_letter.discarded": "Discarded a dead letter",
}
"""Every action, and how the log tells it."""


@dataclass(frozen=True)
class Actor:
    """Who acts, on behalf of which workspace, from where."""

    account_id: str
    email: str
    workspace_id: str
    role: Role
    address: str = ""
    via: str | None = None  # name of the API token
    name: str = ""

    @property
    def shown_name(self) -> str:
        """As others in the workspace know them."""
        return self.name or self.email


class AuditLog:
    """Collection `audit`: entries are added and completed, never changed or removed."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._audit = database["audit"]
        self._clock = clock

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._audit.create_index([("workspace_id", 1), ("at", -1), ("_id", -1)])

    @asynccontextmanager
    async def doing(
        self,
        actor: Actor,
        action: str,
        *,
        target: str | None = None,
        target_id: str | None = None,
        **details: Any,  # noqa: ANN401 - what a document can hold
    ) -> AsyncIterator[None]:
        """Around what is done. An error of ours is a refusal and is noted with its code."""
        entry = AuditEntry(
            id=new_id("aud"),
            workspace_id=actor.workspace_id,
            at=self._clock(),
            account_id=actor.account_id,
            who=actor.email,
            via=actor.via,
            address=actor.address,
            action=action,
            target=target,
            target_id=target_id,
            details=details,
        )
        if action not in ACTIONS:
            raise ValueError(f"{action} is missing in ACTIONS")
        with mongo_errors():
            await self._audit.insert_one(entry.to_document())
        try:
            yield
        except ProjectError as error:
            await self._complete(entry.id, "refused", error.code)
            raise
        await self._complete(entry.id, "done", None)

    async def entries(self, workspace_id: str, after: After | None, limit: int) -> list[AuditEntry]:
        """The latest first."""
        wanted = {"workspace_id": workspace_id, **behind("at", after)}
        with mongo_errors():
            found = await self._audit.find(wanted).sort([("at", -1), ("_id", -1)]).to_list(limit)
        return [AuditEntry.model_validate(each) for each in found]

    async def _complete(self, entry_id: str, outcome: str, reason: str | None) -> None:
        with mongo_errors():
            await self._audit.update_one(
                {"_id": entry_id}, {"$set": {"outcome": outcome, "reason": reason}}
            )
