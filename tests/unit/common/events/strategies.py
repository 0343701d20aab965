"""Any record that may be on the wire, for tests that hold for all of them."""

from datetime import UTC, datetime, timedelta, timezone
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import AwareDatetime

from libs.common.events import ALL_RECORDS, Model, Record

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.builds(
    lambda seconds, zone: (datetime(2000, 1, 1, tzinfo=UTC) + seconds).astimezone(zone),
    st.timedeltas(timedelta(0), timedelta(days=36_500)),
    zones,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(0, 2**53),
    float: st.floats(0, 1e6),
    bool: st.booleans(),
    type(None): st.none(),
    AwareDatetime: moments,
}
_BY_NAME: dict[str, st.SearchStrategy[Any]] = {  # what the models constrain
    **dict.fromkeys(("event_id", "page_id", "psid"), st.text("0123456789abcxyz_-", min_size=1)),
    **dict.fromkeys(("part", "parts", "messages_answered"), st.integers(1, 99)),
    "actions": st.lists(
        st.sampled_from(["mark_seen", "typing_on", "typing_off"]), min_size=1, max_size=3
    ).map(tuple),
}


def _of(model: type[Model]) -> st.SearchStrategy[Any]:
    return st.builds(
        model,
        **{
            name: _BY_NAME[name] if name in _BY_NAME else _by_type(field.annotation)
            for name, field in model.model_fields.items()
            if name != "version" and (name != "type" or not issubclass(model, Record))
        },
    )


def _by_type(wanted: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - any annotation
    if wanted in _PLAIN:
        return _PLAIN[wanted]
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return _by_type(inner[0])
    if origin in (Union, UnionType):
        return st.one_of([_by_type(each) for each in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(_by_type(inner[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(texts, json_values, max_size=3)
    return _of(wanted)


records: st.SearchStrategy[Record] = st.one_of(
    [_of(model) for models in ALL_RECORDS.values() for model in models]
)
