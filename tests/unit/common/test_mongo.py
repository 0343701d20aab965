"""Which errors of the database mean "later", and which can never be anything but a fault."""

import asyncio
from typing import Any, cast

import pytest
from motor.motor_asyncio import AsyncIOMotorDatabase
from pydantic import SecretStr
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DuplicateKeyError,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ProtocolError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from libs.common.mongo import (
    BulkWriter,
    Collection,
    InsertOne,
    MongoUnavailableError,
    UpdateOne,
    mongo_errors,
    open_database,
    write_all,
)
from libs.common.settings import MongoSettings

AWAY = [
    AutoReconnect("gone"),
    NetworkTimeout("slow"),
    NotPrimaryError("elections"),
    ServerSelectionTimeoutError("nobody"),
    WaitQueueTimeoutError("busy"),
    ProtocolError("half an answer"),
    WTimeoutError("too few", 64),
    OperationFailure("shutting down", 91),
    OperationFailure("interrupted at shutdown", 11600),
    OperationFailure("something unforeseen in the server", 8),
    OperationFailure("without a code"),
]
FAULTS = [
    DuplicateKeyError("there already", 11000),
    OperationFailure("bad value", 2),
    OperationFailure("too large", 10334),
    InvalidOperation("closed"),
]


@pytest.mark.parametrize("error", AWAY, ids=repr)
def test_what_lies_with_the_database_is_tried_again(error: Exception) -> None:
    with pytest.raises(MongoUnavailableError), mongo_errors():
        raise error


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_what_can_never_succeed_stays_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)), mongo_errors():
        raise error


class Refusing:
    """A collection whose bulk writes end as they are told."""

    def __init__(self, **details: Any) -> None:  # noqa: ANN401
        self._details = details

    async def bulk_write(self, _operations: object, *, ordered: bool) -> None:
        assert not ordered
        raise BulkWriteError(self._details)


async def outcomes(**details: Any) -> list[object]:  # noqa: ANN401
    """What three writes that travel together hear."""
    writer = BulkWriter(cast("Collection", Refusing(**details)))
    writes = [writer.enqueue(InsertOne({"_id": str(number)})) for number in range(3)]
    return [
        type(error) if error is not None else None
        for error in await asyncio.gather(*writes, return_exceptions=True)
    ]


async def test_each_of_several_writes_hears_of_its_own_error() -> None:
    errors = [{"index": 0, "code": 11000}, {"index": 1, "code": 91}]
    assert await outcomes(writeErrors=errors) == [DuplicateKeyError, MongoUnavailableError, None]
    assert await outcomes(writeErrors=[{"index": 2, "code": 2}]) == [None, None, OperationFailure]


async def test_writes_that_too_few_servers_have_are_not_taken_for_done() -> None:
    details = {
        "writeErrors": [{"index": 1, "code": 11000}],
        "writeConcernErrors": [{"code": 64}],
    }
    expected = [MongoUnavailableError, DuplicateKeyError, MongoUnavailableError]
    assert await outcomes(**details) == expected


async def written(**details: Any) -> int:  # noqa: ANN401
    """How many of two inserts and an update have had their effect."""
    writes: list[Any] = [InsertOne({"_id": "a"}), InsertOne({"_id": "b"})]
    writes.append(UpdateOne({"_id": "c"}, {}))
    return await write_all(cast("Collection", Refusing(**details)), writes)


async def test_of_all_writes_those_count_that_found_what_they_are_for() -> None:
    taken = {"index": 0, "code": 11000}
    assert await written(writeErrors=[taken], nInserted=1, nMatched=1) == 2
    assert await write_all(cast("Collection", Refusing()), []) == 0


@pytest.mark.parametrize(
    ("details", "error"),
    [
        ({"writeErrors": [{"index": 0, "code": 11000}, {"index": 2, "code": 2}]}, OperationFailure),
        ({"writeErrors": [{"index": 1, "code": 91}]}, MongoUnavailableError),
        ({"writeConcernErrors": [{"code": 64}], "nInserted": 3}, MongoUnavailableError),
    ],
)
async def test_all_writes_fail_together_where_it_is_not_known_or_never_can_be(
    details: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await written(**details)


async def test_writes_count_once_a_majority_has_them_whatever_the_address_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a primary that dies could take back what we have built on."""

    async def build_info(*_: object) -> dict[str, str]:
        return {"gitVersion": "some"}

    monkeypatch.setattr(AsyncIOMotorDatabase, "command", build_info)
    lax = MongoSettings(uri=SecretStr("mongodb://127.0.0.1:1/?w=0&journal=false"))
    async with open_database(lax, app_name="test") as database:
        for where in (database, database["conversations"]):
            assert where.write_concern.acknowledged
            assert where.write_concern.document["w"] == "majority"
