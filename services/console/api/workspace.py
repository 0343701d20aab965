"""`/api/v1`: what holds for the whole workspace."""

from typing import Annotated

from pydantic import AfterValidator, Field

from services.console.api.operations import Body, Call, Operation, Shown
from services.console.domain.tokens import Scope
from services.console.domain.zones import known_zone


class WorkspaceShown(Shown):
    """The token's workspace."""

    id: str
    name: str
    timezone: str = Field(description="in which Analytics cuts the days, an IANA name")


class WorkspaceChange(Body):
    """What is to be changed."""

    timezone: Annotated[str, AfterValidator(known_zone)] = Field(
        max_length=64, description="an IANA name, such as Europe/Berlin"
    )


async def show_workspace(call: Call) -> WorkspaceShown:
    workspace = call.caller.workspace
    return WorkspaceShown(id=workspace.id, name=workspace.name, timezone=workspace.timezone)


async def change_workspace(call: Call) -> WorkspaceShown:
    change: WorkspaceChange = call.body
    workspace = call.caller.workspace
    await call.accounts.change_timezone(call.caller.actor, change.timezone)
    return WorkspaceShown(id=workspace.id, name=workspace.name, timezone=change.timezone)


WORKSPACE_OPERATIONS = (
    Operation(
        "GET",
        "/workspace",
        "getWorkspace",
        "Show the workspace and its time zone",
        "Account",
        None,
        show_workspace,
        WorkspaceShown,
    ),
    Operation(
        "PATCH",
        "/workspace",
        "changeWorkspace",
        "Choose the time zone of the workspace's days",
        "Account",
        Scope.WORKSPACE_WRITE,
        change_workspace,
        WorkspaceShown,
        body=WorkspaceChange,
    ),
)
