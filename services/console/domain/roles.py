"""Who may do what in a workspace, and that somebody always can."""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from libs.common.errors import PermanentError


class Role(StrEnum):
    """What somebody may do."""

    ADMIN = "admin"
    MEMBER = "member"

    @property
    def label(self) -> str:
        return self.value.capitalize()


class LastAdminError(PermanentError):
    """Afterwards nobody could manage the workspace."""

    code = "last_admin"


class OwnAccountError(PermanentError):
    """Somebody else has to do this: whoever errs about themselves is out."""

    code = "own_account"


class UnknownMemberError(PermanentError):
    """There is nobody with this id in the workspace."""

    code = "not_found"


class Member(BaseModel):
    """Somebody's place in a workspace."""

    model_config = ConfigDict(frozen=True)

    role: Role
    disabled: bool = False

    @property
    def is_active_admin(self) -> bool:
        return self.role is Role.ADMIN and not self.disabled


Roster = Mapping[str, Member]
"""The members of one workspace, by account id."""


def member(roster: Roster, account_id: str) -> Member:
    """Raises: UnknownMemberError: they don't belong to this workspace."""
    try:
        return roster[account_id]
    except KeyError:
        raise UnknownMemberError("there is no such user") from None


def changed(
    roster: Roster,
    account_id: str,
    *,
    by: str,
    role: Role | None = None,
    disabled: bool | None = None,
    signs_in: frozenset[str],
) -> Member:
    """What a member becomes.

    Args:
        by: the account that asks for it.
        signs_in: accounts that can sign in: an invitation nobody has followed manages nothing.

    Raises:
        UnknownMemberError: they don't belong to this workspace.
        OwnAccountError: they would disable themselves, or give up their own role.
        LastAdminError: no administrator who can sign in would be left.
    """
    before = member(roster, account_id)
    after = Member(
        role=before.role if role is None else role,
        disabled=before.disabled if disabled is None else disabled,
    )
    if after == before:
        return before
    if account_id == by and before.is_active_admin and not after.is_active_admin:
        raise OwnAccountError("ask another administrator: nobody takes this away from themselves")
    others = any(
        other.is_active_admin and each in signs_in
        for each, other in roster.items()
        if each != account_id
    )
    if before.is_active_admin and not after.is_active_admin and not others:
        raise LastAdminError("this is the only administrator: make somebody else one first")
    return after
