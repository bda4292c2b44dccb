"""Keeps a collection true to its sources for as long as it is let: a run at once, and one whenever sources change.

Changes are noticed by the fingerprints of parts (size and time of files), which are looked at every `interval_s`; a run
begins when they have been at rest for `debounce_s`. A source that has no fingerprints (a query, a collection) is read
again after ten times as long as reading took. Polling it is, since a watch of the kernel's sees neither network
file systems nor queries, and loses events when there are many.
Promises: a provider or server that is away ends no watch: the round is tried again after a pause, and so is one whose
sources have gone. What is wrong with the request itself does end it.
Concurrency: one thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, Literal

from vecdb.errors import (
    DatabaseLockedError,
    DeadlineExceededError,
    InvalidConfigError,
    ModelMismatchError,
    OverloadedError,
    ProviderUnavailableError,
    SourceNotFoundError,
    StorageFullError,
    UnavailableError,
    VecDBError,
)
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.operation.commands import job_of, open_destination, open_sources
from vecdb.ingest.operation.config import PATIENCE, PAUSE_MAX_S, PAUSE_S, SCAN_SHARE
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.pipeline import running
from vecdb.ingest.pipeline.events import Observer, Retrying, Silent
from vecdb.ingest.pipeline.opening import choose_embedder
from vecdb.ingest.pipeline.reports import RunReport
from vecdb.ingest.sources.folder import FileSource, FolderSource
from vecdb.ingest.sources.source import Part, Source
from vecdb.ingest.sources.spec import STANDARD_INPUT

PASSING: Final = (ProviderUnavailableError, UnavailableError, OverloadedError, DeadlineExceededError)
"""What may be better in a while."""

PASSING_LATER: Final = (*PASSING, DatabaseLockedError, StorageFullError, SourceNotFoundError)
"""What may be so once a round has been run; before it, it is more likely a mistake."""

Scene = Mapping[str, str | None]
"""The fingerprint of each part; None for one that changed within its clock's grain."""


@dataclass(slots=True)
class Watch:
    """A watch of one pipeline; `rounds` gives the report of each run. Use it up, or close it."""

    settings: IngestSettings
    observer: Observer = field(default_factory=Silent)
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    _embedder: Embedder | None = None
    _has_run: bool = False

    def __post_init__(self) -> None:
        if any(spec.partition("?")[0] == STANDARD_INPUT for spec in self.settings.sources):
            raise InvalidConfigError("standard input ends once, so there is nothing to watch; use: vecdb ingest run -")

    def rounds(self) -> Iterator[RunReport]:
        """Run now, and after every change, until `stop` is set."""
        pause = PAUSE_S
        try:
            while not self.stop.is_set():
                before, started = self._scene(), self.clock()
                report, passing = self._round()
                if report is not None:
                    yield report
                if passing is None:
                    pause = PAUSE_S
                    self._wait_for_change(before, self.clock() - started)
                else:
                    self.observer.observe(Retrying(_what(passing), 1, pause, passing.message))
                    self.stop.wait(pause)
                    pause = min(2 * pause, PAUSE_MAX_S)
        finally:
            self._forget_model()

    def _round(self) -> tuple[RunReport | None, VecDBError | None]:
        """One run: its report, and what it failed with if that may pass."""
        passing = PASSING_LATER if self._has_run else PASSING
        had_model = self._embedder is not None
        try:
            report = self._run()
        except passing as error:
            return None, error
        except ModelMismatchError as error:
            self._forget_model()
            if had_model and self.settings.model is None:
                return None, error  # the collection was given another model meanwhile, which is then taken
            raise
        self._has_run = True
        if report.error is not None and not isinstance(report.error, passing):
            raise report.error
        return report, report.error

    def _run(self) -> RunReport:
        """Run once. The model is kept for the rounds to come: to open one may take longer than they do."""
        sources = open_sources(self.settings)
        with closing(open_destination(self.settings)) as destination:
            if self._embedder is None:
                self._embedder = choose_embedder(destination, sources, self.settings.model, self.settings.model_option)
            job = job_of(self.settings, sources, destination, self._embedder)
            return running.run(job, observer=self.observer, stop=self.stop)

    def _forget_model(self) -> None:
        if self._embedder is not None:
            self._embedder.close()
            self._embedder = None

    def _wait_for_change(self, before: Scene, took_s: float) -> None:
        """Return when the sources are another scene than `before`, and at rest; or when it is time to read anyway."""
        unknown = any(not isinstance(source, FileSource | FolderSource) for source in self._sources())
        read_at = self.clock() + max(self.settings.interval_s, took_s * SCAN_SHARE) if unknown else None
        while not self.stop.is_set():
            now, cost = self._timed_scene()
            if now != before or None in now.values():
                self._wait_for_rest(now)
                return
            if read_at is not None and self.clock() >= read_at:
                return
            self.stop.wait(max(self.settings.interval_s, cost * SCAN_SHARE))

    def _wait_for_rest(self, scene: Scene) -> None:
        """Return when nothing has changed for `debounce_s`, or that has taken too long."""
        settled = until = self.clock() + self.settings.debounce_s
        until += PATIENCE * max(self.settings.debounce_s, self.settings.interval_s)
        while not self.stop.is_set() and self.clock() < until:
            if self.clock() >= settled and None not in scene.values():
                return
            self.stop.wait(max(0.05, min(self.settings.debounce_s, self.settings.interval_s)))
            now = self._scene()
            if now != scene:
                scene, settled = now, self.clock() + self.settings.debounce_s

    def _timed_scene(self) -> tuple[Scene, float]:
        started = self.clock()
        return self._scene(), self.clock() - started

    def _scene(self) -> Scene:
        """What the sources look like; a part that cannot be looked at is a change when it can be again."""
        return scene_of(self._sources())

    def _sources(self) -> Sequence[Source]:
        try:
            return open_sources(self.settings)
        except SourceNotFoundError:
            return ()


def scene_of(sources: Sequence[Source]) -> Scene:
    """The fingerprints of the parts of those sources that have some."""
    found: dict[str, str | None] = {}
    for source in sources:
        if isinstance(source, FileSource | FolderSource):
            try:
                for part in source.parts():
                    if isinstance(part, Part):
                        found[part.key] = _fingerprint(part)
            except VecDBError:
                continue  # the run says what is wrong
    return found


def _fingerprint(part: Part) -> str | None:
    try:
        return part.fingerprint()
    except OSError:
        return "gone"  # between listing and looking


def _what(error: VecDBError) -> Literal["provider", "destination", "source"]:
    if isinstance(error, SourceNotFoundError):
        return "source"
    return "provider" if isinstance(error, ProviderUnavailableError) else "destination"
