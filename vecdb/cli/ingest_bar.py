"""Shows a run of the ingestor on a terminal: a bar, rates, the time left, and failures as lines above it.

Promises: the run never waits for the terminal: it is drawn by a thread of its own. Text from sources and services is
shown escaped.
Concurrency: any thread observes; one draws.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vecdb.cli.output import printable
from vecdb.ingest.operation.config import FAILURES_SHOWN
from vecdb.ingest.operation.progress import Progress, Snapshot
from vecdb.ingest.pipeline.events import ItemFailed, RunEvent

DRAW_S: Final = 0.15
"""Between two pictures: fast enough to look alive."""

BAR_COLUMNS: Final = 24
BAR_COLUMNS_NARROW: Final = 8
WIDE_COLUMNS: Final = 100
"""From here on there is room for a long bar beside all figures."""

MINUTE: Final = 60


class Bar:
    """An Observer with a bar on stderr. A context manager."""

    def __init__(self, progress: Progress, console: Console | None = None) -> None:
        self._progress = progress
        self._console = console or Console(stderr=True, highlight=False, markup=False)
        self._failures: deque[ItemFailed] = deque()
        self._failed = 0
        self._ended = threading.Event()
        # what is printed on the same terminal stands above the bar; what goes to a file is none of the bar's business
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=sys.stdout.isatty()
        )
        self._thread = threading.Thread(target=self._draw_all, name="vecdb-bar", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._live.stop()

    def observe(self, event: RunEvent) -> None:
        if isinstance(event, ItemFailed):
            self._failed += 1
            if self._failed <= FAILURES_SHOWN:
                self._failures.append(event)

    def _draw_all(self) -> None:
        while not self._ended.wait(DRAW_S):
            self._draw()
        self._draw()

    def _draw(self) -> None:
        while self._failures:
            self._console.print(Text(f"failed: {printable(str(self._failures.popleft()))}", style="red"))
            if self._failed > FAILURES_SHOWN and not self._failures:
                self._console.print(Text("more failures are counted; vecdb ingest failed lists all", style="red"))
        self._live.update(picture(self._progress.snapshot(), self._console.width), refresh=True)


def picture(snapshot: Snapshot, columns: int = WIDE_COLUMNS) -> Table:
    """The bar, and a line under it for what is in the way, for a terminal of so many columns."""
    line = Table.grid(padding=(0, 2))
    total = snapshot.total
    done = snapshot.done if total is None else min(snapshot.done, total)
    width = BAR_COLUMNS if columns >= WIDE_COLUMNS else BAR_COLUMNS_NARROW
    bar = ProgressBar(total=total or None, completed=done, width=width, pulse=not total)
    words = Text("  ", no_wrap=True, overflow="ellipsis").join(Text(*word) for word in words_of(snapshot))
    line.add_row(bar, words)
    both = Table.grid()
    both.add_row(line)
    if snapshot.trouble:
        both.add_row(Text(printable(snapshot.trouble), style="yellow", overflow="ellipsis", no_wrap=True))
    return both


def words_of(snapshot: Snapshot) -> list[tuple[str, str]]:
    """What stands beside the bar, and in which style."""
    of = "" if snapshot.total is None else f"/{snapshot.total:,}"
    found = [(f"{snapshot.done:,}{of} items", ""), (f"{snapshot.items_per_s:,.0f}/s", "")]
    if snapshot.counts.tokens:
        found.append((f"{snapshot.tokens_per_s:,.0f} tokens/s", ""))
    if snapshot.eta_s is not None:
        found.append((f"{spell_seconds(snapshot.eta_s)} left", "cyan"))
    if snapshot.counts.failed:
        found.append((f"{snapshot.counts.failed:,} failed", "red"))
    return found


def spell_seconds(seconds: float) -> str:
    """12 s, 3:20, 2:10:05."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    minutes, rest = divmod(whole, MINUTE)
    hours, minutes = divmod(minutes, MINUTE)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
