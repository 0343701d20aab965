"""MongoDB: `erasures`, one document a request to erase somebody's data."""

from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from libs.common.mongo import Database, DuplicateKeyError, mongo_errors
from services.console.domain.erasure import How, Lookup, Shown, shown
from services.console.records import Record

LEASE = timedelta(seconds=8)
"""Shorter than a slow service may take: two at work on one request only cost work."""
LISTED = 100
EVER = datetime(1970, 1, 1, tzinfo=UTC)


ByPage = dict[str, dict[str, dict[str, int]]]


class PersonToErase(BaseModel):
    """Somebody as one Page knows them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    page_id: str
    psid: str


class Erasure(Record):
    """The id is the confirmation code. When it is done, nothing here names the person any more."""

    how: How
    requested_at: datetime
    next_at: datetime | None = Field(None, description="when somebody goes on; None: it is done")
    workspace_id: str | None = Field(None, description="of the administrator who asked")
    user_id: str | None = Field(None, description="app-scoped, from Facebook; until it is done")
    people: tuple[PersonToErase, ...] = Field((), description="still to be erased")
    pages: tuple[str, ...] = Field((), description="on which anything was found")
    lookup: Lookup = "none"
    lookups: int = 0
    was_connector: bool = Field(False, description="they had connected Pages themselves")
    erased: ByPage = Field({}, description="how much of each kind, by Page and service")
    left: ByPage | None = Field(None, description="what the last search found")
    waits_for: str | None = None
    attempts: int = 0
    erased_at: datetime | None = Field(None, description="up to when everything is erased")
    done_at: datetime | None = None

    @property
    def found_anything(self) -> bool:
        return self.was_connector or self.erased_total > 0

    @property
    def erased_total(self) -> int:
        return sum(counted(self.erased, self.erased).values())

    def counts(self, pages: Collection[str]) -> dict[str, int]:
        """What was erased on these Pages, by kind, without zeros: others may not be one's own."""
        return {kind: number for kind, number in counted(self.erased, pages).items() if number}

    @property
    def state(self) -> Shown:
        return shown(
            done_at=self.done_at,
            erased_at=self.erased_at,
            waits_for=self.waits_for,
            lookup=self.lookup,
            found_anything=self.found_anything,
        )


def counted(by_page: ByPage, pages: Collection[str]) -> dict[str, int]:
    """Of these Pages together, by kind."""
    found: Counter[str] = Counter()
    for page_id in pages:
        for counts in by_page.get(page_id, {}).values():
            found.update(counts)
    return dict(found)


class ErasureStore:
    """Requests by their codes. A lease is a `next_at` in the near future: of several replicas one
    goes on, and if it dies, another does."""

    def __init__(self, database: Database) -> None:
        self._erasures = database["erasures"]

    async def ensure_indexes(self) -> None:
        with mongo_errors():
            await self._erasures.create_index("next_at")
            await self._erasures.create_index([("pages", 1), ("requested_at", -1)])
            await self._erasures.create_index([("workspace_id", 1), ("requested_at", -1)])

    async def add(self, erasure: Erasure) -> bool:
        """False if the request is known: Facebook, or the log, told it again."""
        try:
            with mongo_errors():
                await self._erasures.insert_one(erasure.to_document())
        except DuplicateKeyError:
            return False
        return True

    async def erasure(self, code: str) -> Erasure | None:
        with mongo_errors():
            found = await self._erasures.find_one({"_id": code})
        return Erasure.model_validate(found) if found else None

    async def open(self) -> tuple[int, datetime | None]:
        """How many are not done, and when the first of them was asked for."""
        with mongo_errors():
            found = await self._erasures.find(
                {"next_at": {"$gt": EVER}}, {"requested_at": 1}
            ).to_list(None)
        return len(found), min((each["requested_at"] for each in found), default=None)

    async def lease(self, now: datetime) -> Erasure | None:
        """One that somebody has to go on with; it is ours for a while."""
        with mongo_errors():
            wanted = {"next_at": {"$lte": now}}
            found = await self._erasures.find(wanted).sort("next_at", 1).limit(1).to_list(1)
            for each in found:
                done = await self._erasures.update_one(
                    {"_id": each["_id"], "next_at": each["next_at"]},
                    {"$set": {"next_at": now + LEASE}},
                )
                if done.modified_count:
                    return Erasure.model_validate(each)
        return None

    async def change(self, erasure: Erasure, **changes: Any) -> Erasure:  # noqa: ANN401 - fields
        changed = erasure.model_copy(update=changes)
        document = changed.to_document()
        with mongo_errors():
            await self._erasures.update_one(
                {"_id": erasure.id}, {"$set": {name: document[name] for name in changes}}
            )
        return changed

    async def of_page(self, page_id: str) -> list[Erasure]:
        """The latest first."""
        return await self._listed({"pages": page_id})

    async def of_workspace(self, workspace_id: str, page_ids: list[str]) -> list[Erasure]:
        """Those of its administrators, and those that concern its Pages."""
        return await self._listed(
            {"$or": [{"workspace_id": workspace_id}, {"pages": {"$in": page_ids}}]}
        )

    async def _listed(self, wanted: dict[str, Any]) -> list[Erasure]:
        with mongo_errors():
            cursor = self._erasures.find(wanted).sort("requested_at", -1).limit(LISTED)
            return [Erasure.model_validate(each) for each in await cursor.to_list(LISTED)]
