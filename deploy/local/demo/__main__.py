"""`python -m deploy.local.demo`: plays the story and exits with 1 if anything deviates from it."""

import asyncio
import io
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Annotated

import aiohttp
import typer

from deploy.local.admin import ConsoleError
from deploy.local.demo.connecting import open_console
from deploy.local.demo.counters import Meter
from deploy.local.demo.log import keep_quiet, open_log
from deploy.local.demo.printing import Printer, wants_colour
from deploy.local.demo.running import Running, environment_of
from deploy.local.demo.stage import Stage
from deploy.local.demo.story import SCENES, play
from deploy.local.demo.transcript import Transcript
from deploy.local.environment import KAFKA
from deploy.local.errors import StackError
from deploy.local.state import StateFolder
from libs.common.errors import ProjectError
from libs.common.settings import KafkaSettings
from libs.common.text import printable
from simulator.client import Simulator, SimulatorError

PATIENCE_S = 20.0
CALL_WITHIN_S = 10.0
STORY_WITHIN_S = 300.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead, for programs.")]
Patience = Annotated[
    float, typer.Option("--patience", min=1, help="Seconds to wait for an answer.")
]
Scenes = Annotated[
    list[str] | None,
    typer.Option("--scene", help=f"Only this one; may be repeated. {', '.join(SCENES)}."),
]


@app.command()
def main(as_json: AsJson = False, patience: Patience = PATIENCE_S, scene: Scenes = None) -> None:
    """Play a whole story against the running stack, and check every line of it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ✓ is no reason to fail
    keep_quiet()
    try:
        if unknown := set(scene or []) - set(SCENES):
            raise StackError(
                f"no scene is called {', '.join(sorted(unknown))}; there are {', '.join(SCENES)}"
            )
        folder = StateFolder.from_environment(os.environ)
        running, environment = Running.find(folder), environment_of(folder, os.environ)
        is_held = asyncio.run(_played(running, environment, patience, scene or [], as_json=as_json))
    except StackError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(0 if is_held else 1)


async def _played(
    running: Running,
    environment: Mapping[str, str],
    patience_s: float,
    chosen: Collection[str],
    *,
    as_json: bool,
) -> bool:
    """Whether everything held. What happened has been printed."""
    colour = wants_colour(os.environ, is_terminal=sys.stdout.isatty())
    printer = Printer(typer.echo, colour=colour, width=shutil.get_terminal_size((96, 24)).columns)
    transcript = Transcript([] if as_json else [printer])
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(STORY_WITHIN_S),
            _open_stage(running, environment, transcript, patience_s) as stage,
        ):
            transcript.begin(stage.page_name)
            await play(stage, chosen)
    except (
        SimulatorError,
        ConsoleError,
        aiohttp.ClientError,
        ProjectError,
        TimeoutError,
    ) as error:
        transcript.check(
            "the stack answers, to the end of the story",
            held=False,
            seen=f"{type(error).__name__} {error}".strip(),
        )
    seconds = time.monotonic() - began
    if as_json:
        told = json.dumps(transcript.to_json(seconds), ensure_ascii=False, indent=2)
        typer.echo(printable(told, keep="\n"))
    else:
        printer.end(transcript, seconds, running)
    return transcript.held


@asynccontextmanager
async def _open_stage(
    running: Running, environment: Mapping[str, str], transcript: Transcript, patience_s: float
) -> AsyncIterator[Stage]:
    timeout = aiohttp.ClientTimeout(total=CALL_WITHIN_S)
    kafka = KafkaSettings(bootstrap_servers=environment[KAFKA])
    async with aiohttp.ClientSession(timeout=timeout) as session, open_log(kafka) as log:
        simulator = Simulator(session, running.urls["simulator"])
        pages = await simulator.pages()
        if not pages:
            raise StackError("the simulator has no Page: `make down` and `make up` connect one")
        page = pages[0]["id"]
        async with open_console(environment, page) as console:
            yield Stage(
                session=session,
                simulator=simulator,
                meter=Meter(session, running.urls, simulator),
                transcript=transcript,
                page=page,
                page_name=pages[0]["name"],
                urls=running.urls,
                service_token=environment["SERVICE_TOKEN"],
                console=console,
                log=log,
                patience_s=patience_s,
                people=[],
            )


if __name__ == "__main__":
    # as by Ctrl-C: what the story has switched off is switched on again
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="python -m deploy.local.demo")
