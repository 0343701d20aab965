"""`docs/openapi-takeover.json` is what the models say, and tells of every path that answers."""

import json
from pathlib import Path

from aiohttp import web

from libs.common.openapi import text
from services.takeover.api import openapi
from services.takeover.handlers import add_routes

FILE = Path(__file__).parents[3] / "docs" / "openapi-takeover.json"


def test_the_document_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == text(openapi()), "write it anew: make docs"


def test_every_route_is_described_and_no_other() -> None:
    app = web.Application()
    add_routes(app)
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {
        (method, path) for path, methods in openapi()["paths"].items() for method in methods
    }
    assert routes - described == {("get", "/internal/v1/openapi.json")}
    assert described <= routes


def test_references_lead_somewhere() -> None:
    document = openapi()
    schemas = document["components"]["schemas"]
    written = json.dumps(document)
    assert "#/$defs" not in written
    wanted = {part.split('"')[0] for part in written.split("#/components/schemas/")[1:]}
    assert wanted == set(schemas)
