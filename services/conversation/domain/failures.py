"""Why an assistant gave no answer, for those who look after it. Pure."""

from collections.abc import Mapping
from typing import Literal

Cause = Literal[
    "assistant_refused",
    "key_missing",
    "key_unreadable",
    "key_refused",
    "model_unknown",
    "address_forbidden",
    "out_of_credit",
]
"""What a provider refuses for, or we before it is asked. It stands in `turn.failed`."""

_WORDS: Mapping[str, str] = {
    "assistant_refused": "The provider refuses the request as it is. Look at the model and the "
    "address.",
    "key_missing": "No API key is stored, and this provider asks for one. Enter it under Model.",
    "key_unreadable": "The stored API key can't be decrypted: the installation's encryption keys "
    "have changed. Enter the API key again.",
    "key_refused": "The provider refuses the API key. Is it complete, of this provider, and still "
    "valid?",
    "model_unknown": "The provider has no such model, or nothing at this address. Look at the "
    "model's name and the address.",
    "address_forbidden": "The address leads inside the network, where this installation asks "
    "nobody. Use a public address, or ask whoever runs this to open it.",
    "out_of_credit": "The provider says that the account's credit or quota is used up.",
    "assistant_unavailable": "The model could not be reached, was overloaded, or answered nothing "
    "that could be used. It may work again in a moment.",
    "deadline": "The model took too long.",
    "daily_limit": "The Page's limit of model calls or tokens for today is reached.",
    "no_assistant": "The assistant that was chosen for the Page is gone. Choose another one in the "
    "Page's settings.",
    "assistant_failed": "Something went wrong in the conversation service. It stands in its log.",
}

ALL_FAILURES = frozenset({*_WORDS, "loop_suspected"})
"""What stands in `turn.failed`."""


def words_for(failure: str) -> str:
    """A cause in words. Never a text of the provider's: it might quote a key, or what was asked."""
    return _WORDS.get(failure, "No answer could be made.")
