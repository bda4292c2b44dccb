"""Turns tail rows and old segments of one field into one new segment.

A job names its sources; it gathers their live rows, extends the graph of the largest source (or builds one), writes the
columns in small transactions, measures the recall curve, and swaps the new segment in by one small commit.
Promises: searches see either the old sources or the new segment; a crash or a cancelled job leaves only unlisted
chunks, which the sweep removes. Rows that die while a job runs are dead in its result.
Invariants: only one job runs at a time in a database, so the chunks of a listed segment stay where they are during it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.config import DEAD_RATIO_REBUILD, FIT_ROWS_MAX, SATURATION_REFIT
from vecdb.engine.calibration import kept_queries
from vecdb.engine.columns import gather_rows, read_column
from vecdb.engine.commit import Commit
from vecdb.engine.ids import encode_id_rows
from vecdb.engine.segments import ColumnData, calibrated, column_bytes, open_segment, write_segment_columns
from vecdb.engine.state import SegmentEntry
from vecdb.engine.tail import Slots, Tail
from vecdb.errors import ClosedError, FieldNotFoundError
from vecdb.index.build import build_graph, extend_graph, row_levels
from vecdb.index.graph import Graph
from vecdb.index.quantize import Quantizer, encode_rows, fit_quantizer, inverse_norms, saturated_share
from vecdb.kernels.column import aligned_empty
from vecdb.kernels.native import load_kernels
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.schema import CollectionSchema, FieldSchema
    from vecdb.engine.validate import VectorArray
    from vecdb.engine.view import SegmentView
    from vecdb.engine.writer import Writer
    from vecdb.storage.environment import Environment

ENCODE_BLOCK_ROWS = 8_192
"""Rows gathered and encoded at a time, so that a build never holds all original vectors on the heap."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Source:
    """Live rows of a segment or of the tail."""

    holder: SegmentView | Tail
    rows: Rows
    slots: Slots

    def gather(self, start: int, stop: int, field: FieldSchema) -> VectorArray:
        """Copy original vectors of live rows start..stop-1."""
        rows = self.rows[start:stop]
        if isinstance(self.holder, Tail):
            return self.holder.gather(rows)
        return gather_rows(self.holder.segment.vectors, rows, np.dtype(field.dtype), field.dim)


@dataclass(frozen=True, slots=True)
class Job:
    """What to turn into one segment: `replaced` segments and, when `seals_tail`, tail rows numbered below `bound`."""

    collection: CollectionSchema
    field: FieldSchema
    replaced: tuple[SegmentView, ...]
    tail: Tail
    seals_tail: bool
    bound: int

    @property
    def key(self) -> tuple[int, int]:
        """Numbers of the collection and the field."""
        return self.collection.number, self.field.number

    def sources(self) -> list[Source]:
        """Live rows of all sources, the largest segment first: its graph is extended in place of its neighbours'."""
        ordered = sorted(self.replaced, key=lambda view: (-view.live, view.entry.number))
        sources = [Source(view, view.live_rows(), view.slot_map.slots[view.live_rows()]) for view in ordered]
        if self.seals_tail:
            sources.append(self.tail_source(0))
        return sources

    def tail_source(self, first: int) -> Source:
        """Live rows of the tail numbered from `first` on."""
        rows = self.tail.live_rows()
        numbers = self.tail.all_numbers()[rows]
        rows = rows[(first <= numbers) & (numbers < self.bound)]
        return Source(self.tail, rows, self.tail.all_slots()[rows])


@dataclass(frozen=True, slots=True)
class Content:
    """The rows of a new segment: where they come from, their codes, in order, and their slots."""

    job: Job
    sources: list[Source]
    codes: npt.NDArray[np.int8]
    quantizer: Quantizer

    @property
    def slots(self) -> Slots:
        """The slot of each row."""
        return np.concatenate([source.slots for source in self.sources])

    def with_rows_of(self, job: Job) -> Content | None:
        """The same rows and behind them those that `job` has of the tail beyond; None where there is none, or where
        they are so unlike the others that the scale of the codes does not fit them.
        """
        source = job.tail_source(self.job.bound)
        if not len(source.rows):
            return None
        news, longest = _encode_rest(job.field, [source], 0, self.quantizer)
        if not _fits(job.field, news, longest, self.quantizer):
            return None
        return Content(job, [*self.sources, source], _aligned(np.concatenate([self.codes, news])), self.quantizer)


@dataclass(frozen=True, slots=True)
class PublishSegment:
    """The commit that swaps a new segment (or none, when no row lives) for the sources of a job."""

    FREES_ROOM: ClassVar[bool] = True

    job: Job
    entry: SegmentEntry | None

    def apply(self, commit: Commit) -> int:
        """List the new segment where the first replaced one was; move the border of the tail."""
        number, field = self.job.collection.number, self.job.field.number
        state = commit.state(number, self.job.collection.name)
        if commit.schemas[number].numbered(field) is None:
            raise FieldNotFoundError(f"field {self.job.field.name!r} was dropped", collection=self.job.collection.name)
        before = state.fields[field]
        gone = {view.entry.number for view in self.job.replaced}
        position = min((before.segments.index(n) for n in gone), default=len(before.segments))
        kept = [n for n in before.segments if n not in gone]
        next_segment = before.next_segment
        if self.entry is not None:
            kept.insert(position, self.entry.number)
            next_segment = max(next_segment, self.entry.number + 1)
            key = keys.segment_key(number, field, self.entry.number)
            commit.txn.put(Table.SEGMENTS, key, codec.encode_struct(Table.SEGMENTS, key, self.entry))
        bound = max(before.indexed_upto, self.job.bound) if self.job.seals_tail else before.indexed_upto
        after = msgspec.structs.replace(before, segments=tuple(kept), indexed_upto=bound, next_segment=next_segment)
        commit.states[number] = state.with_field(field, after)
        commit.change(number)
        return 0 if self.entry is None else self.entry.rows


@dataclass(frozen=True, slots=True)
class Compactor:
    """Runs jobs of one database."""

    environment: Environment
    writer: Writer
    cancelled: Callable[[], bool]
    make_room: Callable[[int], None]
    threads: Callable[[], int]
    progress: Callable[[int, int], None] | None = None
    announce: bool = True
    grown: Callable[[Job], Job | None] | None = None

    def run(self, job: Job, number: int) -> None:
        """Build, write and publish the segment of `job` under the segment number `number`.

        When all rows are inserted `grown` is asked, once, for the job with the rows that came meanwhile.
        """
        sources = [source for source in job.sources() if len(source.rows)]
        if not sources:
            self.writer.submit(PublishSegment(job, None))
            return
        load_kernels(self.announce)
        self._check_sources(job)
        content, graph = self._built(Content(job, sources, *encode_sources(job.field, sources)))
        self._check_cancelled()
        job, slots = content.job, content.slots
        data = ColumnData(
            slots=slots,
            ids=self._id_rows(job, slots.tolist()),
            codes=content.codes,
            graph=graph,
            vectors=lambda start, stop: gather_sources(job.field, content.sources, start, stop),
            packed=job.field.packed,
            threads=self.threads(),
        )
        self.make_room(column_bytes(job.field, data))
        bytes_written = write_segment_columns(self.writer, job.key[0], job.field, number, data, self.cancelled)
        entry = segment_entry(number, data, content.quantizer, bytes_written)
        queries = kept_queries(self.environment, job.key[0], job.field)
        entry = calibrated(self.environment, job.key[0], job.field, entry, self.threads(), queries)
        self._check_cancelled()
        self.writer.submit(PublishSegment(job, entry))

    def _built(self, content: Content) -> tuple[Content, Graph]:
        """The graph of the rows, and of those that joined them."""
        joined: list[Content] = []

        def complete() -> bool:
            later = None if self.grown is None else self.grown(content.job)
            more = None if later is None else content.with_rows_of(later)
            joined.extend([] if more is None else [more])
            return more is None

        graph = self._graph(content, complete)
        if not joined:
            return content, graph
        [content] = joined
        levels = row_levels(content.slots, content.job.field.m)
        return content, extend_graph(graph, content.codes, None, levels, **self._options(content))

    def _graph(self, content: Content, complete: Callable[[], bool]) -> Graph:
        field, base = content.job.field, content.sources[0].holder
        if field.builder == "hnswlib":
            return self._graph_by_hnswlib(field, content.sources, self.threads())
        levels, options = row_levels(content.slots, field.m), {**self._options(content), "complete": complete}
        if isinstance(base, Tail) or base.dead_count > DEAD_RATIO_REBUILD * base.entry.rows:
            return build_graph(content.codes, levels, m=field.m, **options)
        keep = np.zeros(base.entry.rows, dtype=np.bool_)
        keep[content.sources[0].rows] = True
        return extend_graph(read_graph(base), content.codes, keep, levels, **options)

    def _options(self, content: Content) -> dict[str, Any]:
        return {
            "ef_construction": content.job.field.ef_construction,
            "threads": self.threads,
            "progress": self.progress,
            "cancelled": self.cancelled,
            "augmented": content.quantizer.augmented,
        }

    def _graph_by_hnswlib(self, field: FieldSchema, sources: list[Source], threads: int) -> Graph:
        from vecdb.index.hnswlib_builder import build_graph_with_hnswlib  # noqa: PLC0415 - loads hnswlib

        rows = sum(len(source.rows) for source in sources)
        vectors = gather_sources(field, sources, 0, rows).astype(np.float32, copy=False)
        return build_graph_with_hnswlib(
            vectors,
            field.metric,
            m=field.m,
            ef_construction=field.ef_construction,
            threads=threads,
            progress=self.progress,
            cancelled=self.cancelled,
        )

    def _id_rows(self, job: Job, slots: list[int]) -> npt.NDArray[np.uint8] | None:
        """Column of ids, read from the records; a row whose record is gone by now has an empty key."""
        id_keys: list[bytes] = []
        for start in range(0, len(slots), ENCODE_BLOCK_ROWS):
            wanted = keys.record_keys(job.collection.number, slots[start : start + ENCODE_BLOCK_ROWS])
            with self.environment.begin_read() as txn:
                values = txn.get_many(Table.RECORDS, wanted)
                id_keys += [
                    b"" if value is None else keys.id_key(codec.decode_record_id(key, value))
                    for key, value in zip(wanted, values, strict=True)
                ]
        return encode_id_rows(id_keys, slots)

    def _check_sources(self, job: Job) -> None:
        """Check every row that will be written again: a merge must not give damaged bytes a sound checksum."""
        with self.environment.begin_read() as txn:
            for view in job.replaced:
                open_segment(txn, job.collection.number, job.field, view.entry, check=True)

    def _check_cancelled(self) -> None:
        if self.cancelled():
            raise ClosedError("the database is being closed")


def encode_sources(field: FieldSchema, sources: list[Source]) -> tuple[npt.NDArray[np.int8], Quantizer]:
    """Return the codes of all live rows and their quantizer: the largest segment's while the data still fits it."""
    base = sources[0].holder
    if not isinstance(base, Tail):
        quantizer = base.segment.quantizer
        kept = gather_rows(base.segment.codes, sources[0].rows, np.dtype(np.int8), quantizer.padded)
        news, longest = _encode_rest(field, sources, len(kept), quantizer)
        if _fits(field, news, longest, quantizer):
            return _aligned(np.concatenate([kept, news])), quantizer
    quantizer = _fit(field, sources)
    codes, _ = _encode_rest(field, sources, 0, quantizer)
    return codes, quantizer


def _fits(field: FieldSchema, news: npt.NDArray[np.int8], longest: float, quantizer: Quantizer) -> bool:
    """Whether the scale fits codes of new rows, of which the longest vector is `longest`."""
    return saturated_share(news) <= SATURATION_REFIT and (field.metric != "dot" or longest <= quantizer.radius)


def _encode_rest(
    field: FieldSchema, sources: list[Source], first: int, quantizer: Quantizer
) -> tuple[npt.NDArray[np.int8], float]:
    """Encode rows from `first` on; returns the codes and the length of the longest vector among them."""
    total = sum(len(source.rows) for source in sources)
    codes = aligned_empty((total - first, quantizer.padded), np.int8)
    longest = 0.0
    for start in range(first, total, ENCODE_BLOCK_ROWS):
        stop = min(start + ENCODE_BLOCK_ROWS, total)
        part = gather_sources(field, sources, start, stop)
        norms = inverse_norms(part) if field.metric == "cosine" else None
        codes[start - first : stop - first] = encode_rows(quantizer, part, norms)
        if field.metric == "dot":
            longest = max(longest, float(np.sqrt(np.einsum("ij,ij->i", part, part, dtype=np.float64).max())))
    return codes, longest


def _fit(field: FieldSchema, sources: list[Source]) -> Quantizer:
    total = sum(len(source.rows) for source in sources)
    if field.metric == "dot" or total <= FIT_ROWS_MAX:
        sample = gather_sources(field, sources, 0, total)
    else:
        step = total // FIT_ROWS_MAX
        sample = np.concatenate([_strided(field, source, step) for source in sources])
    return fit_quantizer(sample, field.metric)


def _strided(field: FieldSchema, source: Source, step: int) -> VectorArray:
    sample = Source(source.holder, source.rows[::step], source.slots[::step])
    return sample.gather(0, len(sample.rows), field)


def gather_sources(field: FieldSchema, sources: list[Source], start: int, stop: int) -> VectorArray:
    """Copy original vectors of the rows start..stop-1 of all sources in order."""
    parts = []
    for source in sources:
        count = len(source.rows)
        if start < count and stop > 0:
            parts.append(source.gather(max(start, 0), min(stop, count), field))
        start, stop = start - count, stop - count
    gathered: VectorArray = np.concatenate(parts)  # type: ignore[assignment]  # all parts have the field's dtype
    return gathered


def read_graph(view: SegmentView) -> Graph:
    """Copy the graph of a segment onto the heap."""
    segment, entry = view.segment, view.entry
    int32 = np.dtype(np.int32)
    return Graph(
        links=read_column(segment.links, int32, 2 * entry.m),
        upper_rows=read_column(segment.upper_rows, int32, 1)[:, 0],
        upper_down=read_column(segment.upper_down, int32, 1)[:, 0],
        upper_links=read_column(segment.upper_links, int32, entry.m),
        level_starts=np.array(entry.level_starts, dtype=np.int32),
        entry=entry.entry,
        m=entry.m,
    )


def segment_entry(number: int, data: ColumnData, quantizer: Quantizer, bytes_written: int) -> SegmentEntry:
    """Return the manifest entry of a segment just written, not yet measured."""
    slots, graph = data.slots, data.graph
    return SegmentEntry(
        number=number,
        rows=len(slots),
        first_slot=int(slots.min()),
        last_slot=int(slots.max()),
        m=graph.m,
        entry=graph.entry,
        upper=len(graph.upper_rows),
        level_starts=tuple(graph.level_starts.tolist()),
        quantizer=quantizer.to_dict(),
        curve={},
        bytes=bytes_written,
        id_stride=0 if data.ids is None else data.ids.shape[1],
        packed=data.packed,
        sketched=data.packed,
    )


def _aligned(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    out: npt.NDArray[np.int8] = aligned_empty(codes.shape, np.int8)
    out[...] = codes
    return out
