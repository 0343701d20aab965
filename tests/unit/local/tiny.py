"""Tiny components: a Python child that listens, notes when it is stopped, or misbehaves.

`python -m tests.unit.local.tiny FOLDER PORT... [--with-parent]` supervises a stack of them, as
`run` does.
"""

import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from deploy.local import probes
from deploy.local.child import Component
from deploy.local.cli import say
from deploy.local.plan import Options, Plan
from deploy.local.state import StateFolder
from deploy.local.supervising import supervise
from tests.ports import free_port

CHILD = """
import os, signal, socket, sys, time
name, port, mode, notes = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
if mode.startswith("exit"):
    print(f"{name} {mode}\\ncannot go on", flush=True)
    sys.exit(int(mode.removeprefix("exit")))
def stop(*_):
    if mode == "stubborn":
        return
    with open(notes, "a") as file:
        file.write(name + "\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
print(name, mode, flush=True)
if mode != "deaf":
    server = socket.create_server(("127.0.0.1", port))
while True:
    time.sleep(60)
"""


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on at this moment."""
    return [free_port() for _ in range(count)]


def component(
    name: str,
    port: int,
    notes: Path,
    mode: str = "serve",
    stage: int = 0,
    start_within_s: float = 20.0,
    stop_within_s: float = 20.0,
) -> Component:
    """A child that listens on its port; in `notes` it writes its name when it is stopped.

    Args:
        mode: serve; stubborn (ignores SIGTERM); deaf (never listens); exit<status> (at once).
    """
    return Component(
        name=name,
        command=(sys.executable, "-I", "-S", "-c", CHILD, name, str(port), mode, str(notes)),
        environment={},
        port=port,
        ready=partial(probes.listens, port),
        stage=stage,
        start_within_s=start_within_s,
        stop_within_s=stop_within_s,
        folder=notes.parent,
    )


def plan_of(*components: Component) -> Plan:
    """A plan of nothing but these: no topics, no seed."""
    options = Options(names=(), given=(), offset=0)
    infrastructure = tuple(each for each in components if each.stage == 0)
    services = tuple(each for each in components if each.stage > 0)
    return Plan(options, infrastructure, services, {}, first_start=True)


def is_free(port: int) -> bool:
    """Whether nobody listens there: whoever did is gone."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def main(folder: Path, ports: Sequence[int], *, with_parent: bool) -> None:
    notes = folder / "notes"
    components = [
        component(f"tiny{number}", port, notes, stage=number) for number, port in enumerate(ports)
    ]

    def planner(*_: object) -> Plan:
        return plan_of(*components)

    options = Options(names=(), given=(), offset=0)
    supervise(options, StateFolder(folder), say, planner, with_parent=with_parent)


if __name__ == "__main__":
    given = sys.argv[1:]
    with_parent = given[-1] == "--with-parent"
    main(
        Path(given[0]), [int(each) for each in given[1:] if each.isdigit()], with_parent=with_parent
    )
