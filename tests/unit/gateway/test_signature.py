"""Signatures, against the contract's vectors and everything that merely looks like one."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.signature import (
    BadSignatureError,
    MalformedRequestError,
    SignedRequest,
    is_valid_signature,
    parse_signed_request,
)
from tests.unit.gateway.webhooks import (
    META_BODY,
    META_SIGNATURE,
    REENCODED_SIGNATURE,
    SECRET,
    SIGNED_REQUEST,
    sign,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SHA1 = "sha1=" + hmac.new(SECRET.encode(), META_BODY, hashlib.sha1).hexdigest()


def test_metas_vector_is_accepted() -> None:
    assert len(META_BODY) == 231
    assert is_valid_signature(META_BODY, META_SIGNATURE, [SECRET])


def test_the_same_json_encoded_anew_is_refused() -> None:
    anew = json.dumps(json.loads(META_BODY), separators=(",", ":"), ensure_ascii=False).encode()
    assert sign(anew) == REENCODED_SIGNATURE
    assert not is_valid_signature(META_BODY, REENCODED_SIGNATURE, [SECRET])
    assert not is_valid_signature(anew, META_SIGNATURE, [SECRET])


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        META_SIGNATURE.removeprefix("sha256="),
        META_SIGNATURE.upper(),
        "sha256=" + META_SIGNATURE.removeprefix("sha256=").upper(),
        META_SIGNATURE[:-1],
        META_SIGNATURE + "0",
        " " + META_SIGNATURE,
        META_SIGNATURE + " ",
        META_SIGNATURE.replace("sha256", "sha1"),
        SHA1,
        f"{META_SIGNATURE},{META_SIGNATURE}",
        "sha256=" + "ä" * 64,
        "sha256=" + "\udcff" * 64,
        "sha256=" + "０" * 64,
    ],
)
def test_anything_but_the_exact_header_is_refused(header: str | None) -> None:
    assert not is_valid_signature(META_BODY, header, [SECRET])


def test_another_apps_secret_and_no_secret_at_all_are_refused() -> None:
    assert not is_valid_signature(META_BODY, sign(META_BODY, "another_secret"), [SECRET])
    assert not is_valid_signature(META_BODY, META_SIGNATURE, [])


def test_old_and_new_secret_are_accepted_while_they_overlap() -> None:
    for secret in ("new_app_secret", SECRET):
        header = sign(META_BODY, secret)
        assert is_valid_signature(META_BODY, header, ["new_app_secret", SECRET])


@given(st.binary(max_size=200), st.text(min_size=1, max_size=20))
def test_every_body_is_accepted_with_its_own_signature_only(body: bytes, secret: str) -> None:
    header = sign(body, secret)
    assert is_valid_signature(body, header, [secret])
    assert not is_valid_signature(body + b" ", header, [secret])


def signed(payload: object, secret: str = SECRET, *, padded: bool = False) -> str:
    text = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode()
    text = text if padded else text.rstrip("=")
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=") + "." + text


def request_of(user: object = "300", algorithm: object = "HMAC-SHA256") -> dict[str, object]:
    return {"algorithm": algorithm, "issued_at": 1763900000, "user_id": user}


def test_metas_signed_request_is_read() -> None:
    assert parse_signed_request(SIGNED_REQUEST, [SECRET], NOW) == SignedRequest(
        "300", datetime.fromtimestamp(1763900000, UTC)
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "a.b.c",
        SIGNED_REQUEST[1:],
        SIGNED_REQUEST + "A",
        SIGNED_REQUEST.replace(".", "=."),
        SIGNED_REQUEST.split(".")[1],
        "ä.ö",
        "\ud800.\ud800",
        signed(request_of(), "another_secret"),
    ],
)
def test_forged_signed_request_is_refused(value: str) -> None:
    with pytest.raises(BadSignatureError):
        parse_signed_request(value, [SECRET], NOW)


@pytest.mark.parametrize(
    "payload",
    [
        [],
        "text",
        {},
        request_of(user=None),
        request_of(user=True),
        request_of(user=""),
        request_of(algorithm="HMAC-SHA1"),
        request_of(algorithm=None),
    ],
)
def test_well_signed_nonsense_is_malformed(payload: object) -> None:
    with pytest.raises(MalformedRequestError):
        parse_signed_request(signed(payload), [SECRET], NOW)


def test_signed_bytes_that_are_no_json_are_malformed() -> None:
    digest = hmac.new(SECRET.encode(), b"!!!", hashlib.sha256).digest()
    value = base64.urlsafe_b64encode(digest).decode().rstrip("=") + ".!!!"
    with pytest.raises(MalformedRequestError):
        parse_signed_request(value, [SECRET], NOW)


def test_user_id_as_a_number_previous_secret_and_padding_over_which_was_signed() -> None:
    assert parse_signed_request(signed(request_of(300)), [SECRET], NOW).user_id == "300"
    old = signed(request_of(), "old_secret")
    assert parse_signed_request(old, [SECRET, "old_secret"], NOW).user_id == "300"
    assert parse_signed_request(signed(request_of(), padded=True), [SECRET], NOW).user_id == "300"
