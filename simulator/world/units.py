"""Words that every part of the world uses."""

from typing import Literal

Milliseconds = int
TokenState = Literal["valid", "expired", "revoked", "password_changed", "role_lost"]
