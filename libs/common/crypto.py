"""Secrets at rest: AES-256-GCM with a ring of keys, so that a key can be replaced without a stop.

A token reads `v1.<key id>.<base64url of nonce, ciphertext and tag>`. Format and key id are
authenticated together with the context, so that nothing of a token can be exchanged for something
else: not the key it names, and not the page it belongs to.

To rotate: put the new key at the end everywhere, so that all can read it; then in front, where it
encrypts; encrypt again what `is_current` denies; remove the old key.
"""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.common.errors import PermanentError

FORMAT = "v1"
KEY_BYTES = 32
NONCE_BYTES = 12  # GCM's own size; random ones are safe for 2^32 tokens a key
TAG_BYTES = 16

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_EXPECTED = "expected id:base64 of 32 bytes, comma separated, ids of letters, digits, _ and -"


class DecryptionError(PermanentError):
    """The token was made with a key we don't have, for another context, or was tampered with."""

    code = "undecryptable"


class KeyRing:
    """Keys by id. The first one, `current`, encrypts; all of them decrypt.

    `fingerprints`: by id, what tells whether two services have the same key.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Args: keys: 32 bytes each, in order. Raises: ValueError: none, or of another size."""
        if not keys:
            raise ValueError(f"no encryption key: {_EXPECTED}")
        for key_id, key in keys.items():
            if len(key) != KEY_BYTES:
                raise ValueError(f"key {key_id!r} has {len(key)} bytes instead of {KEY_BYTES}")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.current = next(iter(keys))
        self.fingerprints = {key_id: _fingerprint(key) for key_id, key in keys.items()}

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read `id:base64,id2:base64`; both alphabets of base64 will do.

        Raises:
            ValueError: says which entry is wrong and how, and never shows a key.
        """
        keys: dict[str, bytes] = {}
        for position, entry in enumerate(text.split(","), start=1):
            key_id, key = _parse_entry(position, entry.strip())
            if key_id in keys:
                raise ValueError(f"entry {position} has the id of an earlier one: ids are unique")
            keys[key_id] = key
        return cls(keys)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._ciphers)})"

    def encrypt(self, text: str, *, context: str) -> str:
        """Encrypt with the first key.

        Args:
            text: whatever has to be kept secret.
            context: what it belongs to, e.g. the page id; decrypting needs the very same.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        head = f"{FORMAT}.{self.current}"
        sealed = self._ciphers[self.current].encrypt(nonce, text.encode(), _bound(head, context))
        return f"{head}.{_to_base64url(nonce + sealed)}"

    def decrypt(self, token: str, *, context: str) -> str:
        """The text, if the token is untouched and of this context.

        Raises:
            DecryptionError: it is not, or its key is not on the ring.
        """
        head, key_id, sealed = _split(token)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise DecryptionError("its key is not on the ring")
        nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, ciphertext, _bound(head, context)).decode()
        except InvalidTag:
            raise DecryptionError("another context, or not as it was written") from None

    def is_current(self, token: str) -> bool:
        """Whether the first key made it; if not, encrypt its text again before that key goes."""
        return token.startswith(f"{FORMAT}.{self.current}.")


def generate_key() -> str:
    """A new key as `KeyRing.parse` reads it after the id and the colon."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _fingerprint(key: bytes) -> str:
    """Tells whether two keys are the same, and nothing else: 48 bits of a hash of random bytes."""
    return hashlib.sha256(b"encryption-key:" + key).hexdigest()[:12]


def _parse_entry(position: int, entry: str) -> tuple[str, bytes]:
    """Without a colon the whole entry may be a key, hence no text of it is ever quoted."""
    if not entry:
        raise ValueError(f"entry {position} is empty: {_EXPECTED}")
    key_id, colon, encoded = entry.partition(":")
    if not colon or not _KEY_ID.fullmatch(key_id):
        raise ValueError(f"entry {position} does not begin with an id and a colon: {_EXPECTED}")
    try:
        key = _from_base64(encoded.strip())
    except ValueError:
        raise ValueError(f"the key of entry {position} is not base64: {_EXPECTED}") from None
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"the key of entry {position} has {len(key)} bytes instead of {KEY_BYTES}: {_EXPECTED}"
        )
    return key_id, key


def _split(token: str) -> tuple[str, str, bytes]:
    """Head, key id and sealed bytes. Only the one canonical spelling of a token is accepted."""
    parts = token.split(".")
    if len(parts) != 3 or parts[0] != FORMAT:
        raise DecryptionError("not a token of a known format")
    try:
        sealed = _from_base64(parts[2])
    except ValueError:
        raise DecryptionError("not a token of a known format") from None
    if len(sealed) < NONCE_BYTES + TAG_BYTES or _to_base64url(sealed) != parts[2]:
        raise DecryptionError("not as it was written")
    return f"{FORMAT}.{parts[1]}", parts[1], sealed


def _bound(head: str, context: str) -> bytes:
    """What is authenticated beside the text; a head holds no line break, so no two are alike."""
    return f"{head}\n{context}".encode()


def _to_base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _from_base64(text: str) -> bytes:
    """Raises: ValueError: it is not base64, in either alphabet, padded or not."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
