"""From options and environment to the components that are to run."""

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.local import kafka, probes
from deploy.local.child import Component
from deploy.local.environment import KAFKA, MONGO, for_services, refuse_production
from deploy.local.errors import StackError
from deploy.local.jars import JgoSource, Source, class_path, locked
from deploy.local.ports import HOST, offset_from, require_free, shifted
from deploy.local.secrets_file import load_or_make
from deploy.local.services import INFRASTRUCTURE, NAMES, SERVICES, ServiceSpec
from deploy.local.state import ROOT, StateFolder


@dataclass(frozen=True)
class Options:
    """What the person asked for, checked: anything wrong is told before anything is started."""

    names: tuple[str, ...]  # what to start here, in the order of `services.NAMES`
    given: tuple[str, ...]  # infrastructure that the environment points to elsewhere
    offset: int

    @classmethod
    def read(cls, environment: Mapping[str, str], only: str = "") -> "Options":
        """Raises StackError: an unknown name in `only`, ENV=production, a bad PORT_OFFSET."""
        refuse_production(environment)
        chosen = _chosen(only)
        variables = {"kafka": KAFKA, "mongo": MONGO}
        given = tuple(name for name in INFRASTRUCTURE if environment.get(variables[name]))
        names = tuple(name for name in NAMES if name in chosen and name not in given)
        return cls(names, given, offset_from(environment))

    @property
    def ports(self) -> dict[str, int]:
        return shifted(self.offset)

    @property
    def needs_topics(self) -> bool:
        """Only a stack without any user of Kafka does without them."""
        return any(name not in {"mongo", "simulator", "console"} for name in self.names)

    @property
    def needs_seed(self) -> bool:
        return "simulator" in self.names

    @property
    def has_console(self) -> bool:
        """Then the first Page is connected there, as an administrator would."""
        return "console" in self.names


@dataclass(frozen=True)
class Plan:
    """All that `Stack` runs."""

    options: Options
    infrastructure: tuple[Component, ...]
    services: tuple[Component, ...]
    environment: Mapping[str, str]
    first_start: bool


def check_ports(options: Options) -> None:
    """Raises StackError if a port that is going to be needed is busy."""
    needed = [name for name in options.names if name in options.ports]
    if "kafka" in options.names:
        needed.append("kafka controller")
    require_free(options.ports, needed)


def make_plan(
    options: Options,
    environment: Mapping[str, str],
    folder: StateFolder,
    say: Callable[[str], None],
    source: Source | None = None,
) -> Plan:
    """Fetch and check what is needed, write the configuration, and say what to run.

    Raises:
        StackError: the secrets can't be read, or a jar is missing or wrong.
    """
    first_start = not folder.secrets.exists()
    made = load_or_make(folder.secrets)
    shared = _shared(options, environment, folder, made)
    makers = {"kafka": _kafka, "mongo": _mongo}
    wanted = [name for name in INFRASTRUCTURE if name in options.names]
    jars = _jars(wanted, source, say)
    infrastructure = [makers[name](options, folder, shared, jars[name]) for name in wanted]
    renewed = partial(_renewed, shared, options, environment, folder)
    services = [
        _service(spec, options, shared, renewed) for spec in SERVICES if spec.name in options.names
    ]
    return Plan(options, tuple(infrastructure), tuple(services), shared, first_start)


def _chosen(only: str) -> Collection[str]:
    chosen = {name.strip() for name in only.split(",") if name.strip()}
    if unknown := chosen - set(NAMES):
        raise StackError(
            f"--only doesn't know {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}"
        )
    return chosen or set(NAMES)


def _jars(
    names: Collection[str], source: Source | None, say: Callable[[str], None]
) -> dict[str, list[Path]]:
    if not names:
        return {}
    source = source or JgoSource()

    def on_fetch(name: str, count: int) -> None:
        say(f"fetching {count} jars of {name}, only this once")

    return {name: class_path(locked(name), source, partial(on_fetch, name)) for name in names}


def _kafka(
    options: Options, folder: StateFolder, shared: Mapping[str, str], jars: list[Path]
) -> Component:
    home = folder.path / "kafka"
    data, config = home / "data", home / "server.properties"
    data.mkdir(parents=True, exist_ok=True)
    port, controller = options.ports["kafka"], options.ports["kafka controller"]
    config.write_text(kafka.properties(port, controller, data), encoding="utf-8")
    setup: list[str] = []
    if kafka.needs_format(data):
        setup = kafka.format_command(jars, config, kafka.new_cluster_id())
    return Component(
        name="kafka",
        command=tuple(kafka.run_command(jars, config)),
        environment=_without_secrets(shared),
        port=port,
        ready=partial(probes.listens, port),
        stage=0,
        setup=tuple(setup),
        folder=home,
    )


def _mongo(
    options: Options, folder: StateFolder, shared: Mapping[str, str], jars: list[Path]
) -> Component:
    port = options.ports["mongo"]
    store = folder.path / "mongo" / "store.h2"
    module = [sys.executable, "-m", "deploy.local.mongo_server"]
    return Component(
        name="mongo",
        command=(*module, "--port", str(port), "--store", str(store), *map(str, jars)),
        environment=_without_secrets(shared),
        port=port,
        ready=partial(probes.listens, port),
        stage=0,
        folder=ROOT,
    )


def _shared(
    options: Options, environment: Mapping[str, str], folder: StateFolder, made: Mapping[str, str]
) -> dict[str, str]:
    """What all services get."""
    found = for_services(environment, made, options.ports, folder.path)
    return found | {"PYTHONPATH": _with_root(environment.get("PYTHONPATH", ""))}


def _renewed(
    known: Mapping[str, str],
    options: Options,
    environment: Mapping[str, str],
    folder: StateFolder,
) -> Mapping[str, str]:
    """The same with the secrets that stand in the file by now; `known` if it can't be read."""
    try:
        return _shared(options, environment, folder, load_or_make(folder.secrets))
    except (StackError, OSError):
        return known


def _service(
    spec: ServiceSpec,
    options: Options,
    shared: Mapping[str, str],
    renewed: Callable[[], Mapping[str, str]],
) -> Component:
    port = options.ports[spec.name]
    # known to Kafka by name, so that one that was killed goes on at once when it is back
    own = {"HTTP_PORT": str(port), "KAFKA_INSTANCE_ID": spec.name}
    return Component(
        name=spec.name,
        command=(sys.executable, "-m", spec.module),
        environment={**shared, **own},
        renewed=lambda: {**renewed(), **own},
        port=port,
        ready=partial(probes.answers_ok, f"http://{HOST}:{port}/readyz"),
        stage=spec.stage,
        folder=ROOT,
    )


def _without_secrets(shared: Mapping[str, str]) -> dict[str, str]:
    """Other people's servers get what any program gets, not our keys."""
    passed = {"PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "PYTHONUNBUFFERED"}
    return {
        name: value for name, value in shared.items() if name in passed or name.startswith("LC_")
    }


def _with_root(python_path: str) -> str:
    return ":".join([str(ROOT), *(part for part in python_path.split(":") if part)])
