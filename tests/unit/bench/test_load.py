"""What the benchmark posts is what the gateway takes, in full and signed."""

import json

from tests.bench import webhooks


def test_every_body_has_the_size_it_should_and_another_mid() -> None:
    bodies = [webhooks.body(number, "r") for number in range(3)]
    assert [len(body) for body in bodies] == [webhooks.BODY_BYTES] * 3
    events = [json.loads(body)["entry"][0]["messaging"][0] for body in bodies]
    assert len({event["message"]["mid"] for event in events}) == 3


def test_a_batch_has_all_its_messages_in_two_entries() -> None:
    entries = [
        entry
        for first in (0, 7)
        for entry in json.loads(webhooks.batch(7, "r", first=first))["entry"]
    ]
    assert [len(entry["messaging"]) for entry in entries] == [3, 4, 3, 4]
    mids = {event["message"]["mid"] for entry in entries for event in entry["messaging"]}
    assert len(mids) == 14


def test_a_request_is_complete_and_signed() -> None:
    content = webhooks.body(1, "r")
    head, _, body = webhooks.request(content, 8081).partition(b"\r\n\r\n")
    assert body == content
    assert webhooks.signature(content).encode() in head
    assert f"Content-Length: {len(content)}".encode() in head
