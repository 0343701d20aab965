"""`python -m deploy.local.demo`: plays the story and exits with 1 if anything deviates from it."""

import asyncio
import io
import json
import os
import shutil
import signal
import sys
import time
from typing import Annotated

import aiohttp
import typer

from deploy.local.demo.counters import Meter
from deploy.local.demo.printing import Printer, wants_colour
from deploy.local.demo.running import Running
from deploy.local.demo.stage import Stage
from deploy.local.demo.story import play
from deploy.local.demo.transcript import Transcript
from deploy.local.errors import StackError
from deploy.local.state import StateFolder
from simulator.client import Simulator, SimulatorError

PATIENCE_S = 20.0
CALL_WITHIN_S = 10.0
STORY_WITHIN_S = 300.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead, for programs.")]
Patience = Annotated[
    float, typer.Option("--patience", min=1, help="Seconds to wait for an answer.")
]


@app.command()
def main(as_json: AsJson = False, patience: Patience = PATIENCE_S) -> None:
    """Play a whole story against the running stack, and check every line of it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ✓ is no reason to fail
    try:
        running = Running.find(StateFolder.from_environment(os.environ))
        is_held = asyncio.run(_played(running, patience, as_json=as_json))
    except StackError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(0 if is_held else 1)


async def _played(running: Running, patience_s: float, *, as_json: bool) -> bool:
    """Whether everything held. What happened has been printed."""
    colour = wants_colour(os.environ, is_terminal=sys.stdout.isatty())
    printer = Printer(typer.echo, colour=colour, width=shutil.get_terminal_size((96, 24)).columns)
    transcript = Transcript([] if as_json else [printer])
    began = time.monotonic()
    try:
        async with asyncio.timeout(STORY_WITHIN_S):
            await _play(running, transcript, patience_s)
    except (SimulatorError, aiohttp.ClientError, TimeoutError) as error:
        transcript.check(
            "the stack answers, to the end of the story",
            held=False,
            seen=f"{type(error).__name__} {error}".strip(),
        )
    seconds = time.monotonic() - began
    if as_json:
        typer.echo(json.dumps(transcript.to_json(seconds), ensure_ascii=False, indent=2))
    else:
        printer.end(transcript, seconds, running)
    return transcript.held


async def _play(running: Running, transcript: Transcript, patience_s: float) -> None:
    timeout = aiohttp.ClientTimeout(total=CALL_WITHIN_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        simulator = Simulator(session, running.urls["simulator"])
        pages = await simulator.pages()
        if not pages:
            raise StackError("the simulator has no Page: `make down` and `make up` connect one")
        stage = Stage(
            session=session,
            simulator=simulator,
            meter=Meter(session, running.urls, simulator),
            transcript=transcript,
            page=pages[0]["id"],
            page_name=pages[0]["name"],
            gateway_url=running.urls["gateway"],
            patience_s=patience_s,
            people=[],
        )
        transcript.begin(stage.page_name)
        await play(stage)


if __name__ == "__main__":
    # as by Ctrl-C: what the story has switched off is switched on again
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="python -m deploy.local.demo")
