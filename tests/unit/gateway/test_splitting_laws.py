"""Laws of splitting, for any JSON and for real webhooks with anything put into them."""

import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.events import Record, decode, encode, headers_of, key_of, topic_of
from libs.common.topics import EVENTS
from services.gateway.domain.payload import parse
from services.gateway.domain.splitting import to_events, within_limit
from tests.unit.gateway.test_splitting import STANDBY, TYPED, UNKNOWN
from tests.unit.gateway.webhooks import entry, from_person

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

# every character, halves of surrogate pairs included: `json` reads them from a body
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 2**53, 2**63, -(2**63), 2**64, 10**30, "100", "200", "m_1", "true"]),
    st.floats(),
    TEXTS,
)
ELEMENTS: list[Any] = [
    *(element for _, element, _ in TYPED),
    *(element for element, _ in STANDBY),
    *(element for element, *_ in UNKNOWN),
    from_person(brand_new={"a": [1, {"b": None}]}),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401
    """The path to everything inside a JSON value."""
    if not isinstance(value, dict | list):
        return []
    found: list[tuple[Any, ...]] = []
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        found += [(*path, key), *places(item, (*path, key))]
    return found


NAMES = TEXTS | st.sampled_from(
    sorted(
        {"object", "entry", "id", "time", "messaging", "standby", "changes"}
        | {key for path in places(ELEMENTS) for key in path if isinstance(key, str)}
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:  # noqa: ANN401
    target = value
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = new
    return value


@st.composite
def batches(draw: st.DrawFn) -> dict[str, Any]:
    """Webhooks of several Pages."""
    names = st.sampled_from(["messaging", "standby", "changes"])
    entries = st.builds(
        lambda elements, name: entry(*deepcopy(elements), name=name),
        st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=4),
        names,
    )
    return {"object": "page", "entry": draw(st.lists(entries, min_size=1, max_size=3))}


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """Real webhooks in which one to three values were replaced by anything."""
    payload = draw(batches())
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(payload)))
        payload = put(payload, path, draw(JSON))
    return payload


def travels(record: Record) -> None:
    """A record can be written, routed and read again, and says the same."""
    assert topic_of(record) == EVENTS
    assert key_of(record).startswith(record.page_id.encode())
    assert len(headers_of(record)) >= 3
    assert encode(decode(encode(record))) == encode(record)
    assert getattr(record, "reason", "") != "gateway_error"
    assert record.occurred_at <= datetime(2026, 11, 24, 12, 5, tzinfo=UTC)


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_becomes_records_that_travel(payload: object) -> None:
    records = to_events(payload, NOW)
    assert records
    for record in records:
        travels(record)


@given(mutants())
@settings(max_examples=300, deadline=None)
def test_webhooks_with_anything_in_them_become_records_that_travel(payload: dict[str, Any]) -> None:
    records = to_events(payload, NOW)
    assert records == within_limit(records)
    for record in records:
        travels(record)


@given(mutants() | JSON)
@settings(max_examples=200, deadline=None)
def test_the_bytes_decide_and_nothing_else(payload: object) -> None:
    written = json.dumps(payload).replace("NaN", "null").replace("-Infinity", "0")
    body = written.replace("Infinity", "0").encode()
    once, again = (to_events(parse(body), NOW) for _ in range(2))
    assert once == again


@given(batches())
@settings(max_examples=100, deadline=None)
def test_every_element_makes_exactly_one_record(payload: dict[str, Any]) -> None:
    elements = [
        (each["id"], element)
        for each in payload["entry"]
        for name in ("messaging", "standby", "changes")
        for element in each.get(name, [])
    ]
    records = to_events(payload, NOW)
    assert [record.page_id for record in records] == [page for page, _ in elements]


@given(batches(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_broken_element_changes_nothing_for_the_others(
    payload: dict[str, Any], data: st.DataObject
) -> None:
    before = to_events(payload, NOW)
    each = data.draw(st.sampled_from(payload["entry"]))
    name = next(name for name in ("messaging", "standby", "changes") if name in each)
    place = data.draw(st.integers(0, len(each[name])))
    each[name].insert(place, data.draw(JSON))
    ids = [record.event_id for record in to_events(payload, NOW)]
    assert len(ids) == len(before) + 1
    assert _without_one(ids, [record.event_id for record in before])


def _without_one(longer: list[str], shorter: list[str]) -> bool:
    return any(longer[:index] + longer[index + 1 :] == shorter for index, _ in enumerate(longer))
