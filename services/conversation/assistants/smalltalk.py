"""What people say besides their question: greetings, thanks, goodbyes, "who are you?"."""

import re
from dataclasses import dataclass
from typing import Literal

from services.conversation.assistants.words import fold

Remark = Literal["greeting", "thanks", "bye", "identity", "help"]

_WORDS: dict[Remark, str] = {
    "greeting": """
        (?:hi|hello|hey)(?:\\ there)?|hiya|howdy|greetings
        |good\\ (?:morning|afternoon|evening|day)
        |hallo|moin|servus|grüß\\ gott|guten\\ (?:tag|morgen|abend)|bonjour|bonsoir|salut
        |hola|buenos\\ días|buenas(?:\\ tardes|\\ noches)?
        |xin\\ chào|chào(?:\\ (?:bạn|shop|em|anh|chị))?|alo
        |สวัสดี(?:ครับ|ค่ะ|คะ)?|你好|您好|こんにちは|안녕하세요""",
    "thanks": """
        (?:ok(?:ay)?\\ |great\\ |perfect\\ )?
        (?:(?:thanks|thank\\ (?:you|u))(?:\\ a\\ lot|\\ so\\ much|\\ very\\ much)?
        |thx|cheers|danke(?:\\ schön|\\ sehr)?|vielen\\ dank|merci(?:\\ beaucoup)?
        |(?:muchas\\ )?gracias
        |(?:xin\\ )?cảm\\ ơn(?:\\ bạn|\\ shop|\\ nhiều)?
        |ขอบคุณ(?:ครับ|ค่ะ|คะ|มาก)*|谢谢|ありがとう(?:ございます)?|감사합니다)""",
    "bye": """
        good\\ ?bye|bye(?:\\ bye)?|see\\ you|tschüss|auf\\ wiedersehen|au\\ revoir
        |adiós|hasta\\ luego
        |tạm\\ biệt|再见|ลาก่อน""",
    "identity": """
        (?:and\\ )?(?:who|what)\\ are\\ you|what(?:['’]s|\\ is)\\ your\\ name
        |who\\ am\\ i\\ (?:talking|speaking|writing)\\ (?:to|with)
        |are\\ you\\ (?:an?\\ )?(?:real\\ |human\\ |ai\\ )?
            (?:bot|chatbot|robot|ai|human|person|machine|real)
        |wer\\ (?:bist\\ du|sind\\ sie)|bist\\ du\\ ein\\ (?:bot|mensch|roboter)|wie\\ heißt\\ du
        |qui\\ (?:es-tu|êtes-vous)|quién\\ eres|bạn\\ là\\ ai|คุณคือใคร|你是谁""",
    "help": """
        help(?:\\ me)?|what\\ can\\ you\\ do|how\\ can\\ you\\ help(?:\\ me)?|get\\ started
        |hilfe|was\\ kannst\\ du|ayuda|aide""",
}
_DECORATION = r"(?:[\s!.,…~:;)(?¡¿。，、！？-]|[\U0001f300-\U0001faff\u2600-\u27bf\ufe0f\u200d])*"
_LEADING: dict[Remark, re.Pattern[str]] = {
    remark: re.compile(rf"{_DECORATION}(?:{fold(words)})(?![a-z]){_DECORATION}", re.VERBOSE)
    for remark, words in _WORDS.items()
}


@dataclass(frozen=True)
class Remarks:
    """What was said first, and whether anything else was."""

    said: tuple[Remark, ...]
    is_all: bool


def remarks(text: str) -> Remarks:
    """Read remarks from the beginning of a text for as long as there is nothing else."""
    rest, said = fold(text), list[Remark]()
    while rest:
        found = next(
            ((remark, match) for remark, words in _LEADING.items() if (match := words.match(rest))),
            None,
        )
        if found is None:
            break
        said.append(found[0])
        rest = rest[found[1].end() :]
    return Remarks(tuple(said), is_all=not rest.strip())
