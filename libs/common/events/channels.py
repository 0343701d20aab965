"""What happened to a connected Page: tells every service to drop what it cached about it."""

from typing import Literal

from pydantic import Field

from libs.common.events.base import Record


class ChannelConnected(Record):
    """A Page was connected, or connected again."""

    type: Literal["channel.connected"] = "channel.connected"


class ChannelUpdated(Record):
    """Settings of a channel or of its assistant changed."""

    type: Literal["channel.updated"] = "channel.updated"


class ChannelDisconnected(Record):
    """The Page is no longer ours; its token is forgotten."""

    type: Literal["channel.disconnected"] = "channel.disconnected"


class ChannelTokenRejected(Record):
    """Meta refused the Page's token, or has barred the Page from sending."""

    type: Literal["channel.token_rejected"] = "channel.token_rejected"
    cause: str = Field(
        description="expired, unknown, unreadable: the channel is Expired; app_removed, "
        "checkpoint, password_changed, unconfirmed_account, invalid, role_lost: Revoked; "
        "page_restricted, app_secret: the connection is good, and Reconnect would not help"
    )
    error_code: int | None = None
    error_subcode: int | None = None


class PageDeauthorized(Record):
    """The person who connected the Page removed the app at Facebook."""

    type: Literal["page.deauthorized"] = "page.deauthorized"
    user_id: str


class PersonDeletionRequested(Record):
    """Meta passes on a person's wish to be forgotten. `page_id` is `*`: it names no page."""

    type: Literal["person.deletion_requested"] = "person.deletion_requested"
    user_id: str
    confirmation_code: str
