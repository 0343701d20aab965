import hashlib
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.jars import LOCKS, Jar, JarError, class_path, locked, read_lock

CONTENT = b"a jar"
JAR = Jar("org.example.tools", "thing", "1.2.3", hashlib.sha256(CONTENT).hexdigest())


class FakeSource:
    """A repository that is asked for jars and brings `content`."""

    def __init__(self, repository: Path, content: bytes = CONTENT) -> None:
        self.repository = repository
        self.content = content
        self.fetched: list[Jar] = []

    def fetch(self, jar: Jar, into: Path) -> None:
        self.fetched.append(jar)
        path = jar.path_in(into)
        path.parent.mkdir(parents=True)
        path.write_bytes(self.content)


def put(jar: Jar, repository: Path, content: bytes) -> Path:
    path = jar.path_in(repository)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_missing_jar_is_fetched_checked_and_moved_to_its_place(tmp_path: Path) -> None:
    source = FakeSource(tmp_path / "repository")
    told: list[int] = []
    paths = class_path([JAR], source, told.append)
    assert paths == [tmp_path / "repository/org/example/tools/thing/1.2.3/thing-1.2.3.jar"]
    assert paths[0].read_bytes() == CONTENT
    assert told == [1]


def test_present_jar_is_not_fetched_again(tmp_path: Path) -> None:
    put(JAR, tmp_path, CONTENT)
    source = FakeSource(tmp_path)
    told: list[int] = []
    class_path([JAR], source, told.append)
    assert source.fetched == []
    assert told == []


def test_present_jar_with_another_content_is_refused_by_name(tmp_path: Path) -> None:
    put(JAR, tmp_path, b"something else")
    with pytest.raises(JarError, match=r"thing-1\.2\.3\.jar.*SHA-256"):
        class_path([JAR], FakeSource(tmp_path))


def test_fetched_jar_with_another_content_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(JarError, match=r"thing-1\.2\.3\.jar"):
        class_path([JAR], FakeSource(tmp_path, content=b"half a j"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["kafka", "mongo"])
def test_every_locked_jar_has_its_sum_and_no_address_of_an_index(name: str) -> None:
    jars = locked(name)
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert "://" not in (LOCKS / name / "jgo.lock.toml").read_text()
    assert "://" not in (LOCKS / name / "jgo.toml").read_text()


def test_lock_files_pin_what_the_specification_asks_for() -> None:
    versions = {jar.artifact: jar.version for jar in (*locked("kafka"), *locked("mongo"))}
    assert versions["kafka_2.13"] == "4.1.0"
    assert versions["mongo-java-server-h2-backend"] == "1.47.0"


def test_lock_file_without_a_sum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jgo.lock.toml"
    path.write_text('[[dependencies]]\ngroupId = "g"\nartifactId = "a"\nversion = "1"\n')
    with pytest.raises(StackError, match="a has no sha256"):
        read_lock(path)
