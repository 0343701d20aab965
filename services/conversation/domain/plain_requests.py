"""A person asks for a human in their own words: heard without a model, and before any is asked.

Precise rather than complete: a sentence counts only if all of it is the request, once greetings and
politeness are taken off. What is missed here the model may still hear and pass on with its tool.
Sentences are compared in lower case, without accents, apostrophes and punctuation.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

MOST_CHARACTERS = 2000
MOST_SENTENCES = 30
SENTENCE_CHARACTERS = 200

_SENTENCE = re.compile(r"[.!?…\n;¡¿。？！]+")
_THAI = re.compile("[\u0e00-\u0e7f]")
_APOSTROPHES = re.compile("['’`´ʼ]")
_MARKS = re.compile("[\u0300-\u036f]+")  # of Latin; Thai vowels stay
_OTHER = re.compile("[^\\w\u0e00-\u0e7f]+|_+")
_LETTERS = str.maketrans({"đ": "d", "ø": "o", "ł": "l", "ß": "ss", "œ": "oe", "æ": "ae"})

_POLITE = """
    please|pls|plz|thanks|thank you|thx|hi|hello|hey|hi there|hello there|ok|okay|sorry|yes|now
    |right now|asap|immediately|urgently|today|good morning|good afternoon|good evening
    |bitte|danke|hallo|guten tag|guten morgen|guten abend|moin|jetzt|sofort|ja
    |bonjour|bonsoir|salut|merci|svp|stp|sil vous plait|sil te plait|maintenant|oui|tout de suite
    |hola|buenos dias|buenas tardes|buenas noches|buenas|por favor|gracias|ahora|si
    |ola|oi|bom dia|boa tarde|boa noite|obrigado|obrigada|agora|sim|pfv
    |xin chao|chao|chao shop|chao ban|shop oi|ad oi|admin oi|alo|cam on|xin cam on|lam on|nhe|a|voi
    |di|ngay|ngay bay gio|vui long
    |สวัสดี|สวัสดีครับ|สวัสดีค่ะ|สวัสดีคะ|ขอโทษ|ขอโทษครับ|ขอโทษค่ะ|ครับ|ค่ะ|คะ|หน่อย|หน่อยครับ|หน่อยค่ะ|ได้ไหม
"""
_EN_KIND = "(?:real|live|actual|human|proper) "
_EN_CLEAR = (
    f"(?:an? |the |any |some )?(?:{_EN_KIND})?(?:human(?: being)?|agent|operator|representative"
    f"|rep|support agent|service agent|customer service (?:agent|rep|representative)"
    f"|human support)|(?:an? |any )?{_EN_KIND}(?:person|people|someone|somebody)"
)
_EN_SOMEBODY = (
    f"(?:{_EN_CLEAR}|an? person|someone|somebody|people"
    "|an? (?:member of (?:the )?staff|staff member|team member|employee|colleague|manager"
    "|supervisor|advisor|adviser|consultant)|the (?:manager|owner|team|staff)"
    "|(?:your |the )?(?:customer )?(?:support|service)(?: team)?|your (?:staff|team|manager)"
    "|someone (?:real|human)|somebody (?:real|human))"
)
_EN_TAIL = (
    "(?: (?:about|regarding|concerning|because|since|instead|not (?:to )?an? (?:ro)?bot"
    "|rather than|from (?:your|the) (?:team|company|staff|bakery|shop|store)|who can help"
    "|in person|here|there|directly|quickly)(?: .*)?)?"
)
_EN_LEAD = (
    "(?:i (?:would (?:really )?(?:like|prefer|love) to|(?:really )?(?:want|need|wish|have|prefer)"
    " to|d (?:like|prefer) to|wanna|must)|id (?:(?:really )?(?:like|prefer|love) to|rather)"
    "|i would rather|(?:can|could|may|might) (?:i|we)|(?:can|could|would) you(?: please)? let me"
    "|let me|how (?:can|do|could) i|is it possible to|would it be possible to"
    "|im trying to|i am trying to)"
)
_EN_TALK = (
    "(?:(?:please )?(?:talk|speak|chat)(?: directly)? (?:to|with)"
    "|(?:be|get) (?:connected|transferred|put through|passed on) to|contact|reach"
    "|get (?:hold of|through to|in touch with|to))"
)
_EN_BRING = (
    "(?:(?:please )?(?:connect|transfer|put|pass|forward|hand|switch|direct) (?:me|us)"
    "(?: over| through| on)? (?:to|with)|(?:please )?(?:get|give|send|find) me|(?:please )?call)"
)
_EN_NEED = "i (?:want|need|demand|would like|d like|prefer)|id (?:like|prefer)"

_DE_CLEAR = (
    "(?:(?:mit )?(?:eine[mnr]? )?(?:echte[mnr]? |richtige[mnr]? |lebende[mnr]? )?"
    "(?:mensch(?:en)?|mitarbeiter(?:in)?s?|kundenberater(?:in)?|sachbearbeiter(?:in)?|berater(?:in)?"
    "|ansprechpartner(?:in)?|support ?mitarbeiter(?:in)?|kundendienst ?mitarbeiter(?:in)?)"
    "|(?:mit )?(?:eine[rn]? )(?:echten|richtigen) person)"
)
_DE_SOMEBODY = (
    f"(?:{_DE_CLEAR}|mit (?:jemande?[mn]?|einer person|dem (?:kundenservice|kundendienst|support"
    "|chef|team)|der chefin|eurem team|ihrem team|jemand(?:em)? (?:echte[mn]|richtige[mn])))"
)
_DE_TAIL = "(?: (?:wegen|uber|zu|aus|statt|und nicht|anstatt|von) .*)?"

_FR_CLEAR = (
    "(?:(?:a |avec )?(?:un |une |l)?(?:vrai |vraie |veritable )?(?:humain(?:e)?|etre humain"
    "|conseiller|conseillere|agent|operateur|operatrice)(?: humain| en ligne)?"
    "|(?:a |avec )?une (?:vraie|veritable) personne|(?:a |avec )?une personne (?:reelle|humaine))"
)
_FR_SOMEBODY = (
    f"(?:{_FR_CLEAR}|(?:a |avec )?(?:quelquun|une personne|un responsable|un employe|un collegue"
    "|un collaborateur|le responsable|le service client|votre equipe|le patron)"
    "(?: de reel| de vrai)?)"
)
_FR_TAIL = "(?: (?:au sujet|a propos|concernant|pour|de votre|plutot|et pas|car|parce) .*)?"

_ES_CLEAR = (
    "(?:(?:con |a )?(?:un |una |el |la |algun )?(?:ser )?(?:humano|humana|agente|operador|operadora"
    "|asesor|asesora|representante|ejecutivo|ejecutiva)(?: humano| humana| real)?"
    "|(?:con |a )?una persona (?:real|de verdad|humana)|persona real)"
)
_ES_SOMEBODY = (
    f"(?:{_ES_CLEAR}|(?:con |a )(?:alguien|una persona|un empleado|una empleada|el encargado"
    "|la encargada|un encargado|el gerente|atencion al cliente|el servicio al cliente|soporte"
    "|tu equipo|su equipo)(?: real| de verdad| de su equipo)?)"
)
_ES_TAIL = "(?: (?:sobre|acerca|por|porque|para|de su|en vez|y no) .*)?"

_PT_CLEAR = (
    "(?:(?:com |a )?(?:um |uma |o |a |algum )?(?:ser )?(?:humano|humana|atendente|agente|operador"
    "|operadora|consultor|consultora|representante)(?: humano| humana| real)?"
    "|(?:com |a )?uma pessoa (?:real|de verdade|humana)|pessoa real)"
)
_PT_SOMEBODY = (
    f"(?:{_PT_CLEAR}|(?:com |a )(?:alguem|uma pessoa|um funcionario|uma funcionaria|o gerente"
    "|o responsavel|o suporte|o atendimento|o sac|a equipe|sua equipe)(?: real| de verdade)?)"
)
_PT_TAIL = "(?: (?:sobre|por|porque|para|da sua|em vez|e nao) .*)?"

_VI_SOMEBODY = (
    "(?:nguoi that|nguoi|con nguoi|nhan vien(?: ho tro| tu van| cham soc khach hang| cskh| that"
    "| truc)?|tu van vien|tong dai vien|quan tri vien|admin|chu shop|quan ly|ai do)"
)
_VI_I = "(?:toi|minh|em|anh|chi|tui|ban|cho|cho toi|cho minh|cho em|cho anh|cho chi)"
_VI_TAIL = "(?: (?:ve|vi|de|cua shop|that|truc tiep)(?: .*)?| duoc khong| dc khong| duoc k| khong)?"

_TH_I = "(?:ผม|ฉัน|ดิฉัน|หนู|เรา)?"
_TH_WANT = "(?:ขอ|อยาก|ต้องการ|อยากจะ|ขออนุญาต|ช่วยให้|ขอให้)"
_TH_SOMEBODY = "(?:คน|คนจริง|คนจริงๆ|มนุษย์|เจ้าหน้าที่|แอดมิน|พนักงาน|ผู้จัดการ|พนักงานจริง|เจ้าของร้าน|ทีมงาน)"
_TH_END = "(?:หน่อย|ด้วย|ได้ไหม|ได้มั้ย|ได้มั๊ย|ครับ|ค่ะ|คะ|คับ|นะ|จ้า|ที|เลย)*"

SENTENCES: Mapping[str, Sequence[str]] = {
    "en": (
        _EN_CLEAR,
        f"(?:{_EN_LEAD} )?{_EN_TALK} {_EN_SOMEBODY}{_EN_TAIL}",
        f"(?:{_EN_LEAD.replace(' to', '')} )?{_EN_BRING} (?:{_EN_CLEAR}|an? person){_EN_TAIL}",
        f"(?:can|could|would) you(?: please)? (?:connect|transfer|put|pass|forward|hand|get) me"
        f"(?: over| through| on)?(?: to| with)? {_EN_SOMEBODY}{_EN_TAIL}",
        f"(?:please )?(?:connect|transfer|put|pass|forward) me(?: over| through| on)? (?:to|with)"
        f" {_EN_SOMEBODY}{_EN_TAIL}",
        f"(?:{_EN_NEED}) (?:{_EN_CLEAR}|an? person|(?:to (?:have|get) )?human help){_EN_TAIL}",
        f"(?:is|are) there (?:{_EN_CLEAR}|an? person|someone|somebody|anyone|anybody) "
        "(?:i (?:can|could) (?:talk|speak|chat) (?:to|with)|to (?:talk|speak|chat) (?:to|with)"
        "|available)",
        f"(?:can|could) (?:{_EN_CLEAR}|an? person|someone real) (?:please )?(?:help|assist|answer"
        "|call|contact|take over|reply|talk to|speak to)(?: (?:to )?me)?(?: back)?",
        "(?:i (?:do not|dont) want|stop|enough|no more) (?:to (?:talk|speak|chat) (?:to|with) )?"
        "(?:an? |the |this |with the |with this )?(?:ro)?bot(?:s)?",
        "(?:i (?:do not|dont) want) to (?:talk|speak|chat) (?:to|with) (?:an? |the |this )?"
        "(?:machine|computer|ai|chatbot)",
    ),
    "de": (
        _DE_CLEAR,
        "(?:ich )?(?:moe?chte?n?|will|wue?rde|wue?rde gern(?:e)?|muss|kann|koe?nnte|darf|due?rfte)"
        f"(?: ich| wir)?(?: bitte| gern(?:e)?| lieber| mal| jetzt| sofort)* {_DE_SOMEBODY}"
        f"(?: bitte)? (?:sprechen|reden|schreiben|chatten|telefonieren|verbunden werden)"
        f"(?: koe?nnen)?{_DE_TAIL}",
        f"{_DE_SOMEBODY} (?:sprechen|reden|schreiben|chatten)",
        f"(?:ich )?(?:brauche|will|moe?chte)(?: bitte| gern(?:e)?)? {_DE_CLEAR}{_DE_TAIL}",
        f"(?:koe?nnen sie|kannst du|koe?nnt ihr|verbinden sie|verbinde|verbindet|geben sie|gib)"
        f"(?: bitte)? (?:mich|mir|uns)(?: bitte| mal)? (?:{_DE_SOMEBODY})(?: verbinden"
        f"| weiterleiten| geben)?{_DE_TAIL}",
        "(?:ich )?(?:will|moe?chte) (?:nicht mit (?:einem|dem|so einem)|keinen) (?:ro)?bot"
        "(?: sprechen| reden)?",
    ),
    "fr": (
        _FR_CLEAR,
        f"(?:je (?:voudrais|veux|souhaite|souhaiterais|prefere|dois|peux)|jaimerais|puis je"
        f"|est ce que je peux|est il possible de|pourrais je|on peut|je peux)(?: bien)?"
        f"(?: parler| discuter| echanger| etre mis en (?:relation|contact)"
        f"| etre mise en (?:relation|contact)) {_FR_SOMEBODY}{_FR_TAIL}",
        f"parler {_FR_SOMEBODY}{_FR_TAIL}",
        f"(?:passez moi|mettez moi en (?:relation|contact)|transferez moi|je veux|je voudrais"
        f"|il me faut|jai besoin d(?:un|une|e)?) ?{_FR_CLEAR}{_FR_TAIL}",
        "(?:passez moi|mettez moi en (?:relation|contact)|transferez moi)"
        f" {_FR_SOMEBODY}{_FR_TAIL}",
        "je ne veux pas (?:parler )?(?:a |avec )?un (?:ro)?bot",
    ),
    "es": (
        _ES_CLEAR,
        f"(?:yo )?(?:quiero|quisiera|necesito|me gustaria|puedo|podria|prefiero|deseo|debo"
        f"|es posible|como puedo)(?: yo)? (?:hablar|chatear|comunicarme|contactar|conversar)"
        f" {_ES_SOMEBODY}{_ES_TAIL}",
        f"(?:hablar|comunicarme) {_ES_SOMEBODY}{_ES_TAIL}",
        f"(?:quiero|necesito|deseo|busco|paseme(?: con)?|pasame(?: con)?|comuniqueme"
        f"|comunicame) {_ES_CLEAR}{_ES_TAIL}",
        f"(?:me )?(?:puede|puedes|podria|podrias) (?:comunicar|comunicarme|pasar|pasarme|transferir"
        f"|transferirme|conectar|conectarme|poner)(?: en contacto)? {_ES_SOMEBODY}{_ES_TAIL}",
        f"(?:pase|pasa|comunique|comunica|conecte|conecta|transfiera|transfiere)me"
        f" {_ES_SOMEBODY}{_ES_TAIL}",
        "no quiero (?:hablar )?(?:con )?un (?:ro)?bot",
    ),
    "pt": (
        _PT_CLEAR,
        f"(?:eu )?(?:quero|queria|gostaria de|preciso|preciso de|posso|poderia|prefiro|desejo"
        f"|como faco para|da para|tem como) (?:falar|conversar|ser atendido|ser atendida"
        f"|ser transferido|ser transferida) {_PT_SOMEBODY}{_PT_TAIL}",
        f"falar {_PT_SOMEBODY}{_PT_TAIL}",
        f"(?:eu )?(?:quero|preciso de|preciso|desejo|chama|chame|me passa|me passe)"
        f" {_PT_CLEAR}{_PT_TAIL}",
        f"(?:me )?(?:pode|poderia) (?:me )?(?:passar|transferir|conectar|encaminhar)"
        f" (?:para )?{_PT_SOMEBODY}{_PT_TAIL}",
        f"(?:me )?(?:passa|passe|transfere|transfira|conecte)(?: me)?(?: para)?"
        f" {_PT_SOMEBODY}{_PT_TAIL}",
        "nao quero (?:falar )?(?:com )?(?:um )?(?:robo|bot)",
    ),
    "vi": (
        "nguoi that|nhan vien(?: ho tro| tu van)?|tu van vien|tong dai vien|gap admin|admin",
        f"(?:{_VI_I} )?(?:muon|can|xin|cho {_VI_I}|co the)?(?: duoc)? ?"
        f"(?:gap|noi chuyen(?: truc tiep)? voi|noi chuyen|chat voi|trao doi voi|lien he(?: voi)?"
        f"|ket noi(?: voi)?|tro chuyen voi) {_VI_SOMEBODY}{_VI_TAIL}",
        f"(?:{_VI_I} )?(?:muon|can) (?:nguoi that|nhan vien|tu van vien)(?: ho tro| tu van)?"
        f"(?: {_VI_I})?{_VI_TAIL}",
        f"(?:{_VI_I} )?khong muon (?:noi chuyen|chat) voi (?:bot|robot|may)",
    ),
    "th": (
        f"(?:คนจริง|คนจริงๆ|มนุษย์|เจ้าหน้าที่|แอดมิน){_TH_END}",
        f"{_TH_I}{_TH_WANT}?(?:คุย|พูด|พูดคุย|ติดต่อ|แชท|แชต|สนทนา|สอบถาม)(?:กับ)?{_TH_SOMEBODY}{_TH_END}",
        f"{_TH_I}(?:ขอ|ต้องการ|เรียก|ขอสาย)(?:คุยกับ|ให้)?"
        f"(?:คนจริง|คนจริงๆ|มนุษย์|เจ้าหน้าที่|แอดมิน|พนักงาน)(?:ตอบ|มาตอบ|ช่วย)?{_TH_END}",
        f"{_TH_I}ไม่(?:อยาก|ต้องการ)(?:คุย|พูด)กับ(?:บอท|บอต|หุ่นยนต์){_TH_END}",
    ),
}
_HEARD = {
    language: re.compile("|".join(f"(?:{sentence})" for sentence in sentences))
    for language, sentences in SENTENCES.items()
}
_POLITE_WORDS = "|".join(
    sorted((word.strip() for word in _POLITE.split("|")), key=len, reverse=True)
)
_BEFORE = re.compile(f"^(?:{_POLITE_WORDS})(?: |$)")
_AFTER = re.compile(f"(?:^| )(?:{_POLITE_WORDS})$")


def asks_for_human(text: str, languages: Iterable[str], phrases: Sequence[str] = ()) -> bool:
    """Whether a message, or a sentence of it, asks for a human and for nothing else.

    Args:
        languages: whose sentences are heard, of those in `SENTENCES`.
        phrases: sentences of the channel's own.
    """
    if len(text) > MOST_CHARACTERS:
        return False
    own = _own(tuple(phrases))
    heard = [_HEARD[language].fullmatch for language in languages if language in _HEARD]

    def asks(sentence: str) -> bool:
        return sentence in own or any(matches(sentence) for matches in heard)

    return any(asks(form) for part in _parts(text) for form in _without_politeness(part))


def plain(text: str) -> str:
    """Words in lower case with one space between; Latin letters without marks."""
    lower = unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS)
    bare = _MARKS.sub("", unicodedata.normalize("NFD", _APOSTROPHES.sub("", lower)))
    return _OTHER.sub(" ", unicodedata.normalize("NFC", bare)).strip()


def _parts(text: str) -> Iterator[str]:
    """The whole, its sentences, and what stands between commas.

    One word is a request only as the whole of a message ("Mensch! That is late", "broker, agent
    and dealer"), and less than four are none between commas.
    """
    whole = plain(text)
    yield from _short(whole)
    for sentence in _SENTENCE.split(text)[:MOST_SENTENCES]:
        words = plain(sentence)
        if words != whole and (" " in words or _THAI.search(words)):
            yield from _short(words)
        for part in sentence.split(",")[:MOST_SENTENCES] if "," in sentence else ():
            if (words := plain(part)).count(" ") >= 3:
                yield from _short(words)


def _short(sentence: str) -> Iterator[str]:
    if 0 < len(sentence) <= SENTENCE_CHARACTERS:
        yield sentence


def _without_politeness(sentence: str) -> Iterator[str]:
    """The sentence, and what is left of it as polite words are taken off its ends."""
    yield sentence
    if _THAI.search(sentence):  # spaces where no rule puts them
        yield sentence.replace(" ", "")
    while rest := _AFTER.sub("", _BEFORE.sub("", sentence, count=1)):
        if rest == sentence:
            return
        yield rest
        sentence = rest


@lru_cache(maxsize=1024)
def _own(phrases: tuple[str, ...]) -> frozenset[str]:
    return frozenset(known for phrase in phrases if (known := plain(phrase)))
