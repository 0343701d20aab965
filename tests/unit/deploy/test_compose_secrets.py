"""Secrets of the Compose project: files that are made once, and that the services really read."""

import stat
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from deploy.compose.preparing import FROM_META, OPTIONAL, SECRETS, prepare
from deploy.local.ports import DEFAULTS as PORTS
from deploy.local.secrets_file import parse
from tests.unit.deploy.composing import (
    EXAMPLE,
    FOLDER,
    OURS,
    environment_of,
    project,
    secrets_of,
    services,
)
from tests.unit.docs.variables import ROOTS, variables

OF_OTHERS = {"GRAFANA_ADMIN_PASSWORD", "MONGODB_ROOT_PASSWORD"}


@pytest.fixture
def simulated(tmp_path: Path) -> Path:
    """The folder after `make compose-secrets` in a fresh clone."""
    (tmp_path / ".env.simulator").write_text((FOLDER / ".env.simulator").read_text())
    prepare(tmp_path)
    return tmp_path


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """The same after somebody has filled .env.example in."""
    text = (FOLDER / ".env.example").read_text()
    filled = "".join(f"{name}={value}\n" for name, value in EXAMPLE.items())
    (tmp_path / ".env").write_text(text + filled)
    prepare(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_all_that_compose_names_is_made(simulated: Path) -> None:
    declared = project()["secrets"]
    assert set(contents(simulated)) == set(declared) == {*SECRETS, *OPTIONAL}
    assert all(declared[name] == {"file": f"./secrets/{name}"} for name in declared)
    used = {name for service in services() for name in secrets_of(service)}
    assert used == set(declared)


def test_only_the_owner_enters_the_folder_and_every_container_reads_a_file(simulated: Path) -> None:
    """Docker mounts a file with its mode here, and containers run as other users."""
    assert stat.S_IMODE((simulated / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in (simulated / "secrets").iterdir()} == {0o644}
    assert stat.S_IMODE((simulated / ".env").stat().st_mode) == 0o600


def test_settings_of_a_clone_under_a_strict_umask_can_be_read_by_other_users(
    tmp_path: Path,
) -> None:
    """Kafka, MongoDB, Prometheus and Grafana run as users that own nothing here."""
    folder = tmp_path / "compose"
    folder.mkdir()
    (folder / ".env.simulator").write_text((FOLDER / ".env.simulator").read_text())
    mounted = {
        (folder / source.split(":")[0]).resolve()
        for service in services().values()
        for source in service.get("volumes", [])
        if source.startswith(".")
    }
    for each in mounted:
        (each / "deeper").mkdir(parents=True)
        (each / "deeper" / "settings.yml").write_text("a: 1\n")
        (each / "deeper" / "settings.yml").chmod(0o600)
        (each / "deeper").chmod(0o700)
        each.chmod(0o700)
    prepare(folder)
    assert len(mounted) == 5
    for each in mounted:
        assert stat.S_IMODE(each.stat().st_mode) == 0o755
        assert stat.S_IMODE((each / "deeper").stat().st_mode) == 0o755
        assert stat.S_IMODE((each / "deeper" / "settings.yml").stat().st_mode) == 0o644


def test_what_is_there_is_never_written_again(simulated: Path) -> None:
    before = contents(simulated), (simulated / ".env").read_text()
    assert prepare(simulated) == [f"{simulated / 'secrets'}: everything is there"]
    assert (contents(simulated), (simulated / ".env").read_text()) == before


def test_a_file_that_is_missing_comes_back_alone(simulated: Path) -> None:
    before = contents(simulated)
    (simulated / "secrets" / "SERVICE_TOKEN").unlink()
    prepare(simulated)
    changed = {name for name, text in contents(simulated).items() if before[name] != text}
    assert changed == {"SERVICE_TOKEN"}


def test_for_a_real_app_its_secret_is_asked_for(real: Path) -> None:
    assert contents(real)[FROM_META] == ""
    said = prepare(real)
    assert (
        said[-1]
        == f"{real / 'secrets' / FROM_META} is empty: put the app's secret there, from Meta"
    )


def test_no_secret_stands_where_it_does_not_belong(simulated: Path) -> None:
    text = (FOLDER / "compose.yaml").read_text() + (simulated / ".env").read_text()
    assert not [name for name, value in contents(simulated).items() if value and value in text]


@pytest.mark.parametrize("service", OURS)
def test_a_service_gets_the_secrets_that_it_reads_and_no_other(service: str) -> None:
    secret = {v.name for v in variables(ROOTS[service]) if v.is_secret}
    given = set(secrets_of(service))
    assert given <= secret
    assert not secret & set(environment_of(service, EXAMPLE))
    assert secret - given <= {"KAFKA_SASL_PASSWORD"}  # this Kafka asks for none


def test_others_get_theirs() -> None:
    found = {n for s in services() if s not in OURS for n in secrets_of(s) if n not in SECRETS}
    assert not found
    assert {n for s in services() if s not in OURS for n in secrets_of(s)} == OF_OTHERS | {
        "MONGODB_URI"
    }


def loaded(
    service: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BaseSettings:
    """The service's settings as they come out in its container."""
    mounted = tmp_path / f"run-secrets-{service}"
    mounted.mkdir()
    for name in secrets_of(service):
        (mounted / name).write_text((folder / "secrets" / name).read_text())
    environment = environment_of(service, parse((folder / ".env").read_text()))
    image = {"HTTP_HOST": "0.0.0.0", "HTTP_PORT": str(PORTS[service]), "STATE_DIR": "/data"}  # noqa: S104
    for variable in variables(ROOTS[service]):
        monkeypatch.delenv(variable.name, raising=False)
    for name, value in {**image, **environment, "SECRETS_DIR": str(mounted)}.items():
        monkeypatch.setenv(name, value)
    return ROOTS[service]()


@pytest.mark.parametrize("service", OURS)
def test_with_the_simulator_every_service_has_what_it_needs(
    service: str, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(service, simulated, tmp_path, monkeypatch)


@pytest.mark.parametrize("service", [name for name in OURS if name != "simulator"])
def test_for_a_real_page_every_service_has_what_it_needs(
    service: str, real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (real / "secrets" / FROM_META).write_text("secret-of-the-app-from-meta\n")
    settings = loaded(service, real, tmp_path, monkeypatch)
    assert getattr(settings, "runtime").env == "production"  # noqa: B009 - every service has it


def test_the_database_is_found_by_the_name_of_its_container(simulated: Path) -> None:
    uri = contents(simulated)["MONGODB_URI"]
    setup = (FOLDER / "mongodb" / "setup.js").read_text()
    (command,) = services()["mongodb"]["command"]
    assert "@mongodb:27017/" in uri
    assert "replicaSet=rs0" in uri
    assert '_id: "rs0"' in setup
    assert "--replSet rs0" in command
    assert uri.endswith("authSource=admin")  # where setup.js makes the user
