"""Where the stack that is to be shown runs."""

from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.ports import HOST
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
