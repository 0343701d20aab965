"""What was last heard and said on a Page, told from the archive as the service writes it."""

from libs.common.mongo import Database
from services.conversation.checks import TrafficReader
from services.conversation.store import ConversationStore
from tests.integration.test_conversation_store import keep
from tests.unit.conversation import factories as make
from tests.unit.conversation.factories import APP, PAGE

NOTHING = {"message": None, "reply": None, "receipt_at": None}


def moment(seconds: float) -> str:
    return make.at(seconds).isoformat()


async def test_message_reply_echo_and_receipt_turn_up_one_after_the_other(
    database: Database,
) -> None:
    store, traffic = ConversationStore(database), TrafficReader(database)
    assert await traffic.of_page(PAGE) == NOTHING

    await keep(store, make.message("m1", seconds=1))
    assert await traffic.of_page(PAGE) == NOTHING | {"message": {"at": moment(1)}}

    await keep(store, make.failed("c0"), make.held("c1"), first=1)
    assert (await traffic.of_page(PAGE))["reply"] is None  # nobody knows that Meta has them

    await keep(store, make.sent("c2", seconds=3), first=3)
    told = await traffic.of_page(PAGE)
    assert told["reply"] == {"at": moment(3), "echoed": False}
    assert told["receipt_at"] is None

    await keep(store, make.echo("e1", app_id=APP, send_id="c2:0", seconds=3), first=4)
    assert (await traffic.of_page(PAGE))["reply"] == {"at": moment(3), "echoed": True}

    await keep(store, make.delivered(int(make.at(3).timestamp() * 1000)), first=5)
    told = await traffic.of_page(PAGE)
    assert told["receipt_at"] == moment(3)
    assert "hello" not in str(told)


async def test_another_pages_messages_are_not_told(database: Database) -> None:
    await keep(ConversationStore(database), make.message("m1"))
    assert await TrafficReader(database).of_page("9") == NOTHING
