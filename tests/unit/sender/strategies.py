"""Texts that break naive splitters: clusters of many code points, scripts without spaces, URLs."""

from hypothesis import strategies as st

CLUSTERS = [
    "👨‍👩‍👧‍👦",
    "👩🏽‍🚀",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "🇫🇷",
    "🇻🇳",
    "1️⃣",
    "❤️",
    "!\ufe0f",
    "。\u0301",
    "é",
    "e\u0301",
    "กำ",
    "ที่",
    "क्षि",
    "नि",
    "각",
    "각",
    "لا",
    "a\u0301\u0302\u0303",
]
WORDS = [
    *CLUSTERS,
    "bakery",
    "Dr.",
    "open.",
    "Really?!",
    "snake_case_word",
    "x" * 70,
    "สวัสดีครับยินดีต้อนรับ",
    "नमस्ते।",
    "मैं क्षत्रिय हूँ।",
    "مرحبا",
    "السلام عليكم؟",
    "这是一个句子。",
    "日本語の文章です！",
    "Phở",
    "🇫🇷🇻🇳🇫🇷",
    "(see",
    "•",
    "- item",
    "2. second",
    "word\u200bword",
    "zero\u200djoin\u200cer",
    "\ufeff",
    "no\u00a0break",
    "a\x00b",
]
URLS = [
    "https://example.com/",
    "https://example.com/a_b/c?d=e.f!g&h=i",
    "https://vi.wikipedia.org/wiki/Phở",
    "https://en.wikipedia.org/wiki/Bread_(food)",
    "https://example.com/q?Yes!No.Maybe",
    "www.example.com/x;y",
    "m.me/corner.bakery",
]
BLANKS = [
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\n",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "\n \n",
    "\t",
    "\n  ",
    "\u3000",
]

urls = st.sampled_from(URLS)
words = st.one_of(
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(CLUSTERS), min_size=1, max_size=40).map("".join),
    st.text(max_size=12),
)


def _texts(tokens: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pieces = st.tuples(tokens, st.sampled_from([*BLANKS, ""])).map("".join)
    return st.lists(pieces, max_size=60).map("".join)


texts = _texts(words)
"""Anything, with words that may run into one another."""

texts_with_urls = st.lists(
    st.tuples(st.one_of(words, urls), st.sampled_from(BLANKS)).map("".join), max_size=60
).map("".join)
"""Every address stands between blanks."""
