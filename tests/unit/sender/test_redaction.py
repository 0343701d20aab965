"""What is kept of Meta's own words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.domain.redaction import LONGEST, redacted

PSID = "7012345678901234"
TOKEN = "EAAG" + "x9Zk" * 30


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("(#551) This person isn't available right now.",) * 2,
        ("(#10) Nicht erlaubt: Zeitfenster geschlossen.",) * 2,
        ("(#10) 此消息是在允许的时间范围之外发送的。",) * 2,
        (f"No matching user {PSID}", "No matching user [person]"),
        ("Object 1008372609250235 does not exist", "Object [number] does not exist"),
        (f"Malformed access token {TOKEN}", "Malformed access token [hidden]"),
        ("access_token=abc&x=1 is bad", "access_token=[hidden]&x=1 is bad"),
        ("see https://example.com/?t=1#x now", "see [address] now"),
        ("mail to ann@example.com", "mail to [e-mail]"),
        ("call +49 171 123 45 67", "call [number]"),
        ("cannot send 'our secret plan'", "cannot send '[text]'"),
        ("two\nlines\x00 and\ta tab", "two lines and a tab"),
        ("", ""),
    ],
)
def test_words_stay_and_what_names_somebody_or_opens_something_goes(
    message: str, kept: str
) -> None:
    assert redacted(message, PSID, "our secret plan") == kept


@given(st.text(max_size=2000), st.text(max_size=200))
def test_no_message_is_too_long_or_holds_the_person_or_a_token(before: str, after: str) -> None:
    said = redacted(f"{before} {PSID} {TOKEN} {after}", PSID)
    assert len(said) <= LONGEST
    assert PSID not in said
    assert TOKEN not in said
    assert said.isprintable()
