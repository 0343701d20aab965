"""`make test-late`: the browser's tests, where much comes late at random.

Timers and answers in the page, and the tests' own steps. What holds only while everything is quick
fails here in one of a few runs, not in one of a thousand. It is a race of the test or, often, one
that people meet as well. `LATE_MS`: the longest delay; `SEED`: of the tests' own delays (those in
the page are the browser's).
"""

import asyncio
import functools
import inspect
import os
import random
from collections.abc import Callable
from typing import Any

from playwright.async_api import Browser, BrowserContext, Keyboard, Locator, Page

LONGEST_MS = int(os.environ.get("LATE_MS", "300"))
SEED = int(os.environ.get("SEED", "1"))
OFTEN = 0.3

IN_THE_PAGE = """((longest) => {
  const later = window.setTimeout.bind(window);
  const delay = () => (Math.random() < 0.5 ? 0 : Math.random() * longest);
  const pass = () => new Promise((done) => later(done, delay()));
  window.setTimeout = (what, ms = 0, ...rest) => later(what, ms + delay(), ...rest);
  const ask = window.fetch.bind(window);
  window.fetch = async (...what) => {
    await pass();
    const answer = await ask(...what);
    await pass();
    return answer;
  };
  const { send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.send = function (...what) {
    later(() => send.apply(this, what), delay());
  };
})"""

_random = random.Random(f"{SEED} {os.environ.get('PYTEST_XDIST_WORKER', '')}")


def _late(step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    async def later(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if _random.random() < OFTEN:
            await asyncio.sleep(_random.random() * LONGEST_MS / 1000)
        return await step(*args, **kwargs)

    return later


def _with_late_pages(new_context: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(new_context)
    async def later(*args: Any, **kwargs: Any) -> BrowserContext:  # noqa: ANN401
        context: BrowserContext = await new_context(*args, **kwargs)
        if kwargs.get("java_script_enabled", True):
            await context.add_init_script(f"{IN_THE_PAGE}({LONGEST_MS})")
        return context

    return later


def pytest_configure() -> None:
    Browser.new_context = _with_late_pages(Browser.new_context)  # type: ignore[method-assign]
    steps = {Locator: vars(Locator), Keyboard: vars(Keyboard), Page: ("goto", "reload", "evaluate")}
    for kind, names in steps.items():
        for name in list(names):
            step = getattr(kind, name)
            if inspect.iscoroutinefunction(step) and not name.startswith("_"):
                setattr(kind, name, _late(step))
