"""Graph's `fields` parameter."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.graph.fields import Wanted, parse_fields
from simulator.world.refusals import Refusal


def test_fields_have_modifiers_and_fields_of_their_own() -> None:
    fields = parse_fields("id, updated_time,messages.limit(5){id,from{id,name}},participants")
    assert list(fields) == ["id", "updated_time", "messages", "participants"]
    messages = fields["messages"]
    assert messages.limit == 5
    assert messages.fields == {
        "id": Wanted(),
        "from": Wanted(fields={"id": Wanted(), "name": Wanted()}),
    }


@pytest.mark.parametrize("text", ["a{", "a{b", "a}", "a.limit(", "a.limit(5", "a,}", "{" * 9])
def test_what_is_not_balanced_is_a_syntax_error(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_fields(text)
    assert caught.value.code == 2500


@given(st.text(alphabet="ab,.{}()1 ", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(Refusal):
        assert all(name.strip() for name in parse_fields(text))
