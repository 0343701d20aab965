"""The services of the local stack, as data: a new one is one line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServiceSpec:
    """A Python service of ours: `python -m <module>`, listening on `ports.DEFAULTS[name]`."""

    name: str
    module: str
    stage: int = 2  # stopped before everything of a lower stage
    path: str = ""  # set where a person may look at it with a browser
    what_for: str = ""


SERVICES = (
    ServiceSpec("simulator", "simulator", stage=1, path="/", what_for="chat as a Facebook person"),
    ServiceSpec("gateway", "services.gateway"),
    ServiceSpec("conversation", "services.conversation"),
    ServiceSpec("sender", "services.sender"),
    ServiceSpec("takeover", "services.takeover"),
    ServiceSpec("analytics", "services.analytics"),
    ServiceSpec("console", "services.console", path="/", what_for="connect Pages, manage users"),
)
INFRASTRUCTURE = ("kafka", "mongo")
NAMES = (*INFRASTRUCTURE, *(service.name for service in SERVICES))
