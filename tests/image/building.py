"""Does what `docker build` would, without Docker: each stage's root is a folder of its own.

Absolute paths of the recipe are led into that folder. What no folder can stand in for is given:
the base image is the Python of this machine, and its installer is the uv of the tests (`GIVEN`).
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from uv import find_uv_bin

from tests.image.context import patterns, visible
from tests.image.recipe import Instruction, Recipe, RecipeError, Stage, expand, pairs, parse

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
RUN_WITHIN_S = 120.0
GIVEN = "tools"  # the stage that installs uv: downloading it again would prove nothing
BASE = "python:3.11-slim-bookworm"
_SYSTEM = "/usr/bin:/bin"
_ABSOLUTE = re.compile(r"""(?<![^\s"'=:(])/(?=[A-Za-z])""")

# Bytecode of all packages takes ten seconds of CPU a service, and copies a disk.
_QUICKER = {"UV_COMPILE_BYTECODE": "0", "UV_LINK_MODE": "hardlink"}


@dataclass
class Image:
    """A stage as it is built so far; `root` stands in for its file system."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    user: str = ""

    def path(self, inside: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.root / inside.lstrip("/")

    def environment(self) -> dict[str, str]:
        """ENV for a process on this machine: what is in the image is found where it is built."""
        return {name: self._led_in(value) for name, value in self.variables.items()}

    def _led_in(self, value: str) -> str:
        parts = value.split(":")
        if not all(part.startswith("/") for part in parts):
            return value
        return ":".join(str(self.path(p)) if self.path(p).exists() else p for p in parts)


def build(service: str, folder: Path) -> Image:
    """The last stage for this service, below `folder`. Raises RecipeError."""
    recipe = parse(DOCKERFILE.read_text(encoding="utf-8"))
    return _Build(recipe, {**recipe.defaults, "SERVICE": service}, folder).image(recipe.stages[-1])


class _Build:
    def __init__(self, recipe: Recipe, arguments: Mapping[str, str], folder: Path) -> None:
        self._stages = {stage.name: stage for stage in recipe.stages}
        self._arguments = arguments
        self._folder = folder
        self._built: dict[str, Image] = {}

    def image(self, stage: Stage) -> Image:
        image = self._base(expand(stage.base, self._arguments))
        declared: dict[str, str] = {}
        for instruction in stage.instructions:
            self._do(instruction, image, declared)
        self._built[stage.name] = image
        return image

    def _base(self, base: str) -> Image:
        if base == GIVEN:
            return self._given()
        if base in self._stages:  # each is built upon once, so it may be taken over
            return self._built.get(base) or self.image(self._stages[base])
        if base != BASE:
            raise RecipeError(f"FROM {base}: neither a stage nor the base image")
        return self._empty()

    def _empty(self) -> Image:
        root = self._folder / str(len(list(self._folder.iterdir())))
        (root / "tmp").mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        return Image(root, {"PATH": f"{interpreter().parent}:{_SYSTEM}"})

    def _given(self) -> Image:
        image = self._empty()
        tool = image.path("/tools/bin/uv")
        tool.parent.mkdir(parents=True)
        tool.symlink_to(find_uv_bin())
        image.path("/build").mkdir()
        return image

    def _do(self, what: Instruction, image: Image, declared: dict[str, str]) -> None:
        known = {**image.variables, **declared}
        match what.name:
            case "ARG":
                name, _, default = what.text.partition("=")
                declared[name] = self._arguments.get(name, default)
            case "ENV":
                values = pairs(what.text)
                image.variables |= {n: expand(v, known, what.line) for n, v in values.items()}
            case "LABEL":
                labels = pairs(what.text)
                image.labels |= {n: expand(v, known, what.line) for n, v in labels.items()}
            case "COPY":
                self._copy(what, image, known)
            case "RUN":
                _run(what, image, declared)
            case "WORKDIR":
                image.workdir = what.text
                image.path(what.text).mkdir(parents=True, exist_ok=True)
            case "USER":
                image.user = what.text
            case "EXPOSE":
                image.ports = [int(port) for port in what.text.split()]
            case "ENTRYPOINT":
                image.entrypoint, image.command = what.words(), []
            case "CMD":
                image.command = what.words()
            case "HEALTHCHECK":
                health = Instruction(what.name, {}, what.text.removeprefix("CMD"), what.line)
                image.healthcheck = health.words()
            case _:
                raise RecipeError(f"line {what.line}: {what.name} can't be replayed")

    def _copy(self, what: Instruction, image: Image, known: Mapping[str, str]) -> None:
        *sources, target = expand(what.text, known, what.line).split()
        if stage := what.flags.get("from"):
            built = self._built.get(stage) or self.image(self._stages[stage])
            (source,) = sources
            _move(built.path(source), image.path(target))
            return
        rules = patterns((ROOT / ".dockerignore").read_text(encoding="utf-8"))
        for source in sources:
            files = list(visible(ROOT, rules, source))
            if not files:
                raise RecipeError(f"line {what.line}: nothing to copy from {source}")
            for file in files:
                inner = file.name if str(file) == source else file.relative_to(source)
                goal = image.path(target) / inner
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, goal)


def _run(what: Instruction, image: Image, declared: Mapping[str, str]) -> None:
    """Raises RecipeError: it failed, or it would reach beyond the image's folder."""
    if not what.flags.get("mount", "type=cache").startswith("type=cache"):
        raise RecipeError(f"line {what.line}: only caches can be mounted")
    command = _ABSOLUTE.sub(f"{image.root}/", what.text)
    environment = {**_inherited(), **image.environment(), **declared, **_QUICKER}
    done = subprocess.run(
        ["/bin/sh", "-ec", command],
        env=environment,
        cwd=image.root,
        capture_output=True,
        text=True,
        timeout=RUN_WITHIN_S,
        check=False,
    )
    if done.returncode:
        raise RecipeError(f"line {what.line}: {command}\n{done.stdout}{done.stderr}")


def _inherited() -> dict[str, str]:
    """Where this machine gets packages from, and where it keeps them; uv reads nothing of pip's."""
    wanted = re.compile(r"^(UV_|SSL_|HOME$|.*_PROXY$|.*_proxy$|XDG_CACHE_HOME$)")
    found = {name: value for name, value in os.environ.items() if wanted.match(name)}
    if mirror := os.environ.get("PIP_INDEX_URL"):
        found.setdefault("UV_DEFAULT_INDEX", mirror)
    return found


def _move(source: Path, target: Path) -> None:
    """Instead of a copy: ours takes nothing out of a stage twice."""
    if not source.is_dir() or target.exists():
        raise RecipeError(f"nothing to copy from {source}, or something at {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)


def interpreter() -> Path:
    """A Python 3.11 or newer. As root we run services as somebody else, who has to reach it.

    Raises:
        RecipeError: there is none: the tests' own lies in root's home.
    """
    own = Path(os.path.realpath(sys.executable))
    for candidate in (own, Path("/usr/local/bin/python3"), Path("/usr/bin/python3")):
        if candidate.exists() and _is_everybodys(candidate) and _is_new_enough(candidate):
            return candidate
    raise RecipeError("no Python 3.11 that other users may run: install Debian's python3")


def _is_everybodys(program: Path) -> bool:
    real = Path(os.path.realpath(program))
    return os.geteuid() != 0 or all(
        folder.stat().st_mode & 0o001 for folder in (real, *real.parents)
    )


def _is_new_enough(program: Path) -> bool:
    check = "import sys, venv; sys.exit(sys.version_info < (3, 11))"
    done = subprocess.run([program, "-c", check], capture_output=True, check=False, timeout=20)
    return done.returncode == 0
