"""The public handle of one collection: checks arguments, takes the current View, and answers or submits a write.

Promises: see each method; a handle stays valid until its collection is dropped, and holds no snapshot between calls.
Concurrency: all methods may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from vecdb.checks.declarations import check_index
from vecdb.checks.models import require_model
from vecdb.checks.options import check_count, check_ef, check_seed, check_target_recall, check_timeout
from vecdb.config import SEARCH_BATCH_MAX, TARGET_RECALL_DEFAULT
from vecdb.engine import hit_results, search
from vecdb.engine.commit import AllOrNothing
from vecdb.engine.effort import SearchEffort
from vecdb.engine.explaining import Stopwatch, explained
from vecdb.engine.fields import CollectionFields
from vecdb.engine.filtered_search import explained_hits, search_matches
from vecdb.engine.filtered_writes import DeleteMatching, UpdateMatching
from vecdb.engine.filtering import visible
from vecdb.engine.found_batches import found_batch
from vecdb.engine.found_hits import FoundHits
from vecdb.engine.indexer import Effort as IndexEffort
from vecdb.engine.interruption import pieces
from vecdb.engine.quick_search import asked_of, keep_prepared, quick_search
from vecdb.engine.reading import RecordReads
from vecdb.engine.recall import measure_field_recall
from vecdb.engine.validate import check_queries, check_query
from vecdb.engine.writing import RecordWrites
from vecdb.errors import InvalidRequestError, LimitExceededError, VecDBError
from vecdb.filters import Filter, FilterLike, read_filter
from vecdb.kernels.native import load_kernels
from vecdb.types import (
    BatchOptions,
    BatchResult,
    CollectionStats,
    FieldStats,
    IndexInfo,
    IndexKind,
    RecallReport,
    RecordId,
    SearchResult,
    SegmentPlan,
    VectorLike,
    WriteResult,
)

if TYPE_CHECKING:
    import os

    from vecdb.engine.commit import RecordOperation
    from vecdb.engine.quick_search import Asked
    from vecdb.engine.search import FieldBatch, FieldHits
    from vecdb.engine.view import CollectionView, FieldView, View
    from vecdb.fingerprint import ModelFingerprint
    from vecdb.index.graph import GraphReport


class Collection(CollectionFields, RecordWrites[WriteResult], RecordReads):
    """Records with vectors and metadata. Get one from `Database.collection` or `Database.create_collection`."""

    _hits_kind: type[FoundHits] = FoundHits

    def __repr__(self) -> str:
        try:
            schema = self._schema
        except VecDBError as error:  # closed or dropped: a debugger, or a failing test, still wants to show the handle
            return f"<vecdb.Collection {self.name!r} ({error.message})>"
        fields = ", ".join(f"{field.name}: {field.dim} {field.metric}" for field in schema.fields)
        return f"<vecdb.Collection {self.name!r} ({fields})>"

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self._name

    @property
    def ttl_field(self) -> str | None:
        """Path in the metadata that says when a record expires, None when there is none."""
        return self._schema.ttl_field

    def _submit(self, operation: RecordOperation) -> WriteResult:
        if isinstance(operation, (DeleteMatching, UpdateMatching)):
            # In a commit of its own: what it finds must not depend on who else writes at the moment.
            self._load_kernels()
            return self._database.submit(AllOrNothing([operation]))
        return self._database.submit(operation)

    # --- searching -------------------------------------------------------------------------------------------------

    def search(
        self,
        query: VectorLike,
        limit: int = 10,
        *,
        field: str | None = None,
        ef: int | None = None,
        target_recall: float | None = None,
        exact: bool = False,
        filter: FilterLike | None = None,  # noqa: A002 - the word for it everywhere
        strict: bool = False,
        with_metadata: bool = True,
        with_vectors: bool = False,
        min_seq: int | None = None,
        explain: bool = False,
        model: ModelFingerprint | None = None,
    ) -> SearchResult:
        """Return the records nearest to `query` (dim,), best first; never fewer than min(limit, matching records).

        `filter`: only records that match it (see `vecdb.F`); `strict` refuses one with a condition that no index
        answers. `ef` fixes the effort; `target_recall` asks each segment for the effort that reached it when it was
        measured; `exact` compares with every (matching) record. `min_seq` waits until the reader sees that commit.
        `explain`: the result says how it was found. `model`: the model that made the query; ModelMismatchError when
        the field stores another one.
        """
        wanted = read_filter(filter)
        asked: Asked | None = None
        if not (strict or with_vectors or explain or model is not None):
            asked = asked_of(limit, ef, target_recall, exact, field)
            given = (asked, query, wanted, min_seq, self._hits_kind)
            quick = quick_search(self._database, self._number, *given, with_metadata=with_metadata)
            if quick is not None:
                return quick
        limit = check_count("limit", limit)
        effort = self._effort(ef, target_recall, exact=exact)
        self._load_kernels()
        clock = Stopwatch() if explain else None
        with self._database.reading(min_seq) as view:
            collection = self._view(view)
            found = collection.field(field)
            require_model(self.name, found.schema.model, model)
            vector = check_query(found.schema, query)
            matches = visible(view, collection, wanted, strict=strict)
            if clock is not None:
                clock.lap("filter")
            parts: tuple[SegmentPlan, ...] = ()
            if clock is not None:
                hits, parts = explained_hits(found, vector, limit, effort, matches)
                clock.lap("search")
            elif matches is not None:
                hits = search_matches(found, vector.reshape(1, -1), limit, effort, matches).of(0)
            else:
                hits = search.search_field(found, vector, limit, effort)
            result = self._result(view, found, hits, with_metadata=with_metadata, with_vectors=with_vectors)
            if asked is not None:
                keep_prepared(collection, asked, found, limit, effort, matches)
        return result if clock is None else replace(result, explain=explained(parts, matches, clock))

    def search_batch(
        self,
        queries: VectorLike,
        limit: int = 10,
        *,
        field: str | None = None,
        ef: int | None = None,
        target_recall: float | None = None,
        exact: bool = False,
        filter: FilterLike | None = None,  # noqa: A002 - see search
        strict: bool = False,
        with_metadata: bool = False,
        with_vectors: bool = False,
        min_seq: int | None = None,
        model: ModelFingerprint | None = None,
    ) -> BatchResult:
        """Search for each row of `queries` (n, dim), on all cores, against one snapshot; one filter for all.

        Metadata is left out unless asked for.
        """
        limit = check_count("limit", limit)
        effort = self._effort(ef, target_recall, exact=exact)
        wanted = self._filter(filter)
        self._load_kernels()
        with self._database.reading(min_seq) as view:
            found, hits = self._batch_hits(view, field, queries, limit, effort, wanted, strict=strict, model=model)
            kept = hit_results.batch_columns(
                view,
                found,
                self._number,
                hits,
                self._database.threads,
                with_metadata=with_metadata,
                with_vectors=with_vectors,
            )
        return found_batch(kept, limit)

    def search_stream(
        self, batches: Iterable[VectorLike], limit: int = 10, **options: Unpack[BatchOptions]
    ) -> Iterator[BatchResult]:
        """`search_batch` for each of many batches, in turn; served, it is the fastest way to search for many."""
        for queries in batches:
            yield self.search_batch(queries, limit, **options)

    def _batch_hits(
        self,
        view: View,
        field: str | None,
        queries: VectorLike,
        limit: int,
        effort: SearchEffort,
        wanted: Filter | None,
        *,
        strict: bool,
        model: ModelFingerprint | None,
    ) -> tuple[FieldView, FieldBatch]:
        """The hits of each query, and the field that they are of."""
        collection = self._view(view)
        found = collection.field(field)
        require_model(self.name, found.schema.model, model)
        matrix = check_queries(found.schema, queries)
        if len(matrix) > SEARCH_BATCH_MAX:
            raise LimitExceededError(f"{len(matrix)} queries; one batch takes at most {SEARCH_BATCH_MAX}, so split it")
        matches = visible(view, collection, wanted, strict=strict)
        threads = self._database.threads
        if not len(matrix):
            return found, search.merged_batch([], 0, limit)
        hits = [
            search.search_field_batch(found, part, limit, effort, threads)
            if matches is None
            else search_matches(found, part, limit, effort, matches, threads)
            for part in pieces(matrix, exact=effort.exact)
        ]
        return found, search.joined(hits)

    def _result(
        self, view: View, field: FieldView, hits: FieldHits, *, with_metadata: bool, with_vectors: bool
    ) -> SearchResult:
        return hit_results.search_result(
            view, field, self._number, hits, with_metadata=with_metadata, with_vectors=with_vectors
        )

    def _effort(self, ef: int | None, target_recall: float | None, *, exact: bool) -> SearchEffort:
        if ef is not None and target_recall is not None:
            raise InvalidRequestError("give either ef= or target_recall=, not both")
        checked_ef = None if ef is None else check_ef(ef)
        target = TARGET_RECALL_DEFAULT if target_recall is None else check_target_recall(target_recall)
        return SearchEffort(exact=bool(exact), ef=checked_ef, target_recall=target)

    # --- metadata indexes ------------------------------------------------------------------------------------------

    @property
    def indexes(self) -> tuple[IndexInfo, ...]:
        """The metadata indexes, in the order in which they were created."""
        with self._database.reading() as view:
            return tuple(IndexInfo(one.path, one.kind, one.ready) for one in self._view(view).state.indexes)

    def create_index(
        self,
        path: str,
        kind: IndexKind,
        *,
        exist_ok: bool = False,
        wait: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Index the values at a path, so that filters on it need not look at records.

        keyword: whole strs; int, float, bool, datetime; text: words (for `match`); geo: {"lat": .., "lon": ..}. Lists
        are indexed by element. Records already stored are added while writes and searches go on: `progress(done,
        total)` follows that, `wait=False` leaves it to the background. IndexExistsError, unless `exist_ok`, when there
        is one.
        """
        checked = check_index(path, kind)
        self._database.create_index(self._schema, *checked, exist_ok=exist_ok, wait=wait, progress=progress)

    def drop_index(self, path: str, kind: IndexKind | None = None) -> None:
        """Drop the index of a path (of every kind, if none is named). IndexNotFoundError names those that exist."""
        checked, _ = check_index(path, "keyword" if kind is None else kind)
        self._database.drop_index(self._schema, checked, kind)

    # --- upkeep ----------------------------------------------------------------------------------------------------

    def wait_indexed(
        self, timeout_s: float | None = None, *, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Wait until what is committed now is indexed; a few hundred rows may stay in the tail, where scanning is fast.

        WaitTimeoutError after `timeout_s`. `progress(done, total)` is called while a graph is built.
        """
        timeout = None if timeout_s is None else check_timeout(timeout_s)
        self._settle(IndexEffort.SETTLE, timeout, progress)

    def optimize(self, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Merge everything into one segment per field without dead rows, and give back the disk's room that this frees.

        The file keeps its length and gets holes (on file systems that have them, with Linux).
        """
        self._settle(IndexEffort.OPTIMIZE, None, progress)

    def _settle(
        self, effort: IndexEffort, timeout_s: float | None, progress: Callable[[int, int], None] | None
    ) -> None:
        with self._database.reading() as view:
            self._view(view)
        del view  # it would pin, while the jobs run, all that they and users' commits free
        with self._database.indexing() as indexer:
            indexer.settle([self._number], effort, timeout_s, progress)

    def stats(self) -> CollectionStats:
        """Return counts and sizes."""
        with self._database.reading() as view:
            found = self._view(view)
            fields = {field.schema.name: _field_stats(field) for field in found.fields}
            return CollectionStats(name=self.name, records=found.state.live, seq=view.seq, fields=fields)

    def measure_recall(
        self,
        k: int = 10,
        sample: int = 200,
        *,
        ef: int | None = None,
        target_recall: float | None = None,
        field: str | None = None,
        seed: int = 0,
    ) -> RecallReport:
        """Measure recall@k against exact search, with stored vectors as queries that do not find themselves."""
        self._load_kernels()
        k, sample, seed = check_count("k", k), check_count("sample", sample), check_seed(seed)
        effort = self._effort(ef, target_recall, exact=False)
        with self._database.reading() as view:
            return measure_field_recall(self._view(view).field(field), k, sample, effort, seed, self._database.threads)

    def validate(self, field: str | None = None) -> list[GraphReport]:
        """Check the graph of every segment of a field; one report each."""
        from vecdb.engine.compaction import read_graph  # noqa: PLC0415 - keeps search-only processes lean
        from vecdb.index.graph import validate_graph  # noqa: PLC0415

        with self._database.reading() as view:
            return [validate_graph(read_graph(segment), None) for segment in self._view(view).field(field).segments]

    def export_hnswlib(self, path: str | os.PathLike[str], *, field: str | None = None) -> list[RecordId]:
        """Write the field as an hnswlib index file; returns the id of each label (labels count from 0).

        int ids below 2^63 are used as labels themselves. Wants one segment and no tail: call `optimize` first.
        """
        from vecdb.engine.interop import export_field  # noqa: PLC0415 - optional path

        with self._database.reading() as view:
            return export_field(view, self._view(view), self._view(view).field(field), path)

    def _load_kernels(self) -> None:
        """Ready the kernels before a View is taken, which pins what commits free."""
        load_kernels(self._database.config.progress)

    def _view(self, view: View) -> CollectionView:
        return view.collection(self._number, self._name)


def _field_stats(field: FieldView) -> FieldStats:
    return FieldStats(
        rows=field.live,
        segments=len(field.segments),
        segment_rows=tuple(segment.entry.rows for segment in field.segments),
        tail_rows=field.tail.live,
        dead_rows=sum(segment.dead_count for segment in field.segments),
        index_bytes=sum(segment.entry.bytes for segment in field.segments),
        calibrated_with=max((segment.entry.curve.get("queries", 0) for segment in field.segments), default=0),
    )
