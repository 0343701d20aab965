"""One colour for one thing, on every dashboard: green went well, orange waits, red went wrong."""

import re
from collections.abc import Mapping

_NAMES: Mapping[str, str] = {
    "half": "green",
    "95 of 100": "orange",
    "99 of 100": "red",
    "received": "blue",
    "answered": "green",
    "delivered": "green",
    "read": "light-blue",
    "failed": "red",
    "held": "orange",
    "not sent": "orange",
    "webhooks": "blue",
    "answers": "green",
    "input": "blue",
    "output": "purple",
}
_BY_LABEL: Mapping[str, Mapping[str, str]] = {
    "outcome": {
        "accepted": "green",
        "ok": "green",
        "acknowledged": "green",
        "delivered": "green",
        "shown": "green",
        "limited": "orange",
        "retried": "orange",
        "refused": "red",
        "failed": "red",
        "unavailable": "red",
        "bad_signature": "purple",
        "token": "red",
        "dead_letter": "red",
    },
    "state": {"sent": "green", "held": "orange", "failed": "red"},
    "status": {"active": "green", "expired": "orange", "revoked": "red", "disconnected": "text"},
    "kind": {
        "answer": "green",
        "welcome": "light-green",
        "text_only": "blue",
        "handover": "purple",
        "fallback": "orange",
    },
    "origin": {"assistant": "green", "human": "purple", "human_facebook": "light-purple"},
    "what": {"assistant": "green", "human": "purple", "human_facebook": "light-purple"},
    "direction": {"input": "blue", "output": "purple"},
    "job": {
        "gateway": "blue",
        "conversation": "purple",
        "sender": "green",
        "takeover": "orange",
        "analytics": "yellow",
        "console": "light-blue",
    },
}
_ONE_LABEL = re.compile(r"\{\{(\w+)\}\}")


def colours_of(legend: str) -> Mapping[str, str]:
    """By a series' name, where its colour is settled. What else there is takes Grafana's."""
    if legend in _NAMES:
        return {legend: _NAMES[legend]}
    label = _ONE_LABEL.fullmatch(legend)
    return _BY_LABEL.get(label[1], {}) if label else {}
