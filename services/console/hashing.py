"""Argon2 beside the event loop: a hash takes a quarter of a second and 64 MiB."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.console.domain.passwords import normalised

AT_ONCE = 2  # bounds the memory that a crowd at the sign-in page can take: 128 MiB


class Passwords:
    """Hashes and checks passwords; somebody unknown takes as long as somebody known."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(16))

    async def hash(self, password: str) -> str:
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, normalised(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is the password. Without a stored one it is not, in the same time."""
        async with self._slots:
            right = await asyncio.to_thread(
                self._verify, stored or self._nobodys, normalised(password)
            )
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether today's parameters are stronger than those it was made with."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
