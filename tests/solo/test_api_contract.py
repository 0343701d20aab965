"""`/api/v1` as Schemathesis sees it: it asks what the document allows, and what it does not."""

import asyncio
import re
import sys
from pathlib import Path

from deploy.local.admin import open_admin
from services.console.domain.tokens import Scope
from tests.stack import local_stack

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
LEFT_OUT = "/api/v1/doctor"  # each asks Facebook and the model; its own tests compare the answer
SEED, EXAMPLES = 20261125, 8
LEAST_CASES = 500
WITHIN_S = 240


async def test_no_5xx_and_no_answer_that_is_not_documented(tmp_path: Path) -> None:
    """On a stack of its own: it makes users and assistants as it likes."""
    with local_stack(tmp_path / "stack") as stack:
        environment = stack.environment
        async with (
            open_admin(environment) as admin,
            admin.api("schemathesis", *(scope.value for scope in Scope)) as api,
        ):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "schemathesis.cli", "run"),
                f"{environment['CONSOLE_URL']}/api/v1/openapi.json",
                *("--header", f"Authorization: Bearer {api.token}"),
                *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
                *("--seed", str(SEED), "--max-examples", str(EXAMPLES), "--no-shrink"),
                *("--exclude-path", LEFT_OUT, "--generation-database", "none"),
                *("--continue-on-failure", "--workers", "2", "--no-color"),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=tmp_path,
            )
            async with asyncio.timeout(WITHIN_S):
                said, _ = await process.communicate()
    text = said.decode("utf-8", "replace")
    assert process.returncode == 0, text[-20_000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", text)
    assert counted is not None, text[-5_000:]
    assert counted[1] == counted[2]
    assert int(counted[1]) >= LEAST_CASES
