"""The Java archives of Kafka and of the database: fetched once through jgo, checked at each start.

Versions and SHA-256 sums are those of `jars/<name>/jgo.lock.toml`. After a change to a `jgo.toml`
write the lock file anew, in its folder, with `jgo --resolver python lock`.
"""

import hashlib
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.local.errors import StackError

LOCKS = Path(__file__).parent / "jars"
FETCH_TIMEOUT_S = 60


class JarError(StackError):
    """A jar can't be had, or isn't the one we pinned."""


@dataclass(frozen=True)
class Jar:
    """One pinned archive, by its Maven coordinates."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def path_in(self, repository: Path) -> Path:
        """Where a local Maven repository keeps it."""
        return repository.joinpath(
            *self.group.split("."), self.artifact, self.version, self.file_name
        )


class Source(Protocol):
    """Brings jars to this machine: jgo, or a fake in tests."""

    repository: Path

    def fetch(self, jar: Jar, into: Path) -> None:
        """Put the jar into the Maven repository `into`, which has none of it."""


def read_lock(path: Path) -> tuple[Jar, ...]:
    """The jars of a `jgo.lock.toml`.

    Raises:
        JarError: a jar stands there without its SHA-256.
    """
    jars = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["dependencies"]:
        if not entry.get("sha256"):
            raise JarError(f"{path}: {entry['artifactId']} has no sha256")
        jars.append(
            Jar(entry["groupId"], entry["artifactId"], entry["version"], entry["sha256"].lower())
        )
    return tuple(jars)


def locked(name: str) -> tuple[Jar, ...]:
    """The jars of one component, `kafka` or `mongo`, in class path order."""
    return read_lock(LOCKS / name / "jgo.lock.toml")


def class_path(
    jars: Sequence[Jar], source: Source, on_fetch: Callable[[int], None] = lambda _: None
) -> list[Path]:
    """Paths of all jars, every one checked; what is missing is fetched first.

    Args:
        on_fetch: told how many jars have to be fetched, if any.

    Raises:
        JarError: a jar can't be fetched, or its contents aren't those that were pinned.
    """
    missing = [jar for jar in jars if not jar.path_in(source.repository).exists()]
    if missing:
        on_fetch(len(missing))
    for jar in missing:
        _fetch(jar, source)
    return [_checked(jar, source.repository) for jar in jars]


def _fetch(jar: Jar, source: Source) -> None:
    """Fetch beside the repository and move in what is right, so that no half file stays there."""
    source.repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=source.repository) as folder:
        source.fetch(jar, Path(folder))
        fetched = _checked(jar, Path(folder))
        destination = jar.path_in(source.repository)
        destination.parent.mkdir(parents=True, exist_ok=True)
        fetched.replace(destination)


def _checked(jar: Jar, repository: Path) -> Path:
    path = jar.path_in(repository)
    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise JarError(f"{path} can't be read: {error.strerror}") from error
    if actual != jar.sha256:
        raise JarError(
            f"{path} is not the {jar.file_name} that was pinned: its SHA-256 is {actual}, "
            f"expected {jar.sha256}. Delete the file to fetch it again; if it stays so, don't use "
            "it"
        )
    return path


class JgoSource:
    """jgo with its resolver in Python: no Maven needed. Honours jgo's own settings file."""

    def __init__(self) -> None:
        # here, not above: readers of a lock file needn't wait for it
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL

        settings = GlobalSettings.load()
        self.repository: Path = settings.repo_cache.expanduser()
        # mirrors first: where there is one, the index itself may be out of reach
        self._remotes = {**settings.repositories}
        self._remotes.setdefault("central", MAVEN_CENTRAL_URL)

    def fetch(self, jar: Jar, into: Path) -> None:
        from jgo.maven import MavenContext, PythonResolver

        context = MavenContext(
            resolver=PythonResolver(),
            repo_cache=into,
            remote_repos=self._remotes,
            timeout=FETCH_TIMEOUT_S,
        )
        artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
        try:
            artifact.resolve()
        except Exception as error:  # whatever jgo, requests or the disk may raise
            raise JarError(
                f"{jar.file_name} can't be fetched ({type(error).__name__}). The first start "
                "needs access to the Java package index, or to a mirror of it that jgo's settings "
                f"name; or put {jar.group}:{jar.artifact}:{jar.version} into {self.repository} "
                "yourself"
            ) from error
