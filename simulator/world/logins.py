"""Logging in to the app: who may give what, and how long the tokens live that come of it.

Source: Manually Build a Login Flow, Long-Lived Access Tokens, Debugging access tokens, Permissions.
"""

from collections.abc import Callable, Iterable

from simulator.ids import Ids
from simulator.world import refusals
from simulator.world.facebook import (
    ALWAYS_GRANTED,
    TASKS,
    App,
    AppRole,
    FacebookState,
    LoginCode,
    PageRole,
    Token,
    User,
)
from simulator.world.model import Change
from simulator.world.units import Milliseconds, TokenState

HOUR_MS = 3_600_000
CODE_LIVES_MS = 10 * 60_000
SHORT_TOKEN_LIVES_MS = 2 * HOUR_MS
LONG_TOKEN_LIVES_MS = 60 * 24 * HOUR_MS
DATA_ACCESS_MS = 90 * 24 * HOUR_MS


class Logins:
    """Users, their consent and their tokens. Whatever changes is handed to `keep` at once."""

    def __init__(self, state: FacebookState, ids: Ids) -> None:
        self._state, self._ids = state, ids
        self.keep: Callable[[Change], None] = lambda _change: None

    # Who there is

    @property
    def app(self) -> App:
        return self._state.app

    @property
    def users(self) -> list[User]:
        return list(self._state.users.values())

    def find_user(self, user_id: str) -> User | None:
        return self._state.users.get(user_id)

    def add_user(self, name: str, app_role: AppRole = "none") -> User:
        user = User(self._ids.user(), name, app_role)
        self._state.users[user.id] = user
        self.keep(Change(user=user))
        return user

    def set_app_role(self, user: User, role: AppRole) -> None:
        user.app_role = role
        self.keep(Change(user=user))

    def set_role(self, user: User, page_id: str, role: PageRole | None) -> None:
        """Give a role on a Page, another one, or none."""
        if role is None:
            user.roles.pop(page_id, None)
        else:
            user.roles[page_id] = role
        self.keep(Change(user=user))

    def app_changed(self) -> None:
        self.keep(Change(app=self.app))

    # What the app may do

    @property
    def is_open_to_all(self) -> bool:
        """Whether the app hears of people without a role on it, and may write to them."""
        return self.app.mode == "live" and "pages_messaging" in self.app.reviewed

    def may_log_in(self, user: User) -> bool:
        return self.app.mode == "live" or user.app_role != "none"

    def may_ask_for(self, user: User, permission: str) -> bool:
        """Without Advanced Access only people with a role on the app are asked."""
        if user.app_role != "none" or permission in (ALWAYS_GRANTED, "email"):
            return True
        return self.app.mode == "live" and permission in self.app.reviewed

    def has_granted(self, user: User, permission: str, page_id: str | None = None) -> bool:
        """Whether the app has the permission now, for a Page or at all."""
        granted = user.permissions.get(permission) == "granted"
        chosen = page_id is None or page_id in user.chosen_pages
        return granted and chosen and self.may_ask_for(user, permission)

    def tasks(self, user: User, page_id: str) -> tuple[str, ...]:
        """What the user may do on the Page."""
        role = user.roles.get(page_id)
        return TASKS[role] if role is not None else ()

    # Logging in

    def consent(
        self, user: User, granted: Iterable[str], declined: Iterable[str], pages: Iterable[str]
    ) -> None:
        """The user has answered the dialog; of what it did not ask, nothing changes."""
        user.permissions |= dict.fromkeys(declined, "declined")
        user.permissions |= dict.fromkeys(granted, "granted")
        user.permissions[ALWAYS_GRANTED] = "granted"
        user.chosen_pages = list(pages)
        self.keep(Change(user=user))

    def issue_code(self, user: User, redirect_uri: str, now: Milliseconds) -> LoginCode:
        code = LoginCode(self._ids.code(), user.id, redirect_uri, now + CODE_LIVES_MS)
        self._state.codes[code.code] = code
        self.keep(Change(code=code))
        return code

    def redeem(self, given: str, redirect_uri: str, now: Milliseconds) -> Token:
        """A token of hours for a code.

        Raises:
            Refusal: the code is unknown, for another `redirect_uri`, used, or too old.
        """
        code = self._state.codes.get(given)
        if code is None or code.user_id not in self._state.users:
            raise refusals.unknown_code()
        if code.redirect_uri != redirect_uri:
            raise refusals.other_redirect_uri()
        if code.used:
            raise refusals.code_used()
        if now >= code.expires_at:
            raise refusals.code_expired()
        code.used = True
        self.keep(Change(code=code))
        return self._issue(Token(self._ids.token(), code.user_id, now, now + SHORT_TOKEN_LIVES_MS))

    def extend(self, token: Token, now: Milliseconds) -> Token:
        """A token of sixty days for one that still lives.

        Raises:
            Refusal: it is dead.
        """
        self.check(token, now)
        expires_at = now + LONG_TOKEN_LIVES_MS
        long = Token(self._ids.token(), token.user_id, now, expires_at, long_lived=True)
        return self._issue(long)

    def page_token(self, user_token: Token, page_id: str, now: Milliseconds) -> Token:
        """The Page's token that goes with a user's: it never runs out if theirs is long-lived."""
        expires_at = None if user_token.long_lived else user_token.expires_at
        for known in self._state.tokens.values():
            if (
                (known.user_id, known.page_id) == (user_token.user_id, page_id)
                and known.expires_at == expires_at
                and self.trouble(known, now) == "valid"
            ):
                return known
        return self._issue(
            Token(
                self._ids.token(),
                user_token.user_id,
                now,
                expires_at,
                page_id,
                user_token.long_lived,
            )
        )

    def _issue(self, token: Token) -> Token:
        self._state.tokens[token.token] = token
        self.keep(Change(tokens=[token]))
        return token

    # How tokens are

    def find(self, token: str) -> Token | None:
        return self._state.tokens.get(token)

    def trouble(self, token: Token, now: Milliseconds) -> TokenState:
        """How a token is at this moment."""
        user = self._state.users.get(token.user_id)
        if token.state != "valid":
            return token.state
        if token.expires_at is not None and now >= token.expires_at:
            return "expired"
        if user is None or (token.page_id is not None and token.page_id not in user.roles):
            return "role_lost"
        return "valid"

    def check(self, token: Token, now: Milliseconds) -> None:
        """Raises: Refusal: the token is dead."""
        if (state := self.trouble(token, now)) != "valid":
            raise refusals.dead_token(state)

    def set_tokens(
        self, state: TokenState, *, user_id: str | None = None, page_id: str | None = None
    ) -> None:
        """All tokens that there are of a user or of a Page become so; later ones are not."""
        changed = [
            token
            for token in self._state.tokens.values()
            if user_id in (None, token.user_id) and page_id in (None, token.page_id)
        ]
        for token in changed:
            token.state = state
        if changed:
            self.keep(Change(tokens=changed))

    # What users take back

    def change_password(self, user: User) -> None:
        """Every token of theirs ends, those of their Pages as well."""
        self.set_tokens("password_changed", user_id=user.id)

    def decline(self, user: User, permission: str) -> None:
        """Take one permission back."""
        user.permissions[permission] = "declined"
        self.keep(Change(user=user))

    def remove_app(self, user: User) -> None:
        """Take everything back: every token ends, the next login starts from nothing."""
        user.permissions.clear()
        user.chosen_pages.clear()
        self.keep(Change(user=user))
        self.set_tokens("revoked", user_id=user.id)

    # What a journal tells

    def apply(self, change: Change) -> None:
        if change.app is not None:
            self._state.app = change.app
        if change.user is not None:
            self._state.users[change.user.id] = change.user
        for token in change.tokens:
            self._state.tokens[token.token] = token
        if change.code is not None:
            self._state.codes[change.code.code] = change.code

    def clear(self) -> None:
        self._state.app = App()
        self._state.users.clear()
        self._state.tokens.clear()
        self._state.codes.clear()

    def forget_old(self, now: Milliseconds) -> None:
        """Codes of yesterday are of no use to anybody."""
        old = [code for code, each in self._state.codes.items() if each.expires_at < now - HOUR_MS]
        for code in old:
            del self._state.codes[code]
