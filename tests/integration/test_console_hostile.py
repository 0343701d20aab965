"""Every page, form and operation of the console, asked as nobody asks: never a fault of ours."""

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
import pytest
from multidict import CIMultiDict
from yarl import URL

from libs.common.mongo import Database
from libs.common.settings import MongoSettings
from services.console.domain.tokens import Scope
from services.console.web.access import Access
from tests.integration.console import Console, running_console

T = TypeVar("T")
EACH = 5
IDS = {"user": "u", "token": "t", "secret": "s", "channel": "1", "login": "l", "assistant": "a"}
IDS |= {"code": "c", "psid": "2", "conversation": "1:2"}
IDS |= {"send_id": "c:0", "delivery": "c:0", "letter": "0-1"}
LEFT_OUT = (
    "/live",
    "/static",
    "/api/v1/doctor",
    "/health",
)  # stay open, are files, or ask Facebook
ALLOWED_5XX = {503}  # services that are not there: documented
NASTY = (
    "%00",
    "%ff",
    "%ED%A0%80",
    "%0d%0aX-Evil:1",
    "..%2f..%2f",
    "%F0%9F%98%80",
    "$ne",
    "a" * 3000,
)
ENDING = ("/sign-out", "/account/sign-out-everywhere")  # who asks would be nobody afterwards
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
DEEP = b"[" * 50_000
MANY = b"&".join(b"f%d=1" % number for number in range(1000))


@dataclass
class Hostile:
    """A request that is wrong in one way."""

    name: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


BODIES = (
    Hostile("nothing", b"", {"Content-Type": FORM}),
    Hostile("bytes", bytes(range(256)), {"Content-Type": FORM}),
    Hostile("surrogates", b"a=%ED%A0%80&b=%ud800&%ff=%ff", {"Content-Type": FORM}),
    Hostile("a thousand fields", MANY, {"Content-Type": FORM}),
    Hostile("an unknown charset", b"a=b", {"Content-Type": f"{FORM}; charset=nonsense"}),
    Hostile("UTF-16", "a=b".encode("utf-16"), {"Content-Type": f"{FORM}; charset=utf-16"}),
    Hostile("multipart without a boundary", b"--x\r\n", {"Content-Type": "multipart/form-data"}),
    Hostile(
        "multipart cut short",
        b'--x\r\nContent-Disposition: form-data; name="name"; filename="\x00"\r\n\r\nabc',
        {"Content-Type": "multipart/form-data; boundary=x"},
    ),
    Hostile(
        "multipart with a coding",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    ),
    Hostile("gzip that is none", b"abc", {"Content-Type": FORM, "Content-Encoding": "gzip"}),
    *(
        Hostile(name, body, {"Content-Type": JSON})
        for name, body in {
            "nested lists": DEEP,
            "nested objects": b'{"name":' * 20_000,
            "a huge number": b'{"auto_resume_minutes":' + b"9" * 50_000 + b"}",
            "infinity": b'{"auto_resume_minutes":1e999,"limit":NaN}',
            "half a pair": b'{"text":"\\ud800","name":"\\udfff","email":"\\u0000"}',
            "a key twice": b'{"text":"a","text":[]}',
            "an operator": b'{"text":{"$gt":""},"email":{"$ne":null}}',
            "a byte order mark": b"\xef\xbb\xbf{}",
            "UTF-32": "{}".encode("utf-32"),
            "null": b"null",
        }.items()
    ),
    Hostile("XML", b'<!DOCTYPE x SYSTEM "file:///x"><x/>', {"Content-Type": "text/xml"}),
)
QUERIES = ("cursor=%ff", "cursor=AAAA", "limit=99999999999999999999", "state=%00&code=%ff")
EVERYTHING = "&".join(
    [
        *(f"{name}={value}" for value in NASTY for name in ("cursor", "next", "page")),
        *("limit=-1", "limit=1e99", "days=%C2%B2", "q=%00", "code=x", "state=%ff"),
    ]
)
HEADERS = (
    {"Cookie": 'session=; ="; a=b; session="x'},
    {"Cookie": "; ".join(f"c{n}=1" for n in range(200))},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer mat_" + "0" * 16 + "_" + "A" * 43},
    {"Authorization": "Basic \xff\xfe"},
    {"X-Forwarded-For": "' OR 1=1, ::1%x, 999.1.1.1"},
    {"HX-Request": "true", "HX-Current-URL": "javascript:alert(1)", "HX-Target": "<script>"},
    {"Range": "bytes=9999999999999999999-", "If-None-Match": '"', "If-Modified-Since": "x"},
    {"Accept": "text/event-stream, */*;q=\xff", "Accept-Language": "\xff"},
    {"Last-Event-ID": "\xff" * 100, "User-Agent": "\xff" * 4000},
)


@pytest.fixture
async def console(database: Database, mongo: MongoSettings) -> AsyncIterator[Console]:
    async with running_console(database, mongo) as console:
        yield console


def patterns(console: Console, *methods: str) -> Iterator[tuple[str, str, Access]]:
    for route, (access, _) in console.needs.items():
        pattern = route.resource.canonical if route.resource else ""
        if route.method in methods and not pattern.startswith(LEFT_OUT):
            yield route.method, pattern, access


def filled(pattern: str, **ids: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: (IDS | ids)[found[1]], pattern)


def some(choices: Sequence[T], turn: int) -> list[T]:
    """`EACH` of them, others at the next turn: all come many times, without all for all."""
    return [choices[(turn * EACH + step) % len(choices)] for step in range(EACH)]


def unkept() -> aiohttp.ClientSession:
    """Without cookies of its own, and with a connection for each request: some end theirs."""
    connector = aiohttp.TCPConnector(force_close=True)
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), connector=connector)


class Asking:
    """Asks as an administrator and as a program, raw, and remembers what went wrong."""

    def __init__(self, console: Console, cookie: str, token: str) -> None:
        self._console = console
        self._cookie, self._token = cookie, token
        self.asked = 0
        self.faults: list[str] = []

    async def ask(
        self, session: aiohttp.ClientSession, method: str, path: str, what: Hostile, access: Access
    ) -> None:
        headers = CIMultiDict({"Sec-Fetch-Site": "same-origin"})
        if access is Access.PROGRAM:
            headers["Authorization"] = f"Bearer {self._token}"
        else:
            headers["Cookie"] = self._cookie
        headers.update(what.headers)
        self.asked += 1
        url = f"{self._console.url}{path}"
        async with session.request(
            method,
            URL(url, encoded=True),
            data=what.body or None,
            headers=headers,
            allow_redirects=False,
        ) as response:
            await response.read()
            if response.status >= 500 and response.status not in ALLOWED_5XX:
                self.faults.append(f"{response.status}: {method} {path[:100]} {what.name}")
            if "X-Evil" in response.headers:
                self.faults.append(f"a header of theirs: {method} {path[:100]}")


@pytest.fixture
async def asking(console: Console) -> Asking:
    browser = await console.admin()
    token = str(await console.api_token(*Scope))
    (jar,) = [each.key for each in browser.session.cookie_jar]
    return Asking(console, f"{jar}={browser.cookie}", token)


async def test_no_body_is_a_fault_of_ours(console: Console, asking: Asking) -> None:
    changing = patterns(console, "POST", "PUT", "PATCH", "DELETE")
    async with unkept() as session:
        for turn, (method, pattern, access) in enumerate(changing):
            if pattern not in ENDING:
                for body in some(BODIES, turn):
                    await asking.ask(session, method, filled(pattern), body, access)
    assert asking.faults == []
    assert asking.asked > 100


async def test_no_address_is_a_fault_of_ours(console: Console, asking: Asking) -> None:
    async with unkept() as session:
        for turn, (method, pattern, access) in enumerate(patterns(console, "GET")):
            paths = [filled(pattern, **dict.fromkeys(IDS, value)) for value in some(NASTY, turn)]
            queries = [f"{filled(pattern)}?{query}" for query in (EVERYTHING, *QUERIES)]
            for path in dict.fromkeys([*paths, *queries[turn % 2 :: 2]]):
                await asking.ask(session, method, path, Hostile("address"), access)
    assert asking.faults == []
    assert asking.asked > 100


async def test_no_header_is_a_fault_of_ours(console: Console, asking: Asking) -> None:
    async with unkept() as session:
        for turn, (method, pattern, access) in enumerate(patterns(console, "GET")):
            for headers in some(HEADERS, turn):
                hostile = Hostile(str(headers)[:60], headers=headers)
                await asking.ask(session, method, filled(pattern), hostile, access)
    assert asking.faults == []
    assert asking.asked > 100
