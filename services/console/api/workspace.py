"""`/api/v1`: what holds for the whole workspace."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from libs.common.retention import LONGEST_DAYS, SHORTEST_DAYS
from services.console.api.operations import Body, Call, Operation, Shown
from services.console.domain.tokens import Scope
from services.console.domain.zones import known_zone
from services.console.records import Workspace
from services.console.web.access import ScopeNeededError


class WorkspaceShown(Shown):
    """The token's workspace."""

    id: str
    name: str
    timezone: str = Field(description="in which Analytics cuts the days, an IANA name")
    keep_messages_days: int | None = Field(
        description="for how many days messages are kept; null: for ever"
    )


class WorkspaceChange(Body):
    """What is to be changed; what is left out stays as it is."""

    timezone: Annotated[str, AfterValidator(known_zone)] | None = Field(
        None, max_length=64, description="an IANA name, such as Europe/Berlin"
    )
    keep_messages_days: int | None = Field(
        None,
        ge=SHORTEST_DAYS,
        le=LONGEST_DAYS,
        description="older messages are deleted within the hour, for good; null: kept for ever. "
        "Needs the scope people:erase as well",
    )

    @model_validator(mode="after")
    def _is_something(self) -> "WorkspaceChange":
        if not self.model_fields_set:
            raise ValueError("name what is to be changed: timezone or keep_messages_days")
        if "timezone" in self.model_fields_set and self.timezone is None:
            raise ValueError("timezone can't be null")
        return self


async def show_workspace(call: Call) -> WorkspaceShown:
    return _shown(call.caller.workspace)


async def change_workspace(call: Call) -> WorkspaceShown:
    change: WorkspaceChange = call.body
    workspace, actor = call.caller.workspace, call.caller.actor
    changes_keeping = "keep_messages_days" in change.model_fields_set
    if changes_keeping and not call.caller.may(Scope.PEOPLE_ERASE):
        raise ScopeNeededError(Scope.PEOPLE_ERASE)  # before anything is done
    if change.timezone is not None:
        await call.accounts.change_timezone(actor, change.timezone)
    if changes_keeping:
        await call.accounts.change_keep_messages(actor, change.keep_messages_days)
    return _shown(workspace.model_copy(update=change.model_dump(exclude_unset=True)))


def _shown(workspace: Workspace) -> WorkspaceShown:
    return WorkspaceShown(
        id=workspace.id,
        name=workspace.name,
        timezone=workspace.timezone,
        keep_messages_days=workspace.keep_messages_days,
    )


WORKSPACE_OPERATIONS = (
    Operation(
        "GET",
        "/workspace",
        "getWorkspace",
        "Show the workspace: its time zone, and how long it keeps messages",
        "Account",
        None,
        show_workspace,
        WorkspaceShown,
    ),
    Operation(
        "PATCH",
        "/workspace",
        "changeWorkspace",
        "Choose the time zone of the workspace's days, or for how long messages are kept",
        "Account",
        Scope.WORKSPACE_WRITE,
        change_workspace,
        WorkspaceShown,
        body=WorkspaceChange,
    ),
)
