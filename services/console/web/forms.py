"""Forms: a pydantic model says what is right, and what is wrong stands at its field.

A page shows `Form.empty(Model)`; what is sent back is read with `Form.read(Model, request)`. With
`form.value` all is well; without, the same form is shown again with what was typed and the words
for each field. With htmx only the form is exchanged, without it the page.
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ConfigDict, ValidationError

M = TypeVar("M", bound=BaseModel)

MOST_FIELDS = 200
FORM = ""  # errors about no field in particular

_WORDS = {
    "missing": "Fill this in.",
    "string_too_short": "Use at least {min_length} characters.",
    "string_too_long": "Use at most {max_length} characters.",
    "too_short": "Choose at least one.",
    "int_parsing": "Enter a whole number.",
    "int_type": "Enter a whole number.",
    "float_parsing": "Enter a number.",
    "finite_number": "Enter a number.",
    "greater_than_equal": "Enter {ge} or more.",
    "less_than_equal": "Enter {le} or less.",
    "enum": "Choose one of these.",
    "literal_error": "Choose one of these.",
}


class FormModel(BaseModel):
    """Base of what forms send: spaces around are not meant, unknown fields not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)


class Form(Generic[M]):
    """One form as it is to be shown: what was typed, and what is wrong with it."""

    def __init__(
        self,
        model: type[M],
        values: Mapping[str, Any],
        errors: Mapping[str, str] | None = None,
        value: M | None = None,
    ) -> None:
        self._model = model
        self._secret = {
            name
            for name, field in model.model_fields.items()
            if isinstance(field.json_schema_extra, dict)
            and field.json_schema_extra.get("format") == "password"
        }
        self.values = {name: each for name, each in values.items() if name not in self._secret}
        self.errors = dict(errors or {})
        self.value = value

    @classmethod
    def empty(cls, model: type[M], /, **values: Any) -> "Form[M]":  # noqa: ANN401 - what a field takes
        """As it is shown first; fields without a value have the model's default."""
        defaults = {
            name: field.default
            for name, field in model.model_fields.items()
            if not field.is_required() and field.default_factory is None
        }
        return cls(model, defaults | values)

    @classmethod
    async def read(cls, model: type[M], request: web.Request) -> "Form[M]":
        """What was sent; empty fields count as not filled in. What can't be read is a 400."""
        try:
            data = await request.post()
        except (ValueError, LookupError, HttpProcessingError):  # no UTF-8, a broken multipart body
            raise web.HTTPBadRequest(text="This form can't be read.") from None
        lists = _list_fields(model)
        values: dict[str, Any] = {}
        for name in model.model_fields:
            given = [each for each in data.getall(name, []) if isinstance(each, str)]
            given = [each.replace("\r\n", "\n") for each in given if each.strip()]
            if name in lists:
                values[name] = given
            elif given:
                values[name] = given[0]
        try:
            return cls(model, values, value=model.model_validate(values))
        except ValidationError as error:
            return cls(model, values, _errors(error))

    def fail(self, field: str, words: str) -> "Form[M]":
        """The same, refused for a reason that only trying could tell."""
        self.errors[field] = words
        self.value = None
        return self

    def error(self, field: str = FORM) -> str | None:
        return self.errors.get(field)

    def __getitem__(self, field: str) -> Any:  # noqa: ANN401 - whatever was typed
        value = self.values.get(field)
        return "" if value is None else value

    def has(self, field: str, choice: object) -> bool:
        """Whether a box of a list is ticked."""
        return str(choice) in {str(each) for each in self.values.get(field) or ()}

    def limit(self, field: str) -> int | None:
        """The most characters that a field takes: for its counter."""
        return self._bound(field, "max_length")

    def least(self, field: str) -> int | None:
        return self._bound(field, "min_length")

    def is_required(self, field: str) -> bool:
        return self._model.model_fields[field].is_required()

    def _bound(self, field: str, name: str) -> int | None:
        for item in self._model.model_fields[field].metadata:
            if (bound := getattr(item, name, None)) is not None:
                return int(bound)
        return None


def _errors(error: ValidationError) -> dict[str, str]:
    """The first complaint about each field, in words."""
    errors: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False):
        field = str(item["loc"][0]) if item["loc"] else FORM
        if item["type"] == "value_error":
            words = item["msg"].removeprefix("Value error, ")
            words = words[:1].upper() + words[1:].rstrip(".") + "."
        else:
            words = _WORDS.get(item["type"], "This can't be used.")
            words = words.format(**{k: _plain(v) for k, v in item.get("ctx", {}).items()})
        errors.setdefault(field, words)
    return errors


def _plain(bound: object) -> object:
    """10, where a field of decimals has 10.0 as its bound."""
    return f"{bound:g}" if isinstance(bound, float) else bound


def _list_fields(model: type[BaseModel]) -> set[str]:
    return {
        name
        for name, field in model.model_fields.items()
        if getattr(field.annotation, "__origin__", None) in (tuple, list)
    }
