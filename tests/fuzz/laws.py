"""What has to come of a webhook, said a second time and without the gateway's code."""

from typing import Any

MOST = 10_000
LISTS = ("messaging", "standby", "changes")


def records_due(payload: Any) -> int:  # noqa: ANN401 - JSON
    """How many records an accepted webhook makes: one for each element, or for what has none.

    One, too, for more entries and elements than `MOST` together.
    """
    if not isinstance(payload, dict):
        return 1
    entries = payload.get("entry")
    if not isinstance(entries, list) or not entries:
        return 1
    if len(entries) + sum(map(_elements, entries)) > MOST:
        return 1
    if payload.get("object") != "page":
        return len(entries)
    return sum(map(_of_entry, entries))


def _elements(entry: Any) -> int:  # noqa: ANN401 - JSON
    found = [entry.get(name) for name in LISTS] if isinstance(entry, dict) else []
    return sum(len(each) for each in found if isinstance(each, list))


def _of_entry(entry: Any) -> int:  # noqa: ANN401 - JSON
    if not isinstance(entry, dict):
        return 1
    found = [entry[name] for name in LISTS if entry.get(name) is not None]
    return sum(len(each) if isinstance(each, list) else 1 for each in found) or 1
