"""The analytics service's own HTTP API, on figures in memory: a shop open for a while."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from libs.common.mongo import Document
from libs.common.web import Late, Readiness, base_app, json_errors, require_service_token
from services.analytics.domain.histogram import bucket_of
from services.analytics.domain.rollups import daily_id, total_id
from services.analytics.handlers import CLOCK, READER, add_routes
from tests.integration.console import SERVICE_TOKEN

NOW = datetime(2026, 3, 3, 14, 3, tzinfo=UTC)  # a Tuesday
REASONS = ("window_closed", "person_unavailable", "token_rejected", "unreachable", "app_not_live")


class FiguresService:
    """Where it is, and what it knows. Nobody has written to a Page that is not filled."""

    def __init__(self) -> None:
        self.now = NOW
        self.documents: dict[str, Document] = {}
        self.url = ""
        self.is_broken = False

    async def rollups(self, rollup_ids: Iterable[str]) -> list[Document]:
        if self.is_broken:
            raise ConnectionError
        return [self.documents[each] for each in rollup_ids if each in self.documents]

    def fill(self, page_id: str, days: int, *, busy: float = 1.0, seed: int = 7) -> None:
        """So many days of a Page, today included; Sundays are quiet."""
        random = Random(seed)  # the same figures each time
        for back in range(days):
            day = (self.now - timedelta(days=back)).date()
            until = self.now.hour if back == 0 else 24
            share = busy * (0.0 if day.weekday() == 6 else 1.0 - 0.4 * back / days)
            slots = {str(hour * 4): _hour(random, hour, share) for hour in range(7, until)}
            filled = {number: counters for number, counters in slots.items() if counters}
            name = daily_id(page_id, day)
            self.documents[name] = {"_id": name, "day": day.isoformat(), "slots": filled}
        news = [
            counters.get("gap", {}).get("new", 0)
            for name, document in self.documents.items()
            if name.startswith(f"{page_id}:")
            for counters in document.get("slots", {}).values()
        ]
        name = total_id(page_id)
        self.documents[name] = {"_id": name, "conversations": sum(news), "in_takeover": 2}


def _hour(random: Random, hour: int, share: float) -> dict[str, Any]:
    most = share * (9 if 11 <= hour <= 14 or 18 <= hour <= 21 else 3)
    inbound = round(random.random() * most)
    if not inbound:
        return {}
    by_human = random.randint(0, inbound // 4)
    failed = 1 if random.random() < 0.12 else 0
    outbound = inbound + random.randint(0, 2)
    delivered = max(outbound - random.randint(0, 1), 0)
    counters: dict[str, Any] = {
        "in": inbound,
        "out": {"assistant": outbound - by_human, "human": by_human},
        "delivered": delivered,
        "read": round(delivered * 0.8),
        "answered": {"assistant": inbound - by_human, "human": by_human},
        "first": {
            str(bucket_of(1500 + random.randint(0, 4000))): inbound - by_human,
            str(bucket_of(240_000)): by_human,
        },
        "gap": {"new": 1, "400": max(inbound - 2, 0)},
    }
    if failed:
        counters["failed"] = {random.choice(REASONS): failed}
    if by_human:
        counters["requested"] = {random.choice(("asked", "angry", "cannot_answer")): 1}
        counters["started"] = {random.choice(("taken", "facebook_reply")): 1}
        counters["ended"] = {random.choice(("resumed", "auto_resume")): 1}
    return counters


@asynccontextmanager
async def figures_service() -> AsyncIterator[FiguresService]:
    service = FiguresService()
    app = base_app(Readiness(), json_errors, require_service_token(SecretStr(SERVICE_TOKEN)))
    app[READER] = Late("the database")
    app[READER].set(service)
    add_routes(app)
    app[CLOCK] = lambda: service.now
    server = TestServer(app)
    await server.start_server()
    service.url = str(server.make_url("")).rstrip("/")
    try:
        yield service
    finally:
        await server.close()
