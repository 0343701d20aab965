"""Webhooks as Meta would post them: each another message, signed, of the usual size."""

import hashlib
import hmac
import json
import time

SECRET = "secret-of-the-benchmark"
PATH = "/webhooks/messenger"
BODY_BYTES = 431
PEOPLE = 1000
_FILLER = "Do you have sourdough bread today, and until when are you open? I could come by at six. "


def body(number: int, run: str, page_id: str = "100") -> bytes:
    """One text message of `BODY_BYTES` bytes; `run` keeps the message ids of two runs apart."""
    now_ms = int(time.time() * 1000)
    frame = _webhook(number, run, page_id, now_ms, "")
    room = BODY_BYTES - len(frame)
    return _webhook(number, run, page_id, now_ms, (_FILLER * 5)[:room])


def batch(count: int, run: str, page_id: str = "100", first: int = 0) -> bytes:
    """One webhook with so many messages, in two entries; their numbers go on from `first`."""
    now_ms = int(time.time() * 1000)
    numbers = range(first, first + count)
    events = [_event(number, run, page_id, now_ms, _FILLER) for number in numbers]
    return _encode(page_id, now_ms, events[: count // 2], events[count // 2 :])


def _webhook(number: int, run: str, page_id: str, now_ms: int, text: str) -> bytes:
    return _encode(page_id, now_ms, [_event(number, run, page_id, now_ms, text)])


def _event(number: int, run: str, page_id: str, now_ms: int, text: str) -> dict[str, object]:
    return {
        "sender": {"id": f"2{number % PEOPLE:05d}"},
        "recipient": {"id": page_id},
        "timestamp": now_ms,
        "message": {"mid": f"m_{run}_{number:07d}", "text": text},
    }


def _encode(page_id: str, now_ms: int, *entries: list[dict[str, object]]) -> bytes:
    payload = {
        "object": "page",
        "entry": [{"id": page_id, "time": now_ms, "messaging": events} for events in entries],
    }
    return json.dumps(payload, separators=(",", ":")).encode()


def signature(content: bytes) -> str:
    return "sha256=" + hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()


def old_signature(content: bytes) -> str:
    """Meta still sends it, too, and some check nothing else."""
    return "sha1=" + hmac.new(SECRET.encode(), content, hashlib.sha1).hexdigest()


def request(content: bytes, port: int) -> bytes:
    """The whole HTTP request, ready for the socket."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature: {old_signature(content)}\r\n"
        f"X-Hub-Signature-256: {signature(content)}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
