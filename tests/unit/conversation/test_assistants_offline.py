"""The assistant without a model: what it finds, and what it says when it finds nothing."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.conversation.assistants.base import Prompt, PromptLine, TurnKind
from services.conversation.assistants.offline import OfflineAssistant, write
from services.conversation.assistants.retrieval import KnowledgeIndex

HOURS = "Tuesday to Saturday from 7:00 to 18:30"
DELIVERY = "We deliver within 8 kilometres"
ALLERGENS = "the oat cookies are vegan"
CAKES = "Cakes are made to order"
PLACE = "12 Mill Lane"
BAKERY = f"""\
# Opening hours
We are open {HOURS}. On Mondays the bakery is closed.

# Where we are
You find us at {PLACE}, beside the town hall.

# Delivery
{DELIVERY} of the shop. Delivery costs 3.50.

# Ordering a cake
{CAKES}. Please order two days ahead, and four days ahead for wedding cakes.

# Allergens and diets
Our rye bread and {ALLERGENS}. We can't promise that anything is free of gluten.

# Paying
We take cash and all usual cards.
"""
GERMAN = """\
# Öffnungszeiten
Dienstag bis Samstag von 7:00 bis 18:30 Uhr.

# Lieferung
Wir liefern im Umkreis von 8 km.
"""
VIETNAMESE = """\
# Giờ mở cửa
Tiệm mở cửa từ 7 giờ sáng đến 6 giờ chiều.

# Giao hàng
Chúng tôi giao hàng trong bán kính 8 km.
"""
THAI = """\
# เวลาเปิดร้าน
ร้านเปิดวันอังคารถึงวันเสาร์ 7:00 ถึง 18:30 น.

# การจัดส่ง
เราจัดส่งในระยะ 8 กิโลเมตร
"""
CHINESE = """\
# 营业时间
周二至周六 7:00 至 18:30 营业。

# 送货
我们在八公里内送货。
"""
UNKNOWN = "Sorry, I don't know that."


@pytest.fixture
async def assistant() -> AsyncIterator[OfflineAssistant]:
    assistant = OfflineAssistant(most_indexes=2)
    yield assistant
    await assistant.aclose()


def prompt(question: str, knowledge: str = BAKERY, kind: TurnKind = "answer") -> Prompt:
    return Prompt(kind, "Be kind.", knowledge, (), question, assistant_name="Crumb")


def ask(question: str, knowledge: str = BAKERY, kind: TurnKind = "answer") -> str:
    index = KnowledgeIndex(knowledge)
    try:
        return write(prompt(question, knowledge, kind), index)
    finally:
        index.close()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What are your opening hours?", HOURS),
        ("when do you open", HOURS),
        ("are you closed on mondays?", HOURS),
        ("WHERE ARE YOU??", PLACE),
        ("Do you deliver?", DELIVERY),
        ("how much is delivery", DELIVERY),
        ("is anything gluten-free?", ALLERGENS),
        ("I have an allergy, what can I eat?", ALLERGENS),
        ("How long before the wedding must I order the cake?", CAKES),
        ("can I pay by card?", "all usual cards"),
    ],
)
def test_a_question_is_answered_with_its_section_and_no_other(question: str, answer: str) -> None:
    given_answer = ask(question)
    assert answer in given_answer
    others = {HOURS, DELIVERY, ALLERGENS, CAKES, PLACE, "all usual cards"} - {answer}
    assert not [other for other in others if other in given_answer]


@pytest.mark.parametrize(
    ("question", "knowledge", "answer"),
    [
        ("Wann haben Sie geöffnet?", GERMAN, "7:00 bis 18:30"),
        ("oeffnungszeiten", GERMAN, "7:00 bis 18:30"),
        ("Liefert ihr auch?", GERMAN, "Umkreis von 8 km"),
        ("mấy giờ tiệm mở cửa?", VIETNAMESE, "7 giờ sáng"),
        ("may gio mo cua", VIETNAMESE, "7 giờ sáng"),
        ("giao hang khong", VIETNAMESE, "bán kính 8 km"),
        ("ร้านเปิดกี่โมงคะ", THAI, "วันอังคารถึงวันเสาร์"),
        ("มีจัดส่งไหม", THAI, "8 กิโลเมตร"),
        ("你们几点营业?", CHINESE, "周二至周六"),
        ("送货吗", CHINESE, "八公里"),
    ],
)
def test_other_languages_and_scripts_are_found_too(
    question: str, knowledge: str, answer: str
) -> None:
    assert answer in ask(question, knowledge)


@pytest.mark.parametrize(
    "question",
    ["What is your wifi password?", "what is the capital of France", "asdf", "😀", "is it?", "?!"],
)
def test_what_is_not_known_is_said_together_with_what_is(question: str) -> None:
    answer = ask(question)
    assert answer.startswith(UNKNOWN)
    assert "- Opening hours\n- Where we are\n- Delivery" in answer
    assert HOURS not in answer


def test_it_says_that_it_does_not_know_in_the_persons_language() -> None:
    assert ask("Habt ihr auch Fahrräder?", GERMAN).startswith("Das weiß ich leider nicht.")
    assert ask("shop có bán xe đạp không?", VIETNAMESE).startswith("Xin lỗi")


def test_a_vague_match_is_given_with_a_doubt() -> None:
    answer = ask("Do you have vegan cheese?")
    assert "not sure" in answer
    assert ALLERGENS in answer


def test_a_burst_gets_one_answer_to_all_of_it() -> None:
    answer = ask("hi there\nare you open on saturday?\nand do you deliver?")
    assert answer.startswith("Hello!")
    assert answer.index(HOURS) < answer.index(DELIVERY)
    assert UNKNOWN not in answer


def test_a_question_in_several_lines_is_one_question() -> None:
    assert ALLERGENS in ask("so tell me\ndo you have\nvegan cookies")


def test_what_is_unanswered_beside_an_answer_is_said() -> None:
    answer = ask("Do you deliver? And can you repair my car?")
    assert DELIVERY in answer
    assert "The rest of your question I can't answer" in answer


def test_a_question_about_two_things_gets_both() -> None:
    answer = ask("Do you deliver wedding cakes?")
    assert DELIVERY in answer
    assert CAKES in answer


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Hi!", "Hello! I'm Crumb."),
        ("good morning 👋", "Hello! I'm Crumb."),
        ("Thanks a lot!!", "You're welcome!"),
        ("ok thank you, bye", "You're welcome!"),
        ("bye", "Goodbye"),
        ("Are you a bot?", "offline demo model"),
        ("hello, who are you?", "I'm Crumb. I'm an offline demo model"),
        ("help", "I can help you with:"),
        ("Xin chào", "Mình là Crumb"),
        ("สวัสดีค่ะ", "Crumb"),
    ],
)
def test_small_talk(said: str, answer: str) -> None:
    assert answer in ask(said)


def said_before(question: str, *lines: PromptLine) -> str:
    prompt = Prompt("answer", "", BAKERY, lines, question, "Crumb")
    index = KnowledgeIndex(BAKERY)
    try:
        return write(prompt, index)
    finally:
        index.close()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What did your colleague say?", "a colleague of mine wrote to you: “At five.”"),
        ("Was hat Ihre Kollegin geschrieben?", "jemand aus unserem Team geschrieben: “At five.”"),
        ("你的同事说了什么？", "“At five.”"),
        ("Do you deliver?", DELIVERY),
    ],
)
def test_it_knows_what_humans_wrote_in_the_session(question: str, answer: str) -> None:
    lines = (PromptLine("person", "When?"), PromptLine("human", "At five."))
    assert answer in said_before(question, *lines)


def test_of_colleagues_who_wrote_nothing_it_makes_nothing_up() -> None:
    assert "wrote to you" not in said_before("What did your colleague say?")


def test_a_welcome_names_the_assistant_and_its_topics() -> None:
    answer = ask("Greet the person.", kind="welcome")
    assert answer.startswith("Hello! I'm Crumb.")
    assert "- Delivery" in answer
    assert ask("Greet the person.", GERMAN, "welcome").startswith("Hallo! Ich bin Crumb.")


def test_without_knowledge_it_is_honest() -> None:
    assert ask("Do you deliver?", "") == UNKNOWN
    assert ask("hi", "") == "Hello! I'm Crumb."


def test_a_long_section_is_returned_whole_when_it_is_asked_for() -> None:
    story = "\n\n".join(
        f"## Year {year}\n\nIn {year} the bakers **baked** {year} loaves:\n\n- rye\n- oat"
        for year in range(1900, 1990)
    )
    assert len(story) > 6000
    answer = ask("Please tell me the whole story!", f"{BAKERY}\n# Our story\n{story}\n\n# Z\nz")
    assert answer == f"Here's what I know about “Our story”:\n\n{story}"


def test_of_a_long_section_only_what_is_asked_for_is_told() -> None:
    facts = "\n\n".join(f"The oven number {number} came from town{number}." for number in range(60))
    answer = ask("Where does oven 17 come from: town17?", f"{BAKERY}\n# Ovens\n{facts}")
    assert "The oven number 17 came from town17." in answer
    assert "town23" not in answer


async def test_the_same_question_gets_the_same_answer(assistant: OfflineAssistant) -> None:
    replies = [await assistant.reply(prompt("Do you deliver on Saturday?")) for _ in range(3)]
    assert len({reply.text for reply in replies}) == 1
    assert {reply.model for reply in replies} == {"offline-demo"}
    assert all(reply.duration_s >= 0 and reply.input_tokens == 0 for reply in replies)


async def test_more_texts_than_indexes_are_kept_for_are_answered_too(
    assistant: OfflineAssistant,
) -> None:
    texts = [f"# Hours\nShop {number} opens at {number}:00." for number in range(5)]
    for number, text in [*enumerate(texts), *enumerate(texts)]:
        reply = await assistant.reply(prompt("what are your hours?", text))
        assert reply.text == f"Shop {number} opens at {number}:00."


async def test_the_loop_goes_on_while_a_large_text_is_indexed(assistant: OfflineAssistant) -> None:
    large = "\n\n".join(
        f"# Title {n}\nWords about thing{n}, {n * 7} and {n * 13}." for n in range(9000)
    )
    reply = asyncio.create_task(assistant.reply(prompt("what about thing77", large)))
    turns = 0
    async with asyncio.timeout(30):
        while not reply.done():
            await asyncio.sleep(0)
            turns += 1
    assert "thing77," in (await reply).text
    assert turns > 10


async def test_a_cancelled_reply_does_not_disturb_the_next(assistant: OfflineAssistant) -> None:
    task = asyncio.create_task(assistant.reply(prompt("Do you deliver?")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert DELIVERY in (await assistant.reply(prompt("Do you deliver?"))).text


def test_no_language_model_library_is_imported() -> None:
    code = (
        "import sys, services.conversation.assistants.offline, "
        "services.conversation.assistants.factory;"
        "print([name for name in ('pydantic_ai', 'openai', 'anthropic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


WILD = st.text(max_size=80) | st.sampled_from(["\x00", '"', "* AND (", "title:", "NEAR(a b)", "-"])


@given(knowledge=st.lists(WILD, max_size=5).map("\n# ".join), question=WILD)
def test_any_text_gets_an_answer(knowledge: str, question: str) -> None:
    assert ask(question, knowledge).strip()
