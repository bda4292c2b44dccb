"""Begins a process of the command line: answers at once what needs nothing loaded, else loads the commands.

Promises: nothing is imported here that `vecdb ingest run` with nothing to do has no use for.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import Final

BUILTIN_PARALLEL: Final = 2
"""Calls of the built-in model at once, as it says itself once it is loaded."""

COLLECT_AFTER: Final = 50_000
"""Objects made until Python looks for circles among them: loading makes 90,000, all of which stay, and to look at them
after every 700 takes 12 ms of 250."""

EXIT_PIPE: Final = 128 + 13
"""As for every command; `signal` takes a while to load."""


def main() -> None:
    """Run the command line and exit."""
    words = sys.argv[1:]
    if words[:1] != ["serve"]:  # which lasts
        gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    if words[:2] == ["ingest", "run"]:
        _ingest(words)
    from vecdb.cli.app import main as run_commands  # noqa: PLC0415 - all commands and their libraries

    run_commands()


def _ingest(words: list[str]) -> None:
    """Run the ingestor and exit at once: gRPC's threads and a heap of objects take a while to end, for nobody."""
    if _had_nothing_to_do(words):
        os._exit(_flushed(0))
    from vecdb.ingest.embedders.spawning import start_ahead  # noqa: PLC0415 - a run with nothing to do needs none

    start_ahead(words, os.environ, BUILTIN_PARALLEL)
    from vecdb.cli.app import run  # noqa: PLC0415 - as in main

    os._exit(_flushed(run(words)))


def _flushed(code: int) -> int:
    """Let go of what was printed; returns the exit code, or the one that says that nobody reads it."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        return EXIT_PIPE
    return code


def _had_nothing_to_do(words: list[str]) -> bool:
    """Whether a receipt says that this run would change nothing; it is then told of."""
    began = time.perf_counter()
    from vecdb import __version__  # noqa: PLC0415 - as light as this module
    from vecdb.ingest import receipts  # noqa: PLC0415 - only this command has any

    place = receipts.place_of(words, os.environ, __version__)
    facts = None if place is None or not os.path.exists(place) else receipts.still_true(place)
    if facts is None:
        return False
    receipts.tell(facts, time.perf_counter() - began, as_json="--json" in words, progress=_progress(words))
    return True


def _progress(words: list[str]) -> str:
    """How progress is shown, as `vecdb.cli.ingest_session.how_to_show` says; a bar leaves nothing behind."""
    shown = next((word.partition("=")[2] for word in words if word.startswith("--progress=")), "auto")
    if "--progress" in words:
        shown = "".join(words[words.index("--progress") + 1 :][:1])
    if shown != "auto":
        return shown
    return "bar" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "json"
