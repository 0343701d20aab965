"""Which words of a question carry its meaning: stop words, words that mean the same, languages."""

import re
import unicodedata

from services.conversation.assistants.words import fold

STOP_WORDS_BY_LANGUAGE = {
    "en": """
        a about again all also am an and any anybody anyone anything are as at available be been
        before being but by can could did do does doing don done each else ever every everything
        find for from full further get give go going got had has have having he hello help her
        here hey hi him his how i if in into is it its just kind know let like ll long looking
        may me might more most much must my need no not now of off oh ok okay on one only
        or other our out over please possible question re really say see she should show so some
        someone something sort still such sure take tell than thank thanks that the their them
        then there these they thing things this those to too us usually ve very wanna want was
        way we well were what when where which while who whole whom why will wish with within
        without wonder wondering would yes yet you your yours yourself explain information info
        details morning afternoon evening time anyway actually currently today""",
    "de": """
        aber alle alles als also am an auch auf aus bei bin bist bitte da danke das dass dein
        deine dem den denn der des die dies diese dieser dir doch du ein eine einem einen einer
        eines er es etwas euch euer eure für gerne gibt gibts guten habe haben habt hallo hat
        hätte hier ich ihr ihre ihren im in ist ja kann kannst kein keine können könnt könnte
        man mal mein meine mich mir mit möchte nach nein nicht noch nur ob oder ohne schon sehr
        sein seid sich sie sind so tag um und uns unser von vom wann war was welche welchen
        welcher wenn wer werden wie wieder wieviel viel will wir wird wo woher wohin würde zu
        zum zur über""",
    "fr": """
        ai alors au aussi aux avec avez avoir bonjour bonsoir c ce cela ces cet cette combien
        comme comment d dans de des du elle en es est et être fait il ils j je l la le les leur
        lui ma mais me merci mes moi mon n ne nos notre nous on ou où par pas peut peux plus
        pour pouvez qu quand que quel quelle quelles quels qui quoi s sa salut se ses si sont
        sur svp t te tu un une vos votre vous y à ça êtes""",
    "es": """
        a al algo buenas buenos con como cómo cual cuál cuales cuáles cuando cuándo cuanto
        cuánto cuesta cuánta de del desde donde dónde días e el él ella en es esta está están
        estar este esto favor gracias ha hace hasta hay hola la las le les lo los me mi mis muy
        no nos o os para pero por puede pueden puedo que qué quiero se ser si sí sin sobre son
        su sus te tiene tienen tienes tu un una unas uno unos usted ustedes y ya yo""",
    "vi": """
        ạ anh ấy bạn bao bên bị cái cảm chào chị cho có còn của cũng đã đang đâu đây để đến được
        em gì hãy hay khi không là làm lại lúc mà mấy mình một muốn này nào nếu nhé nhiêu như
        nhưng ở ơi ơn quá rồi sao sẽ shop tại thế thì tôi trong từ và vậy về với vui lòng xin
        minh toi khong duoc cam""",
}
"""By language, as people write them; single letters are never looked for anyway."""

_RUN_FILLERS = re.compile(
    "ครับ|ค่ะ|คะ|ไหม|มั้ย|หรือเปล่า|อะไร|อย่างไร|เท่าไหร่|เท่าไร|ที่ไหน|เมื่อไหร่|กี่โมง|คุณ|ของ|สวัสดี|"
    "你们|我们|什么|怎么|请问|可以|有没有|是不是|多少|哪里|几点|你好|吗|呢|的|"
    "ですか|ますか|ください|でしょうか|です|ます|は|が|を|に"
)

_SAME = """
    hours open opening close closed closing öffnungszeiten geöffnet geschlossen offen horario
        abierto horaires ouvert;
    price prices pricing cost costs fee charge expensive cheap preis preise kosten kostet precio
        prix;
    address location located situated directions adresse standort dirección;
    pay payment card cash invoice bezahlen zahlen zahlung pagar paiement payer;
    deliver delivery delivering shipping ship liefern lieferung lieferservice liefert envío
        entrega livraison livrez;
    refund return complaint exchange broken wrong rückgabe reklamation;
    allergen allergens allergy allergic gluten allergene allergie allergien;
    phone telephone call email contact mail telefon kontakt teléfono téléphone;
    book booking reserve reservation appointment termin reservieren reservierung;
    order ordering preorder bestellen bestellung pedido commander commande
"""

_ASKED_FOR = {
    "where": "find address location located directions street",
    "when": "hours open daily",
    "wo": "adresse standort straße findet finden",
    "wann": "öffnungszeiten geöffnet uhr",
    "dónde": "dirección calle",
    "cuándo": "horario abierto",
    "où": "adresse rue trouver",
    "quand": "horaires ouvert",
    "combien": "prix coûte",
    "cuánto": "precio",
    "cuesta": "precio",
    "wieviel": "preis kosten",
    "much": "price cost",
    "đâu": "địa chỉ",
    "mấy": "giờ",
    "nhiêu": "giá",
}

_SMALL_WORDS = {code: frozenset(words.split()) for code, words in STOP_WORDS_BY_LANGUAGE.items()}
_TYPED_WITHOUT_MARKS = frozenset(
    fold(word) for code in ("en", "de", "fr", "es") for word in _SMALL_WORDS[code]
)  # not Vietnamese: there marks make other words, "bạn" (you) and "bán" (sell)
STOP_WORDS = frozenset().union(*_SMALL_WORDS.values(), _TYPED_WITHOUT_MARKS)
SAME_MEANING: dict[str, tuple[str, ...]] = {
    word: tuple(group)
    for group in (fold(line).split() for line in _SAME.split(";"))
    for word in group
}
ASKED_FOR: dict[str, tuple[str, ...]] = {
    word: (fold(word), *fold(hints).split()) for word, hints in _ASKED_FOR.items()
}
"""What a question word asks for, tried where the question says little else ("Where are you?")."""

_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = (("th", re.compile("[\u0e00-\u0e7f]")), ("zh", re.compile("[\u4e00-\u9fff]")))


def without_stop_words(text: str) -> str:
    """What is left to look for; fillers too, in scripts that have no spaces to tell words by."""
    composed = _RUN_FILLERS.sub(" ", unicodedata.normalize("NFC", text))
    return _WORD.sub(lambda word: " " if word[0].casefold() in STOP_WORDS else word[0], composed)


def asked_for(text: str) -> list[tuple[str, ...]]:
    """What its question words ask for, each as words of which one will do."""
    words = _WORD.findall(unicodedata.normalize("NFC", text))
    return [ASKED_FOR[word.casefold()] for word in words if word.casefold() in ASKED_FOR]


def language(text: str, default: str = "en") -> str:
    """The language whose small words are most frequent; `default` if none is."""
    for code, letters in _SCRIPTS:
        if letters.search(text):
            return code
    words = [word.casefold() for word in _WORD.findall(text)]
    hits = {code: sum(word in known for word in words) for code, known in _SMALL_WORDS.items()}
    best = max(hits, key=lambda code: hits[code])
    return best if hits[best] > hits.get(default, 0) else default
