"""The `streaming` suite: searches in one thread while another writes durably at a steady rate.

A part of the rows is written and indexed first. Then `writes_per_s` upserts of `batch_rows` new rows each are due at
fixed times; a late one is made at once, so that the rate is kept if the database can keep it (`behind_s` says how late
the last one was). The searching thread asks one query after another. Latencies are those of the calls, in the same
process, so they include waiting for the interpreter. After every `sample_every`-th search recall is sampled: the next
query in turn is answered as usual and then exactly, and counts only if no commit came between the two, so that both saw
the same records. Recall is the share of hits no farther than the last exact one. Figures come per second and over all;
`records`, `tail_rows` and `segments` are those after the first write of a second, None where there was none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

import vecdb
from benchmarks.engines.protocol import Matrix
from benchmarks.suites.database import (
    COLLECTION,
    Progress,
    make_database,
    percentiles_ms,
    rows_as_batch,
    silent,
    temporary_place,
)
from vecdb.types import Metric

SHAPE: Final = ("records", "tail_rows", "segments")
SAMPLE_ATTEMPTS: Final = 5
"""How often a sample is taken again when a commit came between; then it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingOptions:
    """`base` (n, d): `first_rows` are there before, the others come while it lasts (the rate decides how many)."""

    base: Matrix
    queries: Matrix
    metric: Metric = "cosine"
    first_rows: int = 10_000
    seconds: float = 60.0
    writes_per_s: float = 20.0
    batch_rows: int = 50
    k: int = 10
    sample_every: int = 50
    effort: Mapping[str, Any] = field(default_factory=lambda: {"target_recall": 0.95})
    directory: Path | None = None
    progress: Progress = silent


@dataclass(slots=True)
class Track:
    """What one second saw; appended to by one thread only."""

    searches: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)
    lost_samples: int = 0
    writes: list[float] = field(default_factory=list)
    shape: dict[str, int] = field(default_factory=dict)

    def to_dict(self, second: int) -> dict[str, Any]:
        """The second as it is stored."""
        return {
            "second": second,
            "searches": len(self.searches),
            **percentiles_ms(self.searches),
            "recall": _mean(self.recalls),
            "samples": len(self.recalls),
            "lost_samples": self.lost_samples,
            "writes": len(self.writes),
            "write": percentiles_ms(self.writes),
        }


def run(options: StreamingOptions) -> dict[str, Any]:
    """Load, stream, and report per second and over all."""
    if not 0 < options.first_rows < len(options.base):
        raise ValueError(f"first_rows is {options.first_rows} of {len(options.base)}; begin with some, stream the rest")
    options.progress(f"a database of {options.first_rows} rows")
    with temporary_place(options.directory) as place:
        make_database(place / "db", options.base[: options.first_rows], options.metric)
        with vecdb.open(place / "db") as db:
            return _Stream(db, options).run()


class _Stream:
    """The two threads and what they saw."""

    def __init__(self, db: vecdb.Database, options: StreamingOptions) -> None:
        self._db, self._options = db, options
        self._collection = db.collection(COLLECTION)
        self._searched: dict[int, Track] = {}
        self._written: dict[int, Track] = {}
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._begin = 0.0

    def run(self) -> dict[str, Any]:
        self._db.warm_up()
        self._begin = time.perf_counter()
        searcher = threading.Thread(target=self._search, name="bench-searcher")
        searcher.start()
        try:
            rows, behind = self._write()
        finally:
            self._stop.set()
            searcher.join()
        if self._failure is not None:
            raise self._failure
        return self._report(rows, behind)

    def _track(self, tracks: dict[int, Track]) -> Track:
        return tracks.setdefault(int(time.perf_counter() - self._begin), Track())

    # --- the writing thread ------------------------------------------------------------------------------------------

    def _write(self) -> tuple[int, float]:
        """Write until the time or the rows are over; returns rows written and how late the last write was."""
        options, start, number, behind = self._options, self._options.first_rows, 0, 0.0
        while start < len(options.base) and not self._stop.is_set():
            due = number / options.writes_per_s
            if due >= options.seconds:
                break
            time.sleep(max(self._begin + due - time.perf_counter(), 0.0))
            batch = rows_as_batch(options.base, start, options.batch_rows)
            called = time.perf_counter()
            behind = called - self._begin - due
            self._collection.upsert(*batch)
            track = self._track(self._written)
            track.writes.append(time.perf_counter() - called)
            if not track.shape:
                self._note_shape(track)
            start, number = start + len(batch[0]), number + 1
        return start - options.first_rows, behind

    def _note_shape(self, track: Track) -> None:
        stats = self._collection.stats()
        field_stats = stats.fields["default"]
        track.shape = dict(zip(SHAPE, (stats.records, field_stats.tail_rows, field_stats.segments), strict=True))
        second = int(time.perf_counter() - self._begin)
        self._options.progress(
            f"second {second}: {stats.records} records, {field_stats.segments} segment(s), "
            f"{field_stats.tail_rows} rows in the tail"
        )

    # --- the searching thread ----------------------------------------------------------------------------------------

    def _search(self) -> None:
        try:
            number, queries = 0, self._options.queries
            while not self._stop.is_set():
                query = queries[number % len(queries)]
                begin = time.perf_counter()
                self._find(query, **self._options.effort)
                taken = time.perf_counter() - begin
                self._track(self._searched).searches.append(taken)
                if number % self._options.sample_every == 0:
                    # Counted apart: the searches sampled may be the same few queries over and over.
                    self._sample(queries[number // self._options.sample_every % len(queries)])
                number += 1
        except BaseException as error:  # noqa: BLE001 - raised again in the other thread
            self._failure = error
            self._stop.set()

    def _find(self, query: Matrix, **effort: Any) -> vecdb.SearchResult:
        return self._collection.search(query, self._options.k, **effort)

    def _sample(self, query: Matrix) -> None:
        for _ in range(SAMPLE_ATTEMPTS):
            before = self._db.seq
            found, exact = self._find(query, **self._options.effort), self._find(query, exact=True)
            if self._db.seq == before:
                # The kernels of both compute a distance alike, bit for bit, so that ties need no tolerance.
                share = np.count_nonzero(found.distances <= exact.distances[-1]) / len(exact)
                self._track(self._searched).recalls.append(float(share))
                return
        self._track(self._searched).lost_samples += 1

    # --- the report --------------------------------------------------------------------------------------------------

    def _report(self, rows: int, behind: float) -> dict[str, Any]:
        tracks = [self._merged(second) for second in range(max((*self._searched, *self._written)) + 1)]
        whole = Track(
            searches=[taken for track in tracks for taken in track.searches],
            recalls=[share for track in tracks for share in track.recalls],
            lost_samples=sum(track.lost_samples for track in tracks),
            writes=[taken for track in tracks for taken in track.writes],
        )
        asked = self._options.writes_per_s * self._options.batch_rows
        total = whole.to_dict(0)
        del total["second"]
        return {
            "first_rows": self._options.first_rows,
            "rows_written": rows,
            "asked_rows_per_s": asked,
            "behind_s": behind,
            "effort": dict(self._options.effort),
            "total": total,
            "seconds": [dict.fromkeys(SHAPE) | one.to_dict(second) | one.shape for second, one in enumerate(tracks)],
        }

    def _merged(self, second: int) -> Track:
        searched, written = self._searched.get(second, Track()), self._written.get(second, Track())
        return Track(searched.searches, searched.recalls, searched.lost_samples, written.writes, written.shape)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
