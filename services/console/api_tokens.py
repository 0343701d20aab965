"""API tokens: made, listed, revoked."""

from dataclasses import dataclass
from datetime import timedelta

from libs.common.errors import PermanentError
from services.console.audit import Actor, AuditLog, Clock
from services.console.domain.tokens import ApiToken, Scope, hashed
from services.console.records import StoredToken
from services.console.tokens_store import TokenStore

MOST_TOKENS = 100  # of one workspace


class UnknownTokenError(PermanentError):
    """There is no such token in the workspace."""

    code = "not_found"


class TooManyTokensError(PermanentError):
    """The workspace has as many as it may have."""

    code = "too_many_tokens"


class ScopeExceededError(PermanentError):
    """A token makes no token that may do more than itself."""

    code = "scope_exceeded"


@dataclass(frozen=True)
class NewToken:
    """A token as it is shown once."""

    stored: StoredToken
    text: str


class ApiTokens:
    """The tokens of one workspace."""

    def __init__(self, store: TokenStore, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    async def all(self, workspace_id: str) -> list[StoredToken]:
        """The latest first."""
        return await self._store.of_workspace(workspace_id)

    async def token(self, workspace_id: str, token_id: str) -> StoredToken:
        """Raises: UnknownTokenError: not in this workspace."""
        found = await self._store.in_workspace(workspace_id, token_id)
        if found is None:
            raise UnknownTokenError("there is no such API token")
        return found

    async def create(
        self,
        actor: Actor,
        name: str,
        scopes: tuple[Scope, ...],
        valid_days: int | None,
        *,
        within: tuple[Scope, ...] | None = None,
    ) -> NewToken:
        """A new token for the actor.

        Args:
            within: the scopes of the token that asks for it, if one does.

        Raises:
            ScopeExceededError: it would be able to do more than that one.
            TooManyTokensError: revoke one first.
        """
        token = ApiToken.new()
        now = self._clock()
        stored = StoredToken(
            id=token.id,
            workspace_id=actor.workspace_id,
            account_id=actor.account_id,
            name=name,
            scopes=scopes,
            secret_hash=hashed(token.secret),
            created_at=now,
            expires_at=now + timedelta(days=valid_days) if valid_days else None,
        )
        async with self._audit.doing(
            actor,
            "api_token.created",
            target=name,
            target_id=token.id,
            scopes=[scope.value for scope in scopes],
        ):
            if within is not None and not set(scopes) <= set(within):
                raise ScopeExceededError("a token can't give more than it has")
            if len(await self._store.of_workspace(actor.workspace_id)) >= MOST_TOKENS:
                raise TooManyTokensError(f"there are {MOST_TOKENS}: revoke one first")
            await self._store.add(stored)
        return NewToken(stored, str(token))

    async def revoke(self, actor: Actor, token_id: str) -> StoredToken:
        """From the next call on it is refused.

        Raises:
            UnknownTokenError: not in this workspace, or revoked already.
        """
        token = await self.token(actor.workspace_id, token_id)
        async with self._audit.doing(
            actor, "api_token.revoked", target=token.name, target_id=token.id
        ):
            if not await self._store.remove(actor.workspace_id, token_id):
                raise UnknownTokenError("there is no such API token")
        return token
