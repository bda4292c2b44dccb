"""Surrounds a run of the ingestor: signals, a bar or lines of progress on stderr, metrics.

Promises: the first SIGINT or SIGTERM asks the run to finish what is under way, and says so; a second one ends the
process at once. stdout is left to the result.
Concurrency: entered and left by the main thread.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Final, Self

from vecdb.ingest.operation.commands import open_sources
from vecdb.ingest.operation.jsonlines import JsonLines
from vecdb.ingest.operation.metrics import Metrics, outcome_of
from vecdb.ingest.operation.outlook import Outlook
from vecdb.ingest.operation.progress import STOPPING, Progress, Several, finished
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.pipeline.events import Counts, Observer, Stopping
from vecdb.ingest.pipeline.reports import RunReport

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
EXIT_SIGNAL: Final = 128
SHOW_CURSOR: Final = "\x1b[?25h"


class Session:
    """One command of the ingestor while it works. `stop` is set by the first signal."""

    def __init__(
        self,
        settings: IngestSettings,
        show: str,
        *,
        looks_ahead: bool = True,
        total: Callable[[], int | None] = lambda: None,
        done: Callable[[Counts], int] = finished,
    ) -> None:
        """`show` is how progress is shown: bar, json or none.

        `total` is the number of items, where that is known; `done` says which are done with.
        """
        self.stop = threading.Event()
        self.signal: int | None = None
        self._settings = settings
        self._show = show
        self._outlook = Outlook(open_sources(settings)) if looks_ahead and show != "none" else None
        self._progress = Progress(lambda: total() if self._outlook is None else self._outlook.items, done=done)
        self._lines: JsonLines | None = None
        self._metrics: Metrics | None = None
        self._observers: list[Observer] = [self._progress]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        # else gRPC writes lines of its own about connections that fail, which the run says itself
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        with ExitStack() as stack:
            for number in SIGNALS:
                stack.callback(signal.signal, number, signal.signal(number, self._take))
            self._serve_metrics(stack)
            self._show_progress(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def observer(self) -> Observer:
        """Whom the run tells what happens."""
        return Several(self._observers)

    @property
    def exit_code(self) -> int | None:
        """What a shell is told of a command that was ended by a signal."""
        return None if self.signal is None else EXIT_SIGNAL + self.signal

    def run_ended(self, report: RunReport, *, watching: bool = False) -> None:
        """Tell metrics and log of a run that has ended; when `watching`, another one may come."""
        if watching:
            self._progress.rest()
        if self._metrics is not None:
            self._metrics.run_ended(report)
        if self._lines is not None:
            self._lines.write("ended", outcome=outcome_of(report), **report.to_dict())

    def _serve_metrics(self, stack: ExitStack) -> None:
        address = self._settings.metrics_address
        if address is not None:
            self._metrics = stack.enter_context(Metrics(address, self._settings.collection, self._progress))
            self._observers.append(self._metrics)

    def _show_progress(self, stack: ExitStack) -> None:
        if self._show == "json":
            self._lines = stack.enter_context(JsonLines(sys.stderr, self._progress))
            self._observers.append(self._lines)
            port = {} if self._metrics is None else {"metrics_port": self._metrics.port}
            place = {"to": str(self._settings.destination), "collection": self._settings.collection}
            self._lines.write("started", pid=os.getpid(), **place, **port)
        elif self._show == "bar":
            from vecdb.cli.ingest_bar import Bar  # noqa: PLC0415 - rich takes a while, and is needed on terminals only

            self._observers.append(stack.enter_context(Bar(self._progress)))
        if self._outlook is not None:
            stack.callback(self._outlook.close)
            self._outlook.start()

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self.stop.is_set():
            if sys.stderr.isatty():
                os.write(2, SHOW_CURSOR.encode())
            os._exit(EXIT_SIGNAL + number)
        self.signal = number
        self.stop.set()
        if self._show == "none":
            os.write(2, f"vecdb: {STOPPING}\n".encode())
        # at once, as the run says it only when it comes to look; and in a thread of its own, since the one that was
        # interrupted here may hold what observers wait for
        threading.Thread(target=self.observer.observe, args=(Stopping(),), daemon=True).start()


def how_to_show(wanted: str) -> str:
    """How progress is shown: as said, else a bar on a terminal and JSON lines elsewhere."""
    if wanted != "auto":
        return wanted
    return "bar" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "json"
