"""Which pictures of people the console fetches for browsers: Meta's own, and nothing else. Pure.

The address comes from Meta, by way of the conversation service. It is checked all the same: nobody
gets the console to ask for anything else by whatever way.
"""

from yarl import URL

TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
SVG = "image/svg+xml"  # the simulator draws its people
LARGEST_BYTES = 1 << 20

_METAS = ("facebook.com", "fbcdn.net", "fbsbx.com")


def is_metas(url: str, graph_api_url: str) -> bool:
    """Whether a picture may be fetched there: from Meta's hosts, or from where its API is."""
    try:
        parsed, graph = URL(url), URL(graph_api_url)
        host = (parsed.raw_host or "").lower()
    except (ValueError, IndexError):
        return False
    if parsed.user is not None or parsed.password is not None:
        return False
    if parsed.scheme in ("http", "https") and parsed.origin() == graph.origin():
        return True
    is_usual = parsed.scheme == "https" and parsed.port == 443
    return is_usual and any(host == each or host.endswith(f".{each}") for each in _METAS)


def is_shown(content_type: str, url: str, graph_api_url: str) -> bool:
    """Whether an answer of this type is passed on as a picture."""
    if content_type == SVG:
        return URL(url).origin() == URL(graph_api_url).origin()
    return content_type in TYPES
