"""What is stored encrypted, encrypted anew with the first key of the ring: then an old one may go.

What a login at Facebook brought is left out: it ends by itself within the hour.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from libs.common.channels import (
    ASSISTANTS_COLLECTION,
    CHANNELS_COLLECTION,
    Assistant,
    Channel,
)
from libs.common.crypto import DecryptionError, KeyRing
from libs.common.mongo import Database, mongo_errors


@dataclass
class Renewed:
    """How many secrets were encrypted anew, and how many need not be; what can't be read."""

    renewed: int = 0
    current: int = 0
    unreadable: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # by somebody else at this moment

    @property
    def is_complete(self) -> bool:
        """Whether nothing needs an old key any more."""
        return not self.unreadable and not self.changed


@dataclass(frozen=True)
class _Secret:
    collection: str
    document: str
    path: str
    sealed: str = field(repr=False)
    context: str

    def __str__(self) -> str:
        return f"{self.collection} {self.document}: {self.path}"


async def renew(database: Database, keys: KeyRing) -> Renewed:
    """Safe to repeat, and while everything runs: each is written only if it is as it was read."""
    found = Renewed()
    async for secret in _secrets(database):
        if keys.is_current(secret.sealed):
            found.current += 1
            continue
        try:
            text = keys.decrypt(secret.sealed, context=secret.context)
        except DecryptionError:
            found.unreadable.append(str(secret))
            continue
        anew = keys.encrypt(text, context=secret.context)
        with mongo_errors():
            done = await database[secret.collection].update_one(
                {"_id": secret.document, secret.path: secret.sealed}, {"$set": {secret.path: anew}}
            )
        if done.matched_count:
            found.renewed += 1
        else:
            found.changed.append(str(secret))
    return found


async def _secrets(database: Database) -> AsyncIterator[_Secret]:
    for document in await _all(database, CHANNELS_COLLECTION):
        channel = Channel.model_validate(document)
        for path, sealed in (
            ("token", channel.token),
            ("settings.notification_secret", channel.settings.notification_secret),
        ):
            if sealed:
                yield _Secret(CHANNELS_COLLECTION, channel.id, path, sealed, channel.id)
    for document in await _all(database, ASSISTANTS_COLLECTION):
        assistant = Assistant.model_validate(document)
        if assistant.api_key:
            context = assistant.key_context
            yield _Secret(
                ASSISTANTS_COLLECTION, assistant.id, "api_key", assistant.api_key, context
            )


async def _all(database: Database, collection: str) -> list[dict[str, Any]]:
    with mongo_errors():
        return list(await database[collection].find({}).to_list(None))
