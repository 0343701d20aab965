"""Secrets that we give out and keep only as a hash: sessions, links, API tokens."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

SECRET_BYTES = 32  # 256 bits: nobody guesses it, so a plain hash is enough
_API_TOKEN = re.compile(r"mat_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


class Scope(StrEnum):
    """What an API token may be used for."""

    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    CHANNELS_READ = "channels:read"
    CHANNELS_WRITE = "channels:write"
    ASSISTANTS_READ = "assistants:read"
    ASSISTANTS_WRITE = "assistants:write"
    CONVERSATIONS_READ = "conversations:read"
    CONVERSATIONS_WRITE = "conversations:write"
    PEOPLE_READ = "people:read"
    PEOPLE_ERASE = "people:erase"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    AUDIT_READ = "audit:read"
    HEALTH_READ = "health:read"
    HEALTH_WRITE = "health:write"
    ANALYTICS_READ = "analytics:read"
    WORKSPACE_WRITE = "workspace:write"

    @property
    def means(self) -> str:
        return _MEANS[self]


_MEANS = {
    Scope.USERS_READ: "List users",
    Scope.USERS_WRITE: "Invite, change and disable users. As good as being an administrator",
    Scope.CHANNELS_READ: "Read connected Pages, their status and settings",
    Scope.CHANNELS_WRITE: "Change settings of Pages, pause and disconnect them",
    Scope.ASSISTANTS_READ: "List assistants with their texts, never their keys",
    Scope.ASSISTANTS_WRITE: "Make, change, try and delete assistants, and store their keys",
    Scope.CONVERSATIONS_READ: "Read conversations and their messages",
    Scope.CONVERSATIONS_WRITE: "Take conversations over, write to people, mark them as done",
    Scope.PEOPLE_READ: "Download what is stored about a person; see erasures",
    Scope.PEOPLE_ERASE: "Have a person's data erased, for good",
    Scope.TOKENS_READ: "List API tokens, without their secrets",
    Scope.TOKENS_WRITE: "Make and revoke API tokens, with no more than its own scopes",
    Scope.AUDIT_READ: "Read the audit log",
    Scope.HEALTH_READ: "Read what the connection doctor finds, and list dead letters",
    Scope.HEALTH_WRITE: "Replay and discard dead letters",
    Scope.ANALYTICS_READ: "Read the figures of Analytics",
    Scope.WORKSPACE_WRITE: "Choose the time zone; with people:erase, how long messages are kept",
}


def new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def new_id(kind: str) -> str:
    """An id that says what it names, e.g. `usr_…`; not a secret."""
    return f"{kind}_{secrets.token_hex(10)}"


def hashed(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class ApiToken:
    """An API token as its owner has it."""

    id: str
    secret: str

    @classmethod
    def new(cls) -> "ApiToken":
        return cls(secrets.token_hex(8), new_secret())

    @classmethod
    def parse(cls, text: str) -> "ApiToken | None":
        found = _API_TOKEN.fullmatch(text)
        return cls(found[1], found[2]) if found else None

    def __str__(self) -> str:
        return f"mat_{self.id}_{self.secret}"

    def __repr__(self) -> str:
        return f"ApiToken({self.id})"

    def matches(self, stored: str) -> bool:
        return hmac.compare_digest(hashed(self.secret), stored)
