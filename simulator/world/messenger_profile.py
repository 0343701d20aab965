"""The Messenger profile's rules: what a Page may show before the first message.

Source: Messenger Profile API with its pages on greeting, ice breakers and the persistent menu.
Where no error is documented, it is code 100 without a subcode.
"""

from typing import Any

from simulator.world import refusals
from simulator.world.sending import PAYLOAD_LIMIT, utf16_length

NAMES = ("get_started", "greeting", "ice_breakers", "persistent_menu")
GREETING_LIMIT = 160
QUESTIONS_LIMIT = 4
QUESTION_LENGTH = 80
MENU_LIMIT = 20
MENU_TITLE_LIMIT = 30

Profile = dict[str, Any]


def written(profile: Profile, params: dict[str, Any]) -> Profile:
    """The profile with what `params` set of it.

    Raises:
        Refusal: nothing is set, or something breaks a rule.
    """
    given = {name: params[name] for name in NAMES if name in params}
    if not given:
        raise refusals.invalid(f"Requires one of the params: {', '.join(NAMES)}")
    for name, value in given.items():
        _CHECKS[name](value)
    return _consistent({**profile, **given})


def removed(profile: Profile, names: object) -> Profile:
    """The profile without some of it; what was not set is no error."""
    if not isinstance(names, list) or not names:
        raise refusals.invalid("The parameter fields is required")
    _check_names(names)
    return _consistent({name: value for name, value in profile.items() if name not in names})


def chosen(profile: Profile, fields: object) -> list[Profile]:
    """What is set of the fields asked for; an empty list if nothing is."""
    names = fields.split(",") if isinstance(fields, str) else fields
    if not isinstance(names, list) or not names:
        raise refusals.invalid("The parameter fields is required")
    _check_names(names)
    found = {name: profile[name] for name in names if name in profile}
    return [found] if found else []


def _check_names(names: list[Any]) -> None:
    for name in names:
        if name not in NAMES:
            raise refusals.invalid(f"Param fields has no value {str(name)[:60]!r}")


def _consistent(profile: Profile) -> Profile:
    if "persistent_menu" in profile and "get_started" not in profile:
        raise refusals.menu_without_get_started()
    return profile


def _check_get_started(value: object) -> None:
    if not isinstance(value, dict):
        raise refusals.invalid("Param get_started must be an object")
    _text(value, "payload", "get_started", PAYLOAD_LIMIT)


def _check_greeting(value: object) -> None:
    for greeting in _by_locale(value, "greeting"):
        _text(greeting, "text", "greeting", GREETING_LIMIT)


def _check_ice_breakers(value: object) -> None:
    if isinstance(value, list) and value and all("question" in _object(each) for each in value):
        _check_questions(value)  # the old flat form
        return
    for each in _by_locale(value, "ice_breakers"):
        _check_questions(each.get("call_to_actions"))


def _check_questions(questions: object) -> None:
    if not isinstance(questions, list) or not 1 <= len(questions) <= QUESTIONS_LIMIT:
        words = f"Param ice_breakers must have 1 to {QUESTIONS_LIMIT} questions"
        raise refusals.invalid(words)
    for each in questions:
        _text(_object(each), "question", "ice_breakers", QUESTION_LENGTH)
        _text(_object(each), "payload", "ice_breakers", PAYLOAD_LIMIT)


def _check_menu(value: object) -> None:
    for menu in _by_locale(value, "persistent_menu"):
        items = menu.get("call_to_actions")
        if not isinstance(items, list) or not 1 <= len(items) <= MENU_LIMIT:
            words = f"Param persistent_menu must have 1 to {MENU_LIMIT} items"
            raise refusals.invalid(words)
        for item in items:
            _check_item(_object(item))


def _check_item(item: dict[str, Any]) -> None:
    kind = item.get("type")
    if kind == "nested" or "call_to_actions" in item:
        raise refusals.nested_menu()
    _text(item, "title", "persistent_menu", MENU_TITLE_LIMIT)
    if kind == "postback":
        _text(item, "payload", "persistent_menu", PAYLOAD_LIMIT)
    elif kind == "web_url":
        if not str(item.get("url", "")).startswith(("https://", "http://")):
            raise refusals.invalid("Param persistent_menu[url] must be an address")
    else:
        raise refusals.invalid("Param persistent_menu[type] must be one of {postback, web_url}")


_CHECKS = {
    "get_started": _check_get_started,
    "greeting": _check_greeting,
    "ice_breakers": _check_ice_breakers,
    "persistent_menu": _check_menu,
}


def _by_locale(value: object, name: str) -> list[dict[str, Any]]:
    """Entries for locales, each once, the default among them."""
    if not isinstance(value, list) or not value:
        raise refusals.invalid(f"Param {name} must be a non-empty array")
    entries = [_object(each) for each in value]
    locales = [entry.get("locale") for entry in entries]
    if "default" not in locales:
        raise refusals.invalid(f"Param {name} must have an entry of the locale default")
    if len(set(map(str, locales))) != len(locales):
        raise refusals.invalid(f"Param {name} has a locale twice")
    return entries


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refusals.invalid("Param must hold objects")
    return value


def _text(thing: dict[str, Any], name: str, param: str, limit: int) -> None:
    value = thing.get(name)
    if not isinstance(value, str) or not value:
        raise refusals.invalid(f"Param {param}[{name}] must be a non-empty string")
    if utf16_length(value) > limit:
        raise refusals.too_long(f"{param}[{name}]", limit)
