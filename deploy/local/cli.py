"""`python -m deploy.local`: the local stack's commands, as `make` calls them."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from deploy.local import probes
from deploy.local.demo.running import environment_of
from deploy.local.detached import (
    is_stopping,
    start_detached,
    stop_detached,
    wait_until_ready,
    wait_until_stopped,
)
from deploy.local.errors import StackError
from deploy.local.plan import Options
from deploy.local.services import INFRASTRUCTURE, NAMES
from deploy.local.state import StateFolder
from deploy.local.supervising import supervise

app = typer.Typer(
    help="The whole system on this machine, for development.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

COULD_NOT_BEGIN = 2

Only = Annotated[
    str, typer.Option(help=f"Just these, comma separated: {', '.join(NAMES)}.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing if it is running already.")]
WithParent = Annotated[
    bool, typer.Option("--with-parent", help="Stop as well when the process that starts this ends.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@contextmanager
def told(exit_code: int = 1) -> Iterator[None]:
    """Errors as one message, without a traceback."""
    try:
        yield
    except StackError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def run(only: Only = "", with_parent: WithParent = False) -> None:
    """Run everything in the foreground; Ctrl-C stops it in order."""
    with told():
        folder = StateFolder.from_environment(os.environ)
        options = Options.read(os.environ, only)
        supervise(options, folder, say, with_parent=with_parent)


@app.command()
def up(only: Only = "", quiet: Quiet = False) -> None:
    """Run everything in the background; returns when it is ready."""
    with told():
        folder = StateFolder.from_environment(os.environ)
        Options.read(os.environ, only)  # wrong options are told here, not by a process behind us
        _wait_for_the_last_to_stop(folder)
        if (supervisor := folder.supervisor()) is None:
            command = [sys.executable, "-m", "deploy.local", "run", "--only", only]
            start_detached(folder, command, say)
            return
        wait_until_ready(folder, supervisor)
        if not quiet:
            say(f"running already (pid {supervisor})")


@app.command()
def down() -> None:
    """Stop what `up` or `run` started, and wait until it has ended."""
    with told():
        folder = StateFolder.from_environment(os.environ)
        supervisor = folder.supervisor()
        if supervisor is None:
            say("not running")
            return
        stop_detached(folder, supervisor)
        say("stopped")


@app.command()
def status(as_json: AsJson = False) -> None:
    """What is running, where, and whether it answers."""
    folder = StateFolder.from_environment(os.environ)
    report = asyncio.run(_report(folder))
    say(json.dumps(report, indent=2) if as_json else _table(report))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def tool(
    context: typer.Context,
    module: Annotated[str, typer.Argument(help="A module of ours; its own arguments follow.")],
) -> None:
    """Run a tool against what is running: with the addresses and secrets of its services.

    Ends as the tool does; with 2 if it can't be begun.
    """
    with told(COULD_NOT_BEGIN):
        folder = StateFolder.from_environment(os.environ)
        if folder.supervisor() is None:
            raise StackError("not running: start it with `make up`")
        environment = environment_of(folder, os.environ)
        command = [sys.executable, "-m", module, *context.args]
        raise typer.Exit(subprocess.run(command, env=environment).returncode)


@app.command()
def clean() -> None:
    """Stop it and forget everything it stored, secrets included. Fetched jars are kept."""
    with told():
        folder = StateFolder.from_environment(os.environ)
        if (supervisor := folder.supervisor()) is not None:
            stop_detached(folder, supervisor)
        folder.remove()
        say(f"removed {folder.path}")


def _wait_for_the_last_to_stop(folder: StateFolder) -> None:
    """A `down` elsewhere may be under way: what is stopping is not running."""
    supervisor = folder.supervisor()
    if supervisor is not None and is_stopping(folder, supervisor):
        wait_until_stopped(folder, supervisor)


async def _report(folder: StateFolder) -> dict[str, Any]:
    """The supervisor's own word, and whether each component answers at this moment."""
    supervisor = folder.supervisor()
    report = folder.read_status(supervisor)
    components = report.setdefault("components", {})
    answers = await asyncio.gather(
        *(_answers(name, entry["port"]) for name, entry in components.items())
    )
    for entry, answering in zip(components.values(), answers, strict=True):
        entry["answers"] = answering
    return {"running": supervisor is not None, "state_dir": str(folder.path), **report}


async def _answers(name: str, port: int) -> bool:
    if name in INFRASTRUCTURE:
        return await probes.listens(port)
    return await probes.answers_ok(f"http://127.0.0.1:{port}/readyz")


def _table(report: dict[str, Any]) -> str:
    if not report["running"]:
        return "not running"
    lines = [f"{report.get('phase', 'starting')} (pid {report.get('pid', '?')})"]
    for name, entry in report["components"].items():
        health = "answers" if entry["answers"] else "does not answer"
        lines.append(
            f"  {name:<13} {entry['state']:<11} {health:<16} 127.0.0.1:{entry['port']:<6} "
            f"pid {entry['pid'] or '-'}, {entry['restarts']} restarts"
        )
    return "\n".join(lines)


def say(text: str) -> None:
    """One or more lines for whoever started us."""
    with suppress(OSError):  # nobody reads it any more: no reason to leave a stack half stopped
        typer.echo(text)
        sys.stdout.flush()
