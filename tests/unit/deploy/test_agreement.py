"""What the services read is what their pods get: each variable, each secret, each port."""

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from deploy.local.ports import DEFAULTS
from deploy.local.services import SERVICES as LOCAL
from libs.common.secret_files import USUAL
from tests.unit.deploy.defaults import DEFAULT
from tests.unit.deploy.manifests import (
    K8S,
    OVERLAYS,
    Manifest,
    container_of,
    environment_of,
    name_of,
    of_kind,
    one,
    rendered,
    secrets_of,
    settings_of,
)
from tests.unit.docs.variables import ROOTS, variables

# Without a proxy in front, with a Kafka that asks for no password, and no model that is paid for.
NOT_LOCALLY = {
    "CONSOLE_TRUSTED_PROXIES",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SECURITY_PROTOCOL",
    "LLM_MODEL",
}
# They join no consumer group, and read the variable only with the rest of Kafka's.
NO_MEMBERS = {"topics"}
# A secret that has a default, and that no pod should be without.
NEEDED = {"LOG_HASH_KEY", "MONGODB_URI"}
# Not secret, but read from the secret: only the first start needs them.
AT_FIRST = {"ADMIN_EMAIL"}


def test_every_service_of_the_local_stack_has_a_port_and_a_deployment_with_it() -> None:
    manifests = rendered("local")
    for service in LOCAL:
        deployment = one(manifests, "Deployment", service.name)
        port = DEFAULTS[service.name]
        assert [each["containerPort"] for each in container_of(deployment)["ports"]] == [port]
        assert settings_of(manifests, deployment)["HTTP_PORT"] == str(port)
        (listed,) = one(manifests, "Service", service.name)["spec"]["ports"]
        assert listed["port"] == port


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", [*ROOTS])
def test_a_service_takes_what_its_pod_gets(
    overlay: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifests = rendered(overlay)
    if not (load := _load(manifests, name)):
        assert (overlay, name) == ("production", "simulator")
        return
    for variable in {each.name for root in ROOTS.values() for each in variables(root)}:
        monkeypatch.delenv(variable, raising=False)
    secrets = _secrets(load)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    for variable, value in environment_of(manifests, load).items():
        if variable in secrets:
            _mount(tmp_path, variable, value)
        else:
            monkeypatch.setenv(variable, value)

    settings = ROOTS[name]()  # raises what would stop it

    assert isinstance(settings, BaseSettings)


def test_secrets_are_mounted_where_services_look_for_them() -> None:
    for overlay in OVERLAYS:
        for name in ROOTS:
            if load := _load(rendered(overlay), name):
                mounts = {m["name"]: m["mountPath"] for m in container_of(load)["volumeMounts"]}
                assert mounts["secrets"] == str(USUAL)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_set_or_knowingly_left_at_its_default(overlay: str) -> None:
    manifests = rendered(overlay)
    for name in ROOTS:
        if load := _load(manifests, name):
            given = {*settings_of(manifests, load)} | _secrets(load)
            unset = {each.name for each in variables(ROOTS[name])} - given - DEFAULT
            unset -= {"KAFKA_INSTANCE_ID"} if name in NO_MEMBERS else set()
            assert unset - (NOT_LOCALLY if overlay == "local" else set()) == set(), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_set_that_nobody_reads(overlay: str) -> None:
    manifests = rendered(overlay)
    read = {each.name for root in ROOTS.values() for each in variables(root)}
    for each in of_kind(manifests, "ConfigMap"):
        assert each["data"].keys() - read == set(), name_of(each)
    for name in ROOTS:
        if load := _load(manifests, name):
            own = {each["name"] for each in container_of(load).get("env", [])}
            assert own - {each.name for each in variables(ROOTS[name])} == set(), name


def test_nothing_is_said_to_be_left_that_is_set_or_that_nobody_reads() -> None:
    read = {each.name for root in ROOTS.values() for each in variables(root)}
    assert DEFAULT - read == set()
    manifests = rendered("production")
    for each in of_kind(manifests, "ConfigMap"):
        assert each["data"].keys() & DEFAULT == set()


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", [*ROOTS])
def test_a_pod_gets_the_secrets_that_its_service_reads_and_no_others(
    overlay: str, name: str
) -> None:
    if not (load := _load(rendered(overlay), name)):
        return
    read = [*variables(ROOTS[name])]
    secret = {each.name for each in read if each.is_secret}
    needed = {each.name for each in read if each.is_secret and each.default is None}
    if name != "topics":  # which writes next to no log
        needed |= secret & NEEDED
    assert secrets_of(load, optional=False) == needed
    extra = {each.name for each in read} & AT_FIRST
    assert secrets_of(load, optional=True) == (secret - needed) | extra


def test_no_secret_stands_among_the_settings() -> None:
    secret = {v.name for root in ROOTS.values() for v in variables(root) if v.is_secret}
    for path in K8S.rglob("settings.env"):
        lines = path.read_text(encoding="utf-8").splitlines()
        names = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
        assert names & secret == set(), path


def _mount(folder: Path, name: str, value: str) -> None:
    """A file of a secret as kubelet lays it: a link to a link."""
    data = folder / "..2026_11_26"
    if not data.exists():
        data.mkdir()
        (folder / "..data").symlink_to(data.name)
    (data / name).write_text(value, encoding="utf-8")
    (folder / name).symlink_to(f"..data/{name}")


def _load(manifests: tuple[Manifest, ...], name: str) -> Manifest | None:
    return next((e for e in of_kind(manifests, "Deployment", "Job") if name_of(e) == name), None)


def _secrets(load: Manifest) -> set[str]:
    return secrets_of(load, optional=False) | secrets_of(load, optional=True)
