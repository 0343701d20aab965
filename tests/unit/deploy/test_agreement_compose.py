"""What the services read is what Compose gives their containers, and their images.

Whether they take it, and each the secrets that it reads, is in test_compose_secrets.py.
"""

import re
from collections.abc import Mapping

import pytest

from deploy.local.ports import DEFAULTS
from tests.unit.deploy.composing import environment_of, real_env, secrets_of
from tests.unit.deploy.defaults import DEFAULT
from tests.unit.deploy.manifests import ROOT, SERVICES
from tests.unit.docs.variables import ROOTS, variables

# One Kafka, inside, that asks for no password; containers whose names stay; logs to no terminal;
# traces go to a collector beside them.
NOT_HERE = {
    "KAFKA_LEAVE_ON_STOP",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_PASSWORD",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SECURITY_PROTOCOL",
    "LOG_FORMAT",
    "OTEL_EXPORTER_OTLP_HEADERS",
}
# They join no consumer group, and read the variable only with the rest of Kafka's.
NO_MEMBERS = {"gateway", "topics"}
# The topics' command writes next to no log.
NO_NAMES = {"topics"}
IMAGE = {"topics": "gateway"}

every = pytest.mark.parametrize("name", [*ROOTS])


@every
def test_the_image_sets_the_port_and_listens_to_others(name: str) -> None:
    given = _of_image(IMAGE.get(name, name))
    assert given["HTTP_PORT"] == str(DEFAULTS[IMAGE.get(name, name)])
    assert given["HTTP_HOST"] == "0.0.0.0"  # noqa: S104 - of a container


@every
def test_every_variable_is_set_or_knowingly_left_at_its_default(name: str) -> None:
    given = {*_given(name, real_env()), *secrets_of(name)}
    unset = {each.name for each in variables(ROOTS[name])} - given - DEFAULT - NOT_HERE
    unset -= {"KAFKA_INSTANCE_ID"} if name in NO_MEMBERS else set()
    unset -= {"LOG_HASH_KEY"} if name in NO_NAMES else set()
    assert unset == set()


@every
def test_nothing_is_set_that_the_service_does_not_read(name: str) -> None:
    read = {each.name for each in variables(ROOTS[name])}
    if name == "topics":  # gets what all services get
        read |= set.intersection(*({v.name for v in variables(ROOTS[each])} for each in SERVICES))
    given = {*environment_of(name, real_env()), *secrets_of(name)}
    assert given - read == set()


def _given(name: str, env: Mapping[str, str]) -> dict[str, str]:
    """The image's variables and Compose's."""
    return _of_image(IMAGE.get(name, name)) | environment_of(name, env)


def _of_image(service: str) -> dict[str, str]:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, str] = {}
    for stage in ("runtime", f"is-{service}"):
        (part,) = re.findall(rf"^FROM \S+ AS {stage}\n(.*?)(?=^FROM |\Z)", text, re.M | re.S)
        for line in re.findall(r"^ENV (.+)$", part, re.M):
            found |= dict(word.split("=", 1) for word in line.split())
    read = {each.name for each in variables(ROOTS[service])}
    return {name: value for name, value in found.items() if name in read}
