"""One webhook becomes records: every entry, every element, each typed or kept as it came.

Whatever a signed webhook holds, it is accepted: an event refused for good would make Meta repeat
it for an hour and then take the Page's subscription away.
"""

from datetime import datetime

from libs.common.events import Record, UnknownReceived, derived_id, encode
from services.gateway.domain.kinds import KINDS, Element, Json, NotUsableError, standby
from services.gateway.domain.values import (
    RAW_CHARACTERS,
    identifier,
    is_true,
    json_text,
    moment,
    text,
)

NO_PAGE = "unknown"
"""Stands for the page id where a webhook names none."""

MAX_RECORD_BYTES = 700_000
"""Kafka takes 1 MiB at most, with key, headers and framing; larger would be refused for ever."""

SMALL_RECORD_BYTES = 60_000
"""What any Kafka takes, however tightly its limits were set."""

MOST_EVENTS = 10_000
"""Of one webhook. Meta documents 1,000 at most. A mebibyte has no room for so many real ones, but
for half a million zeros, each of which would become a record."""

_KEPT_SHARE = 0.25  # of the limit: what is kept is quoted once more, which may double it
_KIND_CHARACTERS = 100
_LISTS = ("messaging", "standby", "changes")
_ABOUT_THE_ELEMENT = frozenset({"sender", "recipient", "timestamp"})
_PAGE_MAY_SEND = frozenset({"message", *(kind for kind in KINDS if kind.endswith("_control"))})


def to_events(payload: object, received_at: datetime) -> list[Record]:
    """Every event of one webhook, in its order; never raises, whatever `payload` is.

    Each element of `messaging`, `standby` and `changes` makes exactly one record. What is not an
    event of a Page's conversation, or lacks what its kind must have, becomes `unknown.received`,
    and so does, as a whole, what holds more than `MOST_EVENTS`.
    Moments come from the events; `received_at` stands in where there is none to believe.
    """
    if not isinstance(payload, dict):
        return [_unknown(payload, NO_PAGE, received_at, kind="payload", reason="invalid")]
    entries = payload.get("entry")
    if not isinstance(entries, list) or not entries:
        return [_unknown(payload, NO_PAGE, received_at, kind="entry", reason="no_entries")]
    if _is_too_many(entries):
        return [_unknown(payload, NO_PAGE, received_at, kind="entry", reason="too_many")]
    if payload.get("object") != "page":
        kind = text(payload.get("object")) or "object"
        return [_foreign(entry, kind, received_at) for entry in entries]
    return [record for entry in entries for record in _of_entry(entry, received_at)]


def _is_too_many(entries: list[object]) -> bool:
    count = len(entries)
    if count <= MOST_EVENTS:
        for entry in entries:
            if isinstance(entry, dict):
                for name in _LISTS:
                    if isinstance(elements := entry.get(name), list):
                        count += len(elements)
    return count > MOST_EVENTS


def within_limit(records: list[Record], max_bytes: int = MAX_RECORD_BYTES) -> list[Record]:
    """The same records; one larger than `max_bytes` is replaced by its beginning."""
    return [
        _cut(record, max_bytes) if len(encode(record)) > max_bytes else record for record in records
    ]


def _cut(record: Record, max_bytes: int) -> Record:
    kept = encode(record)[: int(max_bytes * _KEPT_SHARE)].decode("utf-8", "ignore")
    return UnknownReceived(
        event_id=derived_id("too_large", record.event_id),
        page_id=record.page_id,
        psid=getattr(record, "psid", None),
        occurred_at=record.occurred_at,
        kind=record.type,
        reason="too_large",
        raw=kept,
    )


def _foreign(entry: object, kind: str, received_at: datetime) -> Record:
    page_id = identifier(entry.get("id")) if isinstance(entry, dict) else None
    return _unknown(entry, page_id or NO_PAGE, received_at, kind=kind, reason="wrong_object")


def _of_entry(entry: object, received_at: datetime) -> list[Record]:
    if not isinstance(entry, dict):
        return [_unknown(entry, NO_PAGE, received_at, kind="entry", reason="invalid")]
    records: list[Record] = []
    for name in _LISTS:
        elements = entry.get(name)
        if isinstance(elements, list):
            records += [_of_element(name, raw, entry, received_at) for raw in elements]
        elif elements is not None:
            records.append(_of_envelope(entry, elements, name, "invalid", received_at))
    return records or [_of_envelope(entry, entry, "entry", "no_messaging", received_at)]


def _of_element(name: str, raw: object, entry: Json, received_at: datetime) -> Record:
    if name == "changes":
        return _change(raw, entry, received_at)
    if not isinstance(raw, dict):
        return _of_envelope(entry, raw, name, "invalid", received_at)
    element = _element(raw, entry, received_at)
    try:
        return _typed(name, element)
    except NotUsableError as error:
        reason = error.reason
    except Exception:  # a fault of ours in one kind must cost neither the batch nor the Page
        reason = "gateway_error"
    page_id, at, psid = element.page_id, element.occurred_at, element.psid or None
    return _unknown(raw, page_id, at, kind=element.kind, reason=reason, psid=psid)


def _typed(name: str, element: Element) -> Record:
    make = standby if name == "standby" else KINDS.get(element.kind)
    if make is None:
        raise NotUsableError("unknown_kind")
    if element.page_id == NO_PAGE:
        raise NotUsableError("no_page")
    if not element.psid:
        raise NotUsableError("no_person")
    return make(element)


def _element(raw: Json, entry: Json, received_at: datetime) -> Element:
    """Whose conversation it is. The entry names the Page; the person is the other one.

    A message sent by the Page itself is an echo whether it says so or not: taken for a person's,
    it would be answered, and the answer again.
    """
    kind, page_id = _kind(raw), identifier(entry.get("id"))
    sender, recipient = _id_of(raw, "sender"), _id_of(raw, "recipient")
    flagged = kind == "message" and _is_flagged_echo(raw)
    page_id = page_id or (sender if flagged else recipient) or NO_PAGE
    by_page = flagged or sender == page_id
    psid = recipient if by_page else sender
    if psid == page_id or (by_page and kind not in _PAGE_MAY_SEND):
        psid = None
    at = moment(received_at, raw.get("timestamp"), entry.get("time"))
    return Element(kind, raw, page_id, psid or "", at, received_at, by_page and kind == "message")


def _change(raw: object, entry: Json, received_at: datetime) -> Record:
    """Changes of a Page's own fields (feed, labels): no conversation, no behaviour of ours yet."""
    field = text(raw.get("field")) if isinstance(raw, dict) else None
    return _of_envelope(entry, raw, field or "changes", "unsupported", received_at)


def _of_envelope(entry: Json, raw: object, kind: str, reason: str, received_at: datetime) -> Record:
    """For what is no element of a conversation: only the entry tells the page and the moment."""
    page_id = identifier(entry.get("id")) or NO_PAGE
    at = moment(received_at, entry.get("time"))
    return _unknown(raw, page_id, at, kind=kind, reason=reason)


def _kind(raw: Json) -> str:
    """Meta's key: a known one if there is one, else the first that says more than from and to."""
    for kind in KINDS:
        if kind in raw:
            return kind
    for key in raw:
        if key not in _ABOUT_THE_ELEMENT:
            return text(key) or "empty"
    return "empty"


def _is_flagged_echo(raw: Json) -> bool:
    body = raw.get("message")
    return isinstance(body, dict) and is_true(body.get("is_echo"))


def _id_of(raw: Json, role: str) -> str | None:
    party = raw.get(role)
    return identifier(party.get("id")) if isinstance(party, dict) else None


def _unknown(
    raw: object, page_id: str, at: datetime, *, kind: str, reason: str, psid: str | None = None
) -> Record:
    return UnknownReceived(
        event_id=derived_id(
            "unknown.received", page_id, kind, reason, json_text(raw, canonical=True)
        ),
        page_id=page_id,
        psid=psid,
        occurred_at=at,
        kind=kind[:_KIND_CHARACTERS],
        reason=reason,
        raw=json_text(raw)[:RAW_CHARACTERS],
    )
