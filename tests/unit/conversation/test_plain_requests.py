"""A person asks for a human: what is heard, and what is something else."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.channels import ChannelSettings
from services.conversation.domain.plain_requests import (
    MOST_CHARACTERS,
    SENTENCES,
    asks_for_human,
    plain,
)
from tests.unit.conversation.factories import PATIENTLY

ALL = tuple(SENTENCES)

HITS = {
    "en": [
        "human",
        "Human!",
        "HUMAN PLEASE",
        "agent",
        "Agent please 🙏",
        "operator",
        "representative",
        "real person",
        "a real person, please",
        "live agent",
        "I want to talk to a human",
        "I'd like to speak to a person.",
        "I’d like to speak with someone",
        "Can I talk to a real person?",
        "can i speak to an agent pls",
        "Could I please speak to someone about my order?",
        "talk to a human",
        "talk to a person",
        "speak to agent",
        "chat with an agent",
        "Hi, can I talk to someone from your team?",
        "Hello. I need a human. My cake is wrong.",
        "My cake is wrong, I want to talk to a human",
        "connect me to an agent",
        "Please connect me with a human agent",
        "transfer me to a representative",
        "can you put me through to a person",
        "get me a human",
        "I need a real person",
        "I want a human now",
        "let me talk to a manager",
        "How can I talk to a human?",
        "is there a human I can talk to?",
        "can a human help me?",
        "I want to speak to customer service",
        "I don't want to talk to a bot",
        "i would rather talk to a person",
        "I need to talk to someone about a refund",
    ],
    "de": [
        "Mensch",
        "Mitarbeiter bitte",
        "echter Mensch",
        "Ich möchte mit einem Menschen sprechen",
        "ich moechte mit einem Mitarbeiter sprechen",
        "Kann ich bitte mit einem Mitarbeiter reden?",
        "Ich will mit jemandem sprechen",
        "mit einem Menschen sprechen",
        "Hallo, ich würde gerne mit einer Mitarbeiterin schreiben",
        "Ich brauche einen Mitarbeiter",
        "Verbinden Sie mich bitte mit einem Mitarbeiter",
        "Können Sie mich mit dem Kundenservice verbinden?",
        "Ich will nicht mit einem Bot reden",
    ],
    "fr": [
        "humain",
        "un conseiller s'il vous plaît",
        "Je voudrais parler à un humain",
        "je veux parler à quelqu'un",
        "Puis-je parler à un conseiller ?",
        "Bonjour, j'aimerais parler à une personne",
        "parler à un agent",
        "Passez-moi un conseiller",
        "est-ce que je peux parler avec une vraie personne ?",
        "Je veux parler à un responsable au sujet de ma commande",
    ],
    "es": [
        "humano",
        "agente por favor",
        "Quiero hablar con una persona",
        "¿Puedo hablar con un agente?",
        "Hola, quisiera hablar con alguien",
        "necesito hablar con un humano",
        "hablar con un asesor",
        "Necesito un agente",
        "Páseme con un asesor",
        "¿Me puede comunicar con una persona real?",
    ],
    "pt": [
        "atendente",
        "humano por favor",
        "Quero falar com um atendente",
        "Posso falar com uma pessoa?",
        "gostaria de falar com alguém",
        "falar com atendente",
        "Olá, preciso falar com um humano",
        "Preciso de um atendente",
        "me transfere para um atendente",
    ],
    "vi": [
        "nhân viên",
        "gặp nhân viên",
        "Tôi muốn gặp nhân viên",
        "cho tôi nói chuyện với nhân viên",
        "cho mình gặp tư vấn viên ạ",
        "muốn nói chuyện với người thật",
        "toi muon noi chuyen voi nguoi that",
        "em muốn gặp admin",
    ],
    "th": [
        "เจ้าหน้าที่",
        "ขอคุยกับเจ้าหน้าที่",
        "ขอคุยกับเจ้าหน้าที่หน่อยค่ะ",
        "อยากคุยกับคน",
        "ต้องการคุยกับแอดมินครับ",
        "สวัสดีค่ะ ขอคุยกับแอดมินหน่อยค่ะ",
        "ติดต่อเจ้าหน้าที่",
    ],
}
MISSES = [
    "",
    "   ",
    "?",
    "human resources jobs?",
    "Do you have human resources jobs?",
    "is the agent form online?",
    "Is the agent form for 2026 available?",
    "agent form",
    "I am human",
    "are you human?",
    "Are you a real person?",
    "is this a human or a bot?",
    "no human",
    "so human",
    "What is the difference between a broker, agent, and dealer?",
    "Broker. Agent. Dealer?",
    "I talked to a person yesterday",
    "The agent told me to write here",
    "I want to be an agent",
    "how do I become a representative",
    "I don't want to talk to a human",
    "please don't connect me to an agent",
    "Can I talk to you about bread?",
    "can someone help me with my order?",
    "Is someone there?",
    "do you sell human-sized cakes",
    "a cake for one person",
    "person",
    "one person",
    "how much per person?",
    "support",
    "Can I pay in person?",
    "cleaning agent",
    "raising agent",
    "which raising agent do you use?",
    "travel agent discount?",
    "real persons only",
    "I need an agent number",
    "I need support for Ukraine flags on a cake",
    "Wie viele Mitarbeiter habt ihr?",
    "Mensch, ist das teuer!",
    "Mensch! Das ist teuer.",
    "Ist das für Menschen mit Allergien geeignet?",
    "Ich habe mit einem Mitarbeiter gesprochen",
    "Sucht ihr Mitarbeiter?",
    "Le corps humain",
    "Cherchez-vous un conseiller de vente ?",
    "combien par personne ?",
    "recursos humanos",
    "¿Buscan agente de ventas?",
    "cuánto cuesta por persona",
    "recursos humanos vagas",
    "Quantos atendentes trabalham aí?",
    "tuyển nhân viên không shop?",
    "shop có tuyển nhân viên không",
    "bánh cho mấy người ăn?",
    "รับสมัครพนักงานไหม",
    "เค้กสำหรับกี่คน",
    "x" * (MOST_CHARACTERS + 1),
    "human " * 400,
]


@pytest.mark.parametrize(
    ("language", "text"), [(language, text) for language, texts in HITS.items() for text in texts]
)
def test_a_plain_request_is_heard_in_its_language_and_among_all(language: str, text: str) -> None:
    assert asks_for_human(text, [language])
    assert asks_for_human(text, ALL)


@pytest.mark.parametrize("text", MISSES)
def test_what_only_looks_like_a_request_is_none(text: str) -> None:
    assert not asks_for_human(text, ALL)


def test_a_channel_says_which_languages_are_heard() -> None:
    assert not asks_for_human("Ich möchte mit einem Menschen sprechen", ["en", "fr"])
    assert not asks_for_human("I want to talk to a human", [])


def test_a_channel_has_sentences_of_its_own() -> None:
    phrases = ("Ring the bell!", "  ")
    assert asks_for_human("please ring the bell", [], phrases)
    assert asks_for_human("I give up. Ring the BELL", [], phrases)
    assert not asks_for_human("who will ring the bell?", [], phrases)
    assert not asks_for_human("", [], phrases)


def test_every_language_of_the_settings_has_sentences() -> None:
    assert set(ChannelSettings().handover_languages) == set(SENTENCES)


@PATIENTLY
@given(st.text(max_size=300))
def test_any_text_is_judged(text: str) -> None:
    asks_for_human(text, ALL, ("ring the bell",))
    assert asks_for_human(text, [], (text,)) == bool(plain(text))


@pytest.mark.parametrize(
    "piece", ["i want to ", "please ", "a ", "hi, ", "can you ", "ขอ", ". a b"]
)
def test_no_text_takes_long_to_judge(piece: str) -> None:
    started = time.process_time()
    asks_for_human(piece * (MOST_CHARACTERS // len(piece)), ALL)
    assert time.process_time() - started < 0.5
