"""Where the stack that is to be shown runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.environment import KAFKA, MONGO, for_services
from deploy.local.errors import StackError
from deploy.local.ports import DEFAULTS, HOST
from deploy.local.secrets_file import parse
from deploy.local.services import SERVICES
from deploy.local.state import StateFolder


@dataclass(frozen=True)
class Running:
    """A stack that is ready."""

    urls: dict[str, str]  # by service
    logs: Path

    @classmethod
    def find(cls, folder: StateFolder) -> "Running":
        """The stack of this folder, at the ports that it really has.

        Raises:
            StackError: it is not there, not ready, or lacks a service.
        """
        supervisor = folder.supervisor()
        status = folder.read_status(supervisor)
        if supervisor is None or status.get("phase") != "ready":
            raise StackError(f"no stack is ready in {folder.path}: `make up` starts one")
        components = status["components"]
        missing = [spec.name for spec in SERVICES if spec.name not in components]
        if missing:
            raise StackError(
                f"the stack runs without {', '.join(missing)}: "
                "`make down` and `make up` start all of it"
            )
        urls = {spec.name: f"http://{HOST}:{components[spec.name]['port']}" for spec in SERVICES}
        return cls(urls, folder.path / "logs")


def environment_of(folder: StateFolder, process: Mapping[str, str]) -> dict[str, str]:
    """What a client of the running stack needs: the addresses and secrets that its services have.

    Raises:
        StackError: its Kafka or database is elsewhere, and our own environment does not name it.
    """
    components = folder.read_status(folder.supervisor()).get("components", {})
    given = dict(process)
    for component, variable in (("kafka", KAFKA), ("mongo", MONGO)):
        if component in components:
            given.pop(variable, None)  # whatever it names, this stack has its own
        elif not given.get(variable):
            raise StackError(f"{variable} has to be set as it was for `make up`")
    ports = {**DEFAULTS, **{name: each["port"] for name, each in components.items()}}
    made = parse(folder.secrets.read_text(encoding="utf-8"))
    return for_services(given, made, ports, folder.path)
