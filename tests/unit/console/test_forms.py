"""Forms: what is typed becomes a value, or words at the field."""

from typing import Literal

import pytest
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import Field, ValidationError

from services.console.domain.tokens import Scope
from services.console.web.forms import FORM, Form, FormModel
from services.console.web.sign_in import SECRET, EmailAddress


class Example(FormModel):
    email: EmailAddress
    name: str = Field("", max_length=5)
    minutes: int = Field(10, ge=5, le=60)
    scopes: tuple[Scope, ...] = Field((), min_length=1, validate_default=True)
    kind: Literal["a", "b"] = "a"
    password: str = Field("", min_length=3, json_schema_extra=SECRET)


async def read(*pairs: tuple[str, str]) -> Form[Example]:
    """As a browser sends it."""
    read: list[Form[Example]] = []

    async def take(request: web.Request) -> web.Response:
        read.append(await Form.read(Example, request))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    async with TestClient(TestServer(app)) as client:
        await client.post("/", data=FormData(pairs))
    return read[0]


async def test_what_is_right_becomes_a_value() -> None:
    form = await read(
        ("email", " Ana@Example.org "),
        ("minutes", "7"),
        ("scopes", "users:read"),
        ("scopes", "audit:read"),
        ("unknown", "x"),
    )
    assert form.errors == {}
    assert form.value is not None
    assert form.value.email == "ana@example.org"
    assert form.value.minutes == 7
    assert form.value.scopes == (Scope.USERS_READ, Scope.AUDIT_READ)


async def test_what_is_wrong_has_words_at_its_field_and_what_was_typed_stays() -> None:
    form = await read(
        ("email", "ana"),
        ("name", "too long"),
        ("minutes", "3"),
        ("kind", "c"),
        ("password", "x"),
    )
    assert form.value is None
    assert form.errors == {
        "email": "Expected an e-mail address, like ana@example.org.",
        "name": "Use at most 5 characters.",
        "minutes": "Enter 5 or more.",
        "scopes": "Choose at least one.",
        "kind": "Choose one of these.",
        "password": "Use at least 3 characters.",
    }
    assert form["name"] == "too long"
    assert form["password"] == "", "a password is never sent back"


async def test_spaces_are_nothing() -> None:
    form = await read(("email", "   "), ("scopes", "users:read"))
    assert form.errors == {"email": "Fill this in."}


async def test_lines_end_as_they_do_here() -> None:
    form = await read(("email", "a@b.cd"), ("scopes", "users:read"), ("name", "a\r\nb"))
    assert form.value is not None
    assert form.value.name == "a\nb", "so that counters in the browser and here agree"


def test_a_form_starts_with_defaults_and_tells_its_limits() -> None:
    form = Form.empty(Example, name="Ana")
    assert (form["name"], form["minutes"], form["email"]) == ("Ana", 10, "")
    assert (form.limit("name"), form.limit("minutes"), form.least("password")) == (5, None, 3)
    assert form.is_required("email")
    assert not form.is_required("name")


def test_what_only_trying_tells_is_an_error_as_well() -> None:
    form = Form(Example, {"email": "a@b.cd"}).fail("email", "Taken.").fail(FORM, "No.")
    assert (form.error("email"), form.error(), form.value) == ("Taken.", "No.", None)


@pytest.mark.parametrize("name", ["email", "scopes"])
def test_the_model_alone_says_what_is_right(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Example.model_validate({})
