"""`docs/connect-a-real-page.md` gives Meta's dashboard what the code expects."""

import re
from pathlib import Path

import pytest
from aiohttp import web

from services.console.connecting import CALLBACK
from services.console.domain.facebook_login import FIELDS, PERMISSIONS
from services.console.web.verify import WEBHOOK
from services.gateway import callbacks, handlers
from tests.unit.docs.variables import ROOTS, variables

TEXT = (Path(__file__).parents[3] / "docs" / "connect-a-real-page.md").read_text(encoding="utf-8")
SERVICES = set(ROOTS) - {"simulator", "topics"}
HOOKS, CONSOLE = "https://hooks.example.org", "https://console.example.org"


def section(title: str) -> str:
    _, found, rest = TEXT.partition(f"\n## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """The names between backticks in the first column of its tables."""
    rows = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_the_webhook_subscribes_to_what_a_page_does() -> None:
    assert sorted(first_cells(section("5. The webhook"))) == sorted(FIELDS)
    assert len(FIELDS) == 12, "the text says twelve"


def test_each_permission_is_told_with_its_reason() -> None:
    told = first_cells(section("7. Permissions, and why"))
    assert told == [*PERMISSIONS, "business_management"]


def test_addresses_are_those_that_are_served() -> None:
    app = web.Application()
    handlers.add_routes(app)
    callbacks.add_routes(app)
    served = {route.resource.canonical for route in app.router.routes() if route.resource}
    told = set(re.findall(rf"{HOOKS}(/[\w/-]+)", TEXT))
    assert told <= served
    assert told == {WEBHOOK, f"{WEBHOOK}/deauthorize", f"{WEBHOOK}/data-deletion"}
    assert set(re.findall(rf"{CONSOLE}(/[\w/-]+)", TEXT)) == {CALLBACK}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"^\| `([A-Z_]+)`", TEXT, re.MULTILINE))))
def test_who_reads_a_variable_is_told_rightly(name: str) -> None:
    row = re.search(rf"^\| `{name}` \| .* \| ([^|]*) \|$", TEXT, re.MULTILINE)
    assert row
    told = SERVICES - {"gateway"} if row[1] == "all but the gateway" else set(row[1].split(", "))
    assert told == {
        service for service in SERVICES if name in {each.name for each in variables(ROOTS[service])}
    }
