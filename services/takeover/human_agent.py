"""Whether Meta lets a Page's people write after 24 hours: what its answers have taught us.

Meta tells nobody in advance whether the app has the *Human Agent* feature. A refusal of the tag is
remembered for the Page, and shown before somebody writes in vain; a tagged message that is sent
clears it. Answers may be heard in any order and more than once: the latest counts.
"""

from libs.common.events import MessageFailed, MessageSent, Model, UtcDatetime
from libs.common.mongo import Database, DuplicateKeyError, mongo_errors

TAG = "HUMAN_AGENT"
_ABOUT_THE_TAG = frozenset({"human_agent_not_approved", "tag_not_allowed", "permission_missing"})
"""Reasons of `message.failed` that mean, of a tagged message, that the tag is the trouble. Which
code Meta answers with is not documented: a permission, or a form that it does not take."""


class TagRefusal(Model):
    """Meta does not let the Page use the tag."""

    refused_at: UtcDatetime
    explanation: str
    advice: str = ""


def verdict_of(event: MessageSent | MessageFailed) -> TagRefusal | bool:
    """What the outcome of a message says: the tag is refused, is allowed (True), or nothing."""
    if event.tag != TAG:
        return False
    if isinstance(event, MessageSent):
        return True
    undocumented = event.reason == "invalid_request" and event.error_subcode is None
    if event.reason not in _ABOUT_THE_TAG and not undocumented:
        return False
    return TagRefusal(
        refused_at=event.occurred_at, explanation=event.explanation, advice=event.advice
    )


class HumanAgentStore:
    """`human_agent`, `_id` = page id."""

    def __init__(self, database: Database) -> None:
        self._pages = database["human_agent"]

    async def heard(self, event: MessageSent | MessageFailed) -> None:
        """Keep what the event says, unless something later is known."""
        verdict = verdict_of(event)
        if verdict is False:
            return
        known = {
            "at": event.occurred_at,
            "refusal": None if verdict is True else verdict.model_dump(),
        }
        older = {"_id": event.page_id, "at": {"$lt": event.occurred_at}}
        try:
            with mongo_errors():
                await self._pages.update_one(older, {"$set": known}, upsert=True)
        except DuplicateKeyError:
            return  # what is known is newer, or this very event

    async def refusal(self, page_id: str) -> TagRefusal | None:
        """The refusal that stands."""
        with mongo_errors():
            document = await self._pages.find_one({"_id": page_id})
        refusal = (document or {}).get("refusal")
        return TagRefusal.model_validate(refusal) if refusal else None
