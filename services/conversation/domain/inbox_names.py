"""People's names as the inbox is searched for them. Pure."""

import re
from typing import Any

from services.conversation.domain.profiles import Profile, name_key

MOST_WORDS = 12
LONGEST_WORD = 60


def words_of(text: str | None) -> list[str]:
    """A name's words, in small letters; also what stands between hyphens and the like."""
    key = name_key(text)
    pieces = dict.fromkeys([*key.split(), *re.split(r"[\W_]+", key)])
    return [piece[:LONGEST_WORD] for piece in pieces if piece][:MOST_WORDS]


def person_fields(profile: Profile) -> dict[str, Any]:
    """What the row has of a person. Each as Meta gave it: shown as text, and nothing else."""
    name = profile.shown_name
    return {"name": name, "picture_url": profile.picture_url, "words": words_of(name)}


def without_nul(search: str) -> str:
    """What is looked for, as MongoDB takes it: it refuses patterns with a null character."""
    return search.replace("\0", "")


def search_filter(search: str | None) -> dict[str, Any]:
    """Rows of people of whose names each word looked for begins a word; nothing: of everybody."""
    wanted = name_key(without_nul(search)).split()[:MOST_WORDS] if search else []
    if not wanted:
        return {}
    begins = [{"words": {"$regex": f"^{re.escape(word[:LONGEST_WORD])}"}} for word in wanted]
    return begins[0] if len(begins) == 1 else {"$and": begins}
