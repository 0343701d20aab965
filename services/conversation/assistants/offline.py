"""The assistant without a model: it looks answers up in the knowledge text, and says when it can't.

For trying the system without a key, and for tests: the same question always gets the same answer.
"""

import asyncio
import re
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from services.conversation.assistants.base import Prompt, Reply
from services.conversation.assistants.phrases import PHRASES, Phrases
from services.conversation.assistants.retrieval import Finding, KnowledgeIndex
from services.conversation.assistants.smalltalk import Remark, remarks
from services.conversation.assistants.vocabulary import language

MODEL: Final = "offline-demo"
MOST_INDEXES: Final = 16

_MOST_PARTS = 8
_PART_CHARACTERS = 600
_MOST_SECTIONS = 4
_SURE = 0.5
_BRIEF = 400  # characters up to which an answer needs no introduction
_SENTENCE = re.compile(r"(?<=[.?!…])\s+|(?<=[。？！])|\n+")
_ASKS = re.compile(
    r"[?？]|^\W*(?:what|when|where|who|which|how|why|do|does|can|could|is|are|will|would|may"
    r"|was|wann|wo|wer|wie|welche\w*|gibt|haben|habt|kann|quel\w*|quand|où|comment|combien"
    r"|qué|cuándo|dónde|cómo|cuánto)\b",
    re.IGNORECASE,
)

_COLLEAGUE = re.compile(
    r"\b(?:colleague|kolleg(?:e|en|in)|collègue|compañer[oa]|đồng nghiệp)|เพื่อนร่วมงาน|同事",
    re.IGNORECASE,
)
_MOST_TOLD = 3  # of what a human wrote, the latest


class OfflineAssistant:
    """Answers from `prompt.knowledge`. An index is made once for each text, in a thread of its own.

    One thread, because an index may only be asked by one at a time, and because a large text takes
    a while to index: the loop goes on meanwhile.
    """

    def __init__(self, most_indexes: int = MOST_INDEXES) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offline-assistant")
        self._indexes: OrderedDict[str, KnowledgeIndex] = OrderedDict()
        self._most_indexes = most_indexes

    async def reply(self, prompt: Prompt) -> Reply:
        """Answer; never raises."""
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(self._thread, self._write, prompt)
        return Reply(text, MODEL, time.monotonic() - started, input_tokens=0, output_tokens=0)

    async def aclose(self) -> None:
        """Forget all indexes and end the thread, after what it is doing."""
        self._thread.submit(self._forget_all)
        await asyncio.to_thread(self._thread.shutdown)

    def _write(self, prompt: Prompt) -> str:
        return write(prompt, self._index(prompt.knowledge))

    def _index(self, knowledge: str) -> KnowledgeIndex:
        index = self._indexes.get(knowledge)
        if index is None:
            index = self._indexes[knowledge] = KnowledgeIndex(knowledge)
        self._indexes.move_to_end(knowledge)
        while len(self._indexes) > self._most_indexes:
            self._indexes.popitem(last=False)[1].close()
        return index

    def _forget_all(self) -> None:
        while self._indexes:
            self._indexes.popitem()[1].close()


def write(prompt: Prompt, index: KnowledgeIndex) -> str:
    """The answer to a prompt, as markdown."""
    phrases = PHRASES[_language(prompt)]
    if prompt.kind == "welcome":
        return _introduction(prompt, index, phrases)
    parts = _parts(prompt.question)
    said = [remark for part in parts for remark in remarks(part).said]
    asked = [part for part in parts if not remarks(part).is_all]
    if not asked:
        return _small_talk(said, prompt, index, phrases)
    if _COLLEAGUE.search(prompt.question) and (colleague := _colleague(prompt)):
        return phrases.colleague.format(said=colleague)
    opener = phrases.hello if "greeting" in said else ""
    found, unanswered = _look_up(asked, index)
    if not found:
        return f"{opener} {phrases.unknown} {_offer(index, phrases)}".strip()
    told = _told(found, phrases)
    if opener and len(told) == 1:
        return f"{opener} {told[0]}"
    closing = [phrases.rest_unknown] if unanswered else []
    return "\n\n".join([*([opener] if opener else []), *told, *closing])


def _colleague(prompt: Prompt) -> str:
    """What humans of the business wrote last in this session; empty if none did."""
    written = [line.text for line in prompt.history if line.role == "human"]
    return " ".join(f"“{text}”" for text in written[-_MOST_TOLD:])


def _parts(question: str) -> list[str]:
    """Sentences and lines: each may ask something else."""
    parts = [part.strip() for part in _SENTENCE.split(question)]
    return [part[:_PART_CHARACTERS] for part in parts if part][:_MOST_PARTS]


def _look_up(asked: list[str], index: KnowledgeIndex) -> tuple[list[Finding], bool]:
    """What was found for all parts, best for each first, and whether a question found nothing.

    Beside a question, a statement only counts if it is clearly about something we know.
    """
    any_question = any(_ASKS.search(part) for part in asked)
    found: list[Finding] = []
    unanswered = False
    for part in asked:
        is_question = bool(_ASKS.search(part))
        here = index.find(part)
        if any_question and not is_question:
            here = [finding for finding in here if finding.share >= _SURE]
        unanswered |= is_question and not here
        known = {finding.text for finding in found}
        found += [finding for finding in here if finding.text not in known]
    if not found and len(asked) > 1:  # one question in several lines
        found = index.find(" ".join(asked))
    return found[:_MOST_SECTIONS], unanswered


def _told(found: list[Finding], phrases: Phrases) -> list[str]:
    doubt = [phrases.unsure] if max(finding.share for finding in found) < _SURE else []
    if len(found) > 1:
        return [*doubt, *(_titled(finding) for finding in found)]
    finding = found[0]
    if doubt or len(finding.text) <= _BRIEF or not finding.section.title:
        return [*doubt, finding.text]
    return [phrases.about.format(title=finding.section.title), finding.text]


def _titled(finding: Finding) -> str:
    title = finding.section.title
    return f"**{title}**\n\n{finding.text}" if title else finding.text


def _small_talk(said: list[Remark], prompt: Prompt, index: KnowledgeIndex, phrases: Phrases) -> str:
    if "identity" in said:
        who = phrases.i_am.format(name=prompt.assistant_name)
        return f"{who} {phrases.demo} {_offer(index, phrases)}".strip()
    if "thanks" in said:
        return phrases.welcome
    if "bye" in said:
        return phrases.bye
    return _introduction(prompt, index, phrases)


def _introduction(prompt: Prompt, index: KnowledgeIndex, phrases: Phrases) -> str:
    who = phrases.i_am.format(name=prompt.assistant_name)
    return f"{phrases.hello} {who} {_offer(index, phrases)}".strip()


def _offer(index: KnowledgeIndex, phrases: Phrases) -> str:
    """What we can help with, if we know anything."""
    topics = index.knowledge.topics
    if not topics:
        return phrases.ask if index.knowledge.sections else ""
    return "\n".join([phrases.topics, "", *(f"- {topic}" for topic in topics)])


def _language(prompt: Prompt) -> str:
    """The person's; for a welcome and where that is unclear, the knowledge text's."""
    of_knowledge = language(prompt.knowledge[:4000])
    if prompt.kind == "welcome":
        return of_knowledge
    return language(prompt.question, default=of_knowledge)
