"""Another gateway beside the stack's own, as a second replica would be."""

import asyncio
import hashlib
import hmac
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.ports import free_port
from tests.stack import LocalStack

READY_WITHIN_S = 60.0
ENDS_WITHIN_S = 20.0
LOOK_EVERY_S = 0.1


@asynccontextmanager
async def second_gateway(stack: LocalStack) -> AsyncIterator[str]:
    """Its webhooks' address, while the block runs."""
    port = free_port()
    environment = {**stack.environment, "HTTP_PORT": str(port)}
    log = stack.folder.path / "logs" / f"gateway-{port}.log"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.gateway",
            env=environment,
            stdout=written,
            stderr=written,
        )
        try:
            await _until_ready(f"http://127.0.0.1:{port}/readyz")
            yield f"http://127.0.0.1:{port}/webhooks/messenger"
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), ENDS_WITHIN_S)


async def post_signed(stack: LocalStack, url: str, body: bytes) -> int:
    """The status of what Meta would send."""
    secret = stack.environment["FACEBOOK_APP_SECRET"].encode()
    signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
    headers = {
        "X-Hub-Signature-256": f"sha256={signature}",
        "Content-Type": "application/json",
    }
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, data=body, headers=headers) as response,
    ):
        return response.status


async def _until_ready(url: str) -> None:
    async with asyncio.timeout(READY_WITHIN_S), aiohttp.ClientSession() as session:
        while not await _answers(session, url):
            await asyncio.sleep(LOOK_EVERY_S)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
