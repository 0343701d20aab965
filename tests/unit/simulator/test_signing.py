"""Against the vectors that were computed from Meta's documentation."""

import pytest

from simulator.signing import appsecret_proof, signature_headers, wire_body

SECRET = "test_app_secret"
PAYLOAD = {
    "object": "page",
    "entry": [
        {
            "id": "100",
            "time": 1763900000123,
            "messaging": [
                {
                    "sender": {"id": "200"},
                    "recipient": {"id": "100"},
                    "timestamp": 1763900000001,
                    "message": {"mid": "m_1", "text": "äöå 😀 http://a.b/c"},
                }
            ],
        }
    ],
}


def test_body_and_signature_are_the_documented_ones() -> None:
    body = wire_body(PAYLOAD)
    assert len(body) == 231
    assert body.endswith(rb'"text":"\u00e4\u00f6\u00e5 \ud83d\ude00 http:\/\/a.b\/c"}}]}]}')
    expected = "sha256=03b9b1cfd6229d0b8f9fb3db206f783b1b232c547c583e4918639df30e267166"
    assert signature_headers(body, SECRET)["X-Hub-Signature-256"] == expected


def test_old_signature_goes_with_it() -> None:
    old = signature_headers(b"{}", SECRET)["X-Hub-Signature"]
    assert old.startswith("sha1=")
    assert len(old) == len("sha1=") + 40


@pytest.mark.parametrize(
    ("token", "proof"),
    [("EAATESTTOKEN", "bad6df0b858104754a0ffde2f0c05fe9731f1a5e141ee1bccf316d05f28d5135")],
)
def test_proof_is_the_documented_one(token: str, proof: str) -> None:
    assert appsecret_proof(token, SECRET) == proof
