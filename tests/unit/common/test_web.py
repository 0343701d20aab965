"""What every service answers: probes, metrics, errors, and nothing without the service token."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr
from structlog.testing import capture_logs

from libs.common import web as common_web
from libs.common.errors import TransientError
from libs.common.web import (
    PREVIOUS_SECRETS,
    UNAUTHORIZED,
    Late,
    Readiness,
    base_app,
    json_errors,
    problem,
    require_service_token,
)

TOKEN = "service-token-of-the-tests"
Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[Client]:
    async with TestClient(TestServer(app)) as client:
        yield client


def saying(answer: bool) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return answer

    return check


async def failing() -> bool:
    raise ConnectionError("away")


async def hanging() -> bool:
    await asyncio.Event().wait()
    return True


class Counting:
    """A check that counts how often it is asked."""

    def __init__(self, answer: bool = True) -> None:
        self.answer, self.asked = answer, 0

    async def __call__(self) -> bool:
        self.asked += 1
        return self.answer


async def test_alive_whatever_else_is_broken() -> None:
    readiness = Readiness()
    readiness.add("kafka", failing)
    async with serving(base_app(readiness)) as client, client.get("/healthz") as response:
        assert response.status == 200
        assert await response.json() == {"status": "alive"}


@pytest.mark.parametrize(
    ("checks", "status", "answers"),
    [
        ({}, 503, {"started": False}),
        ({"kafka": saying(True)}, 200, {"kafka": True}),
        ({"kafka": saying(True), "mongodb": saying(False)}, 503, {"kafka": True, "mongodb": False}),
        ({"kafka": failing, "mongodb": saying(True)}, 503, {"kafka": False, "mongodb": True}),
    ],
)
async def test_ready_only_if_every_check_says_yes(
    checks: dict[str, Callable[[], Awaitable[bool]]], status: int, answers: dict[str, bool]
) -> None:
    readiness = Readiness()
    for name, check in checks.items():
        readiness.add(name, check)
    async with serving(base_app(readiness)) as client, client.get("/readyz") as response:
        assert response.status == status
        assert (await response.json())["checks"] == answers


async def test_check_that_never_answers_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common_web, "CHECK_WITHIN_S", 0.01)
    readiness = Readiness()
    readiness.add("kafka", hanging)
    readiness.add("mongodb", saying(True))
    async with asyncio.timeout(5):
        assert await readiness.answer() == {"kafka": False, "mongodb": True}


async def test_metrics_tell_each_check_and_do_not_wait_for_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(common_web, "TELL_WITHIN_S", 0.05)
    readiness = Readiness()

    async def told() -> set[str]:
        async with client.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        return {line for line in lines if line.startswith("assistant_ready{")}

    async with serving(base_app(readiness)) as client, asyncio.timeout(5):
        assert await told() == {'assistant_ready{check="started"} 0.0'}
        readiness.add("mongodb", saying(True))
        readiness.add("kafka", failing)
        assert await told() == {
            'assistant_ready{check="mongodb"} 1.0',
            'assistant_ready{check="kafka"} 0.0',
        }
        readiness.add("kafka", hanging)  # which says nothing of the database
        assert await told() == {
            'assistant_ready{check="mongodb"} 1.0',
            'assistant_ready{check="kafka"} 0.0',
        }


async def test_yes_is_kept_for_a_while_and_no_is_asked_again() -> None:
    readiness, check = Readiness(), Counting()
    readiness.add("kafka", check)
    for _ in range(3):
        assert await readiness.answer() == {"kafka": True}
    assert check.asked == 1

    other = Counting(answer=False)
    readiness.add("mongodb", other)  # a new check makes the kept answer worthless
    for _ in range(3):
        assert await readiness.answer() == {"kafka": True, "mongodb": False}
    assert other.asked == 3
    other.answer = True
    assert (await readiness.answer())["mongodb"] is True


async def test_kept_answer_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common_web, "READY_CACHE_S", -1.0)
    readiness, check = Readiness(), Counting()
    readiness.add("kafka", check)
    await readiness.answer()
    await readiness.answer()
    assert check.asked == 2


async def test_service_that_stops_is_not_ready() -> None:
    readiness = Readiness()
    readiness.add("kafka", saying(True))
    assert await readiness.answer() == {"kafka": True}
    readiness.clear()
    assert await readiness.answer() == {"started": False}


async def test_metrics_are_prometheus_text() -> None:
    async with serving(base_app(Readiness())) as client, client.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain")
        assert "assistant_" in await response.text()


def guarded() -> web.Application:
    app = base_app(Readiness(), json_errors, require_service_token(SecretStr(TOKEN)))

    async def parcels(_request: web.Request) -> web.Response:
        return web.json_response({"parcels": []})

    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("words that nobody outside shall read")

    async def away(_request: web.Request) -> web.Response:
        raise TransientError("nobody outside shall read this")

    async def late(_request: web.Request) -> web.Response:
        return Late[web.Response]("The publisher").get()

    app.router.add_get("/parcels", parcels)
    app.router.add_get("/people/{person}/broken", broken)
    app.router.add_get("/people/{person}/away", away)
    app.router.add_get("/broken", broken)
    app.router.add_get("/away", away)
    app.router.add_get("/late", late)
    return app


@pytest.mark.parametrize("what", ["broken", "away"])
async def test_what_fails_is_logged_by_its_route_which_names_nobody(what: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with capture_logs() as logs:
        async with serving(guarded()) as client:
            await client.get(f"/people/7391028401%0A/{what}", headers=headers)
    assert [line["path"] for line in logs] == [f"/people/{{person}}/{what}"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"bearer {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer é"},
    ],
)
@pytest.mark.parametrize("path", ["/parcels", "/nowhere", "/broken", "/healthz/x", "/healthz%2F"])
async def test_no_path_without_the_token(path: str, headers: dict[str, str]) -> None:
    async with serving(guarded()) as client, client.get(path, headers=headers) as response:
        assert response.status == 401
        assert (await response.json())["error"]["code"] == "unauthorized"


@pytest.mark.parametrize(("given", "status"), [("new", 200), ("old", 200), ("older", 401)])
async def test_while_a_token_is_replaced_the_previous_one_is_accepted_and_counted(
    given: str, status: int
) -> None:
    tokens = (SecretStr(f"{TOKEN}-new"), SecretStr(f"{TOKEN}-old"))
    app = base_app(Readiness(), require_service_token(*tokens))

    async def parcels(_request: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/parcels", parcels)
    used, refused = counted(), UNAUTHORIZED._value.get()
    headers = {"Authorization": f"Bearer {TOKEN}-{given}"}
    async with serving(app) as client, client.get("/parcels", headers=headers) as response:
        assert response.status == status
    assert counted() - used == (given == "old")
    assert UNAUTHORIZED._value.get() - refused == (status == 401)


def counted() -> float:
    return float(PREVIOUS_SECRETS.labels("service_token")._value.get())


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
async def test_probes_need_no_token(path: str) -> None:
    async with serving(guarded()) as client, client.get(path) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "header"),
    [
        ("GET", "/nowhere", 404, "not_found", None),
        ("POST", "/parcels", 405, "method_not_allowed", ("Allow", "GET,HEAD")),
        ("GET", "/late", 503, "service_unavailable", ("Retry-After", "1")),
        ("GET", "/broken", 500, "internal_error", None),
        ("GET", "/away", 503, "transient", ("Retry-After", "1")),
    ],
)
async def test_errors_are_json_and_keep_what_a_client_needs(
    method: str, path: str, status: int, code: str, header: tuple[str, str] | None
) -> None:
    auth = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        serving(guarded()) as client,
        client.request(method, path, headers=auth) as response,
    ):
        error: dict[str, Any] = (await response.json())["error"]
        assert response.status == status
        assert error["code"] == code
        assert "nobody outside" not in error["message"]
        if header is not None:
            assert response.headers[header[0]] == header[1]


async def test_a_body_that_is_not_what_it_says_is_refused_and_no_fault_of_ours() -> None:
    app = base_app(Readiness(), json_errors)

    async def read(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app.router.add_post("/", read)
    headers = {"Content-Encoding": "gzip"}
    with capture_logs() as logged:
        async with (
            serving(app) as client,
            client.post("/", data=b"no gzip", headers=headers) as got,
        ):
            assert got.status == 400
            assert (await got.json())["error"]["code"] == "unreadable"
    assert logged == []


async def test_token_opens_the_door() -> None:
    auth = {"Authorization": f"Bearer {TOKEN}"}
    async with serving(guarded()) as client, client.get("/parcels", headers=auth) as response:
        assert await response.json() == {"parcels": []}


def test_what_is_late_has_a_value_between_start_and_stop() -> None:
    late: Late[int] = Late("The number")
    with pytest.raises(web.HTTPServiceUnavailable):
        late.get()
    late.set(0)
    assert late.get() == 0
    late.clear()
    with pytest.raises(web.HTTPServiceUnavailable, match="Unavailable") as caught:
        late.get()
    assert caught.value.headers["Retry-After"] == "1"


def test_problem_names_the_field_if_there_is_one() -> None:
    with_field = problem(422, "invalid", "too long", field="minutes")
    assert json.loads(with_field.text or "") == {
        "error": {"code": "invalid", "message": "too long", "field": "minutes"}
    }
    with_facts = problem(409, "taken", "by Ann", facts={"by": "ann", "code": "no code of ours"})
    assert json.loads(with_facts.text or "") == {
        "error": {"code": "taken", "message": "by Ann", "by": "ann"}
    }
    without = problem(404, "not_found", None)
    assert json.loads(without.text or "") == {
        "error": {"code": "not_found", "message": "not_found"}
    }
