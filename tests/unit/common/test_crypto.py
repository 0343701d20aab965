"""What is encrypted comes back whole, to its own context, from the right key, or not at all."""

import base64
import traceback

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deploy.local.secrets_file import MADE
from libs.common.crypto import KEY_BYTES, DecryptionError, KeyRing
from libs.common.errors import PermanentError

# the same in every process: they stand in the names of tests
OLD, NEW = (base64.b64encode(bytes(range(first, first + 32))).decode() for first in (100, 200))
RING = KeyRing.parse(f"k1:{OLD}")
ROTATED = KeyRing.parse(f"k2:{NEW},k1:{OLD}")

texts = st.text(st.characters(exclude_categories=["Cs"]))
contexts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(texts, contexts)
def test_round_trip(text: str, context: str) -> None:
    token = RING.encrypt(text, context=context)
    assert RING.decrypt(token, context=context) == text
    assert token.startswith("v1.k1.")
    assert token.isascii()


@given(texts, contexts, contexts)
def test_another_context_is_refused(text: str, context: str, other: str) -> None:
    assume(context != other)
    token = RING.encrypt(text, context=context)
    with pytest.raises(DecryptionError):
        RING.decrypt(token, context=other)


@given(texts, st.data())
def test_any_changed_character_is_refused(text: str, data: st.DataObject) -> None:
    token = ROTATED.encrypt(text, context="page")
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda character: character != token[at]))
    with pytest.raises(DecryptionError):
        ROTATED.decrypt(token[:at] + other + token[at + 1 :], context="page")


@given(texts, st.data())
def test_cut_and_lengthened_tokens_are_refused(text: str, data: st.DataObject) -> None:
    token = RING.encrypt(text, context="page")
    for changed in (
        token[: data.draw(st.integers(0, len(token) - 1))],
        token + data.draw(st.text(min_size=1, max_size=8)),
    ):
        with pytest.raises(DecryptionError):
            RING.decrypt(changed, context="page")


@given(st.text())
def test_whatever_is_no_token_is_refused_alike(text: str) -> None:
    with pytest.raises(DecryptionError):
        RING.decrypt(text, context="page")


def test_key_id_of_a_token_cannot_be_exchanged() -> None:
    """Even if both ids stand for the same key."""
    twins = KeyRing.parse(f"a:{OLD},b:{OLD}")
    token = twins.encrypt("secret", context="page")
    with pytest.raises(DecryptionError):
        twins.decrypt(token.replace("v1.a.", "v1.b."), context="page")


def test_same_text_never_gives_the_same_token() -> None:
    assert len({RING.encrypt("secret", context="page") for _ in range(100)}) == 100


@given(texts, contexts)
def test_rotation(text: str, context: str) -> None:
    before = RING.encrypt(text, context=context)
    assert RING.is_current(before)
    assert not ROTATED.is_current(before)

    again = ROTATED.encrypt(ROTATED.decrypt(before, context=context), context=context)
    assert ROTATED.is_current(again)
    without_old = KeyRing.parse(f"k2:{NEW}")
    assert without_old.decrypt(again, context=context) == text
    with pytest.raises(DecryptionError, match="not on the ring"):
        without_old.decrypt(before, context=context)


def test_key_id_that_begins_with_the_current_one_is_another() -> None:
    longer = KeyRing.parse(f"k10:{NEW}").encrypt("secret", context="page")
    assert not RING.is_current(longer)


def test_decryption_error_is_permanent_and_silent() -> None:
    token = RING.encrypt("the secret itself", context="page")
    with pytest.raises(PermanentError) as caught:
        RING.decrypt(token, context="other page")
    shown = "".join(traceback.format_exception(caught.value))
    assert caught.value.code == "undecryptable"
    assert token not in shown
    assert "the secret itself" not in shown


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "entry 1 is empty"),
        (f"k1:{OLD},", "entry 2 is empty"),
        (OLD, "entry 1 does not begin with an id and a colon"),
        (f":{OLD}", "entry 1 does not begin with an id and a colon"),
        (f"k.1:{OLD}", "entry 1 does not begin with an id and a colon"),
        (f"{'k' * 33}:{OLD}", "entry 1 does not begin with an id and a colon"),
        (f"k1:{OLD},k2:{NEW[:-4]}", "the key of entry 2 has 30 bytes instead of 32"),
        (f"k1:{OLD}AAAA", "the key of entry 1 is not base64"),
        (f"k1:{OLD[:20]}!{OLD[21:]}", "the key of entry 1 is not base64"),
        (f"k1:{OLD[:20]}é{OLD[21:]}", "the key of entry 1 is not base64"),
        (f"k1:{OLD},k1:{NEW}", "entry 2 has the id of an earlier one"),
        ("k1:", "the key of entry 1 has 0 bytes instead of 32"),
    ],
)
def test_bad_key_ring_says_what_is_wrong_and_never_shows_a_key(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        KeyRing.parse(text)
    shown = "".join(traceback.format_exception(caught.value))
    assert OLD[:20] not in shown
    assert NEW[:20] not in shown


@given(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
def test_every_spelling_of_base64_is_the_same_key(key: bytes) -> None:
    token = KeyRing({"k1": key}).encrypt("secret", context="page")
    standard, urlsafe = base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()
    for spelling in (standard, urlsafe, standard.rstrip("="), f" {urlsafe} "):
        assert KeyRing.parse(f"k1:{spelling}").decrypt(token, context="page") == "secret"


def test_ring_takes_what_the_local_stack_makes() -> None:
    ring = KeyRing.parse(MADE["ENCRYPTION_KEYS"]())
    assert ring.decrypt(ring.encrypt("secret", context="page"), context="page") == "secret"


def test_ring_shows_ids_and_no_keys() -> None:
    assert repr(ROTATED) == "KeyRing(k2, k1)"


@pytest.mark.parametrize("keys", [{}, {"k1": b"short"}])
def test_ring_refuses_no_key_and_keys_of_another_size(keys: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        KeyRing(keys)
