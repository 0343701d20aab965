"""People who wrote to a Page, as the conversation service knows them: found, and shown whole."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from services.console.internal import Internal, ServiceRefusedError

FOUND = 20
AT_ONCE = 200
LONGEST_ID = 32


@dataclass(frozen=True)
class FoundPerson:
    """Somebody who has a conversation with a Page."""

    psid: str
    name: str
    last_activity_at: str | None


class People:
    """Asks for them; nothing of it is kept here."""

    def __init__(self, internal: Internal) -> None:
        self._internal = internal

    async def find(self, page_id: str, wanted: str) -> list[FoundPerson]:
        """Those of whose name each of these words begins a word, or whose id it is.

        Who wrote last comes first; `FOUND` at most. Raises: ServiceAwayError.
        """
        is_id = wanted.isdigit() and len(wanted) <= LONGEST_ID
        rows = await self._rows(page_id, wanted) if is_id else []
        for tab in ("all", "done") if not rows else ():
            body = {"pages": [page_id], "tab": tab, "search": wanted, "limit": FOUND}
            rows += await self._listed("list", body)
        rows.sort(key=lambda row: str(row.get("last_activity_at") or ""), reverse=True)
        return [
            FoundPerson(row["psid"], str(row.get("name") or ""), row.get("last_activity_at"))
            for row in rows[:FOUND]
        ]

    async def _rows(self, page_id: str, psid: str) -> list[dict[str, Any]]:
        return await self._listed("rows", {"conversations": [f"{page_id}:{psid}"]})

    async def _listed(self, what: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        path = f"/internal/v1/inbox/{what}"
        answer = await self._internal.call("conversation", "POST", path, body=body)
        return list(answer.get("conversations", []))

    async def name(self, page_id: str, psid: str) -> str:
        """What Facebook calls the person; empty: it has not said. Raises: ServiceAwayError."""
        facts = await self._stored("conversation", page_id, psid)
        profile = (facts.get("person") or {}).get("profile") or {}
        parts = [profile.get("first_name"), profile.get("last_name")]
        return str(profile.get("name") or " ".join(filter(None, parts)))

    async def facts(self, page_id: str, psid: str) -> dict[str, Any]:
        """All that is kept about the person but the messages. Raises: ServiceAwayError."""
        kept = await self._stored("conversation", page_id, psid)
        sent = await self._stored("sender", page_id, psid)
        return {"page_id": page_id, "psid": psid, **kept, **sent}

    async def messages(
        self, page_id: str, psid: str, cursor: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A stretch of the messages, the newest first, and the cursor of the next one.

        Raises:
            ServiceAwayError
            ServiceRefusedError: the cursor was not handed out.
        """
        query = {"limit": str(AT_ONCE)} | ({"cursor": cursor} if cursor else {})
        path = f"/internal/v1/conversations/{_conversation(page_id, psid)}/messages"
        try:
            answer = await self._internal.call("conversation", "GET", path, query=query)
        except ServiceRefusedError as error:
            if error.status == 404:
                return [], None
            raise
        return answer.get("messages", []), answer.get("next")

    async def all_messages(self, page_id: str, psid: str) -> AsyncIterator[dict[str, Any]]:
        """Every message, the newest first."""
        cursor: str | None = None
        while True:
            found, cursor = await self.messages(page_id, psid, cursor)
            for each in found:
                yield each
            if not cursor:
                return

    async def _stored(self, service: Any, page_id: str, psid: str) -> dict[str, Any]:  # noqa: ANN401
        path = f"/internal/v1/conversations/{_conversation(page_id, psid)}/stored"
        return await self._internal.call(service, "GET", path)


def _conversation(page_id: str, psid: str) -> str:
    return quote(f"{page_id}:{psid}", safe="")
