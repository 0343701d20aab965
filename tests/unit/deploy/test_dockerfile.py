"""deploy/Dockerfile as text; what comes out of it is tests/integration/test_image.py's."""

import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from deploy.local.ports import DEFAULTS as PORTS
from deploy.local.services import SERVICES
from tests.image.building import DOCKERFILE, ROOT
from tests.image.context import is_ignored, patterns, visible
from tests.image.recipe import RecipeError, expand, pairs, parse

RULES = patterns((ROOT / ".dockerignore").read_text())


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--no-color", DOCKERFILE],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_stage_for_every_service() -> None:
    recipe = parse(DOCKERFILE.read_text())
    stages = {stage.name: stage for stage in recipe.stages}
    assert expand(recipe.stages[-1].base, {"SERVICE": "console"}) == "is-console"
    for service in SERVICES:
        (command,) = [i for i in stages[f"is-{service.name}"].instructions if i.name == "CMD"]
        assert command.words() == [service.module]
        (port,) = [i.text for i in stages[f"is-{service.name}"].instructions if i.name == "EXPOSE"]
        assert int(port) == PORTS[service.name]
        assert (ROOT / "requirements" / f"{service.name}.txt").is_file()


def test_without_a_service_the_build_says_which_there_are() -> None:
    recipe = parse(DOCKERFILE.read_text())
    (stage,) = [
        stage for stage in recipe.stages if stage.name == f"is-{recipe.defaults['SERVICE']}"
    ]
    assert all(service.name in stage.instructions[0].text for service in SERVICES)


def test_it_installs_with_the_uv_that_the_tests_use() -> None:
    pins = {
        re.search(r"^uv==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE)[1]  # type: ignore[index]
        for name in ("image.txt", "dev.txt")
    }
    assert len(pins) == 1


def test_everything_that_is_installed_has_a_hash() -> None:
    recipe = parse(DOCKERFILE.read_text())
    runs = [i.text for stage in recipe.stages for i in stage.instructions if i.name == "RUN"]
    installing = [text for text in runs if " install " in text]
    assert len(installing) == 2
    assert all("--require-hashes" in text for text in installing)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".local/env",
        "deploy/compose/secrets/ENCRYPTION_KEYS",
        "deploy/compose/.env",
        "tests/conftest.py",
        "services/gateway/__pycache__/app.cpython-311.pyc",
        "libs/common/old.pyc",
        "services/console/.env",
        "services/gateway/.env.production",
        "services/.idea/workspace.xml",
        "libs/tls.key",
        "simulator/ca.pem",
    ],
)
def test_a_build_does_not_see(path: str) -> None:
    assert is_ignored(PurePosixPath(path), RULES)


def test_a_build_sees_what_it_copies() -> None:
    for folder in ("requirements", "libs", "services", "simulator"):
        assert list(visible(ROOT, RULES, folder))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM a\nADD x /x", "line 2: the tests can't replay ADD"),
        ("COPY a b", "line 1: COPY before FROM"),
        ("FROM a as b c", "line 1: FROM"),
        ("FROM a\nRUN one \\\n", "line 2: goes on after the end"),
        ("FROM a\nCMD run it", "line 2: CMD is not in exec form"),
    ],
)
def test_what_can_not_be_replayed_is_an_error(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        [i.words() for stage in parse(text).stages for i in stage.instructions if i.name == "CMD"]


def test_lines_flags_and_variables_are_read_as_docker_does() -> None:
    text = "ARG A=1\n# note\nFROM ${A} AS x\nCOPY --from=y --chown=1:2 \\\n  # in between\n  a b\n"
    recipe = parse(text)
    (stage,) = recipe.stages
    (copy,) = stage.instructions
    assert (stage.base, stage.name, recipe.defaults) == ("${A}", "x", {"A": "1"})
    assert (copy.flags, copy.text, copy.line) == ({"from": "y", "chown": "1:2"}, "a b", 4)
    assert expand("$A-${A}", {"A": "1"}) == "1-1"
    assert pairs('A=1 B="two words"') == {"A": "1", "B": "two words"}
    with pytest.raises(RecipeError, match="not set here"):
        expand("${GONE}", {})
