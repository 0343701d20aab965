"""How long a text is, as Meta and browsers count it."""


def utf16_length(text: str) -> int:
    """In UTF-16 code units: an emoji is two.

    Meta documents "characters" and no unit. These are never fewer than characters in any other
    reading except bytes, and what a browser's `maxlength` and `length` count.
    """
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)
