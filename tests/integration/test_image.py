"""deploy/Dockerfile, step by step and for each service, without Docker: what comes out of it runs.

The services are built and started side by side, as somebody who owns nothing, with exactly what the
image sets and what every service is given, and without Kafka or a database.
"""

import http.client
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.ports import DEFAULTS as PORTS
from deploy.local.secrets_file import MADE
from tests.image.building import Image, build
from tests.ports import free_port

APP = {"FACEBOOK_APP_ID", "SERVICE_TOKEN"}
META = {"FACEBOOK_APP_SECRET", "WEBHOOK_VERIFY_TOKEN"}
KEYS = {"ENCRYPTION_KEYS", "FACEBOOK_APP_SECRET"}
URLS = {"CONSOLE_URL", "PUBLIC_URL"}  # https in production, and so it has to be
REQUIRED = {
    "gateway": META | URLS,
    "conversation": APP | KEYS,
    "sender": APP | KEYS,
    "takeover": APP,
    "analytics": APP,
    "console": APP | KEYS | META | URLS,
    "simulator": META | {"FACEBOOK_APP_ID", "WEBHOOK_TARGET_URL"},
}
USER = 10001
STARTS_WITHIN_S = 60.0  # on a machine with ten times the work it can do
STOPS_WITHIN_S = 30.0
NOWHERE = {  # nothing listens there: HTTP has to come first
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "MONGODB_URI": "mongodb://127.0.0.1:1",
    "MONGODB_TIMEOUT_S": "0.5",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",  # tracing is on: its packages are there
    "ENV": "development",
    "WEBHOOK_TARGET_URL": "http://gateway:8081/webhooks/messenger",
}
AT_ONCE = 2


@dataclass(frozen=True)
class Seen:
    """What one service's image did."""

    image: Image
    without_variables: subprocess.CompletedProcess[str]
    healthz: int
    metrics: str
    probe: subprocess.CompletedProcess[str]
    status: int
    log: str


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """pytest's own folders are for its user only, and a service runs as another one."""
    made = Path(tempfile.mkdtemp(prefix="image-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def seen(folder: Path) -> Mapping[str, Seen]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        looks = pool.map(lambda service: look_at(service, folder / service), REQUIRED)
        return dict(zip(REQUIRED, looks, strict=True))


def look_at(service: str, below: Path) -> Seen:
    below.mkdir(mode=0o755)
    image = build(service, below)
    # the one process that may write: it leaves the bytecode that the build was spared
    bare = start(image, {"PYTHONDONTWRITEBYTECODE": ""}, below / "bare.log", as_root=True)
    refused = ended(bare, below / "bare.log", STARTS_WITHIN_S)
    port = free_port()
    given = {name: make() for name, make in MADE.items()} | NOWHERE | {"HTTP_PORT": str(port)}
    running = start(image, given, below / "log")
    try:
        healthz = first_answer(port, running, below / "log")
        _, metrics = get(port, "/metrics")
        check = start(image, given, below / "probe.log", image.healthcheck)
        probe = ended(check, below / "probe.log", STARTS_WITHIN_S)
        running.send_signal(signal.SIGTERM)
        done = ended(running, below / "log", STOPS_WITHIN_S)
    finally:
        running.kill()
        running.wait()
    return Seen(image, refused, healthz, metrics, probe, done.returncode, done.stdout)


def start(
    image: Image,
    given: Mapping[str, str],
    log: Path,
    words: Sequence[str] = (),
    *,
    as_root: bool = False,
) -> "subprocess.Popen[bytes]":
    """ENTRYPOINT and CMD, or other words, as the image's user where we may choose one."""
    environment = {**image.environment(), **given}
    program, *arguments = words or [*image.entrypoint, *image.command]
    found = shutil.which(program, path=environment["PATH"])
    assert found is not None, f"no {program} in the image"
    user = USER if os.geteuid() == 0 and not as_root else None
    with log.open("wb") as output:
        return subprocess.Popen(
            [found, *arguments],
            env=environment,
            cwd=image.path(image.workdir),
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )


def ended(
    process: "subprocess.Popen[bytes]", log: Path, within_s: float
) -> "subprocess.CompletedProcess[str]":
    """What it said, standard error included."""
    try:
        status = process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        pytest.fail(f"still running after {within_s} s:\n{log.read_text()}")
    return subprocess.CompletedProcess(process.args, status, log.read_text(), "")


def first_answer(port: int, process: "subprocess.Popen[bytes]", log: Path) -> int:
    """The status of /healthz, as soon as something listens."""
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ended with {process.returncode}:\n{log.read_text()}"
        try:
            return get(port, "/healthz")[0]
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"no answer within {STARTS_WITHIN_S} s:\n{log.read_text()}")


def get(port: int, path: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


each = pytest.mark.parametrize("service", REQUIRED)


@each
def test_it_starts_without_kafka_and_a_database(service: str, seen: Mapping[str, Seen]) -> None:
    assert seen[service].healthz == 200
    assert "python_info" in seen[service].metrics


@each
def test_its_health_check_says_so(service: str, seen: Mapping[str, Seen]) -> None:
    assert seen[service].probe.returncode == 0, seen[service].probe.stdout


@each
def test_it_ends_when_it_is_told_to(service: str, seen: Mapping[str, Seen]) -> None:
    assert seen[service].status == 0, seen[service].log


@each
def test_without_its_variables_it_names_them(service: str, seen: Mapping[str, Seen]) -> None:
    refused = seen[service].without_variables
    assert refused.returncode == 78, refused.stdout
    assert {line.split()[0] for line in refused.stdout.splitlines()} == REQUIRED[service]


@each
def test_it_has_the_shared_code_and_its_own(service: str, seen: Mapping[str, Seen]) -> None:
    """What is not there can't be imported."""
    app = seen[service].image.path("/app")
    assert (app / "libs" / "common" / "service.py").is_file()
    assert list((app / "libs" / "common" / "__pycache__").glob("service.*.pyc"))
    if service == "simulator":
        assert names(app) == {"libs", "simulator"}
    else:
        assert names(app) == {"libs", "services"}
        assert names(app / "services") == {"__init__.py", "__pycache__", service}


@each
def test_nothing_in_it_installs_or_compiles(service: str, seen: Mapping[str, Seen]) -> None:
    (packages,) = seen[service].image.path("/opt/venv/lib").glob("python3*/site-packages")
    assert names(packages).isdisjoint({"pip", "setuptools", "wheel", "uv", "pytest"})
    assert (packages / "opentelemetry").is_dir()
    assert list(packages.glob("pydantic-*.dist-info"))


@each
def test_nobody_but_its_builder_may_change_it(service: str, seen: Mapping[str, Seen]) -> None:
    """A process that was taken over can't leave anything for the next one."""
    image = seen[service].image
    for part in ("/app", "/opt/venv"):
        for path in image.path(part).rglob("*"):
            found = path.lstat()
            assert path.is_symlink() or not found.st_mode & 0o022, path
            assert found.st_uid != USER
    assert image.user == f"{USER}:{USER}"


@each
def test_it_listens_where_everybody_looks_for_it(service: str, seen: Mapping[str, Seen]) -> None:
    image = seen[service].image
    assert image.variables["HTTP_PORT"] == str(PORTS[service])
    assert image.variables["HTTP_HOST"] == "0.0.0.0"  # noqa: S104 - inside of a container
    assert image.ports == [PORTS[service]]
    assert image.labels["org.opencontainers.image.title"].endswith(service)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
