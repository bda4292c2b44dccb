"""The public handle of one collection: checks arguments, takes the current View, and answers or submits a write.

Promises: see each method; a handle stays valid until its collection is dropped, and holds no snapshot between calls.
Concurrency: all methods may be called from any thread.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import msgspec

from vecdb.config import ITERATE_PAGE_ROWS, SEARCH_BATCH_MAX, TARGET_RECALL_DEFAULT
from vecdb.engine import batch, hit_results, records, search
from vecdb.engine.effort import SearchEffort
from vecdb.engine.indexer import Effort as IndexEffort
from vecdb.engine.metadata import encode_metadata
from vecdb.engine.operations import DeleteRecords, Operation, UpdateRecord
from vecdb.engine.recall import measure_field_recall
from vecdb.engine.validate import (
    check_count,
    check_ef,
    check_lookup,
    check_queries,
    check_query,
    check_seed,
    check_target_recall,
    check_timeout,
    is_single_id,
)
from vecdb.errors import CorruptionError, InvalidRequestError, LimitExceededError
from vecdb.kernels.native import load_kernels
from vecdb.storage.keys import id_from_key, id_key
from vecdb.types import (
    BatchResult,
    CollectionStats,
    Explain,
    Field,
    FieldStats,
    Metadata,
    Page,
    RecallReport,
    Record,
    RecordId,
    SearchResult,
    VectorLike,
    WriteResult,
)

if TYPE_CHECKING:
    import os

    from vecdb.engine.database import Database
    from vecdb.engine.schema import CollectionSchema
    from vecdb.engine.view import CollectionView, FieldView, View
    from vecdb.index.graph import GraphReport


class Collection:
    """Records with vectors and metadata. Get one from `Database.collection` or `Database.create_collection`."""

    def __init__(self, database: Database, schema: CollectionSchema) -> None:
        self._database = database
        self._schema = schema

    def __repr__(self) -> str:
        fields = ", ".join(f"{field.name}: {field.dim} {field.metric}" for field in self._schema.fields)
        return f"<vecdb.Collection {self.name!r} ({fields})>"

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self._schema.name

    @property
    def fields(self) -> dict[str, Field]:
        """Vector fields by name; a single unnamed field is called "default"."""
        return {field.name: field.public() for field in self._schema.fields}

    # --- writing ---------------------------------------------------------------------------------------------------

    def upsert(
        self,
        ids: Sequence[RecordId | Mapping[str, Any]],
        vectors: VectorLike | Mapping[str, Any] | None = None,
        metadata: Sequence[Metadata | None] | None = None,
    ) -> WriteResult:
        """Store records, replacing those whose ids exist. All of the batch or nothing is stored.

        Columns: `upsert(ids, X, metadata)` with X (n, dim), or {field: (n, dim)} for named fields (None: no vector).
        Records: `upsert([{"id": "a", "vector": v, "metadata": {...}}])`, or "vectors": {field: v}.
        """
        return self._submit(batch.read_batch(self._schema, ids, vectors, metadata, "upsert"))

    def insert(
        self,
        ids: Sequence[RecordId | Mapping[str, Any]],
        vectors: VectorLike | Mapping[str, Any] | None = None,
        metadata: Sequence[Metadata | None] | None = None,
    ) -> WriteResult:
        """Like `upsert`, but RecordExistsError (and nothing stored) when any of the ids exists."""
        return self._submit(batch.read_batch(self._schema, ids, vectors, metadata, "insert"))

    def update(
        self,
        id: RecordId,  # noqa: A002 - the field is called id everywhere
        *,
        vector: VectorLike | None = None,
        vectors: Mapping[str, VectorLike] | None = None,
        metadata: Metadata | None = None,
    ) -> WriteResult:
        """Change one record: metadata keys given replace those stored, vectors given replace those of their field.

        What is not named stays. RecordNotFoundError when the id does not exist.
        """
        if vector is None and vectors is None and metadata is None:
            raise InvalidRequestError("update needs vector=, vectors= or metadata=")
        read = batch.read_vector(self._schema, vector, vectors)
        # A copy in plain types: the caller's dict may change before, or fail while, the commit reads it.
        given = None if metadata is None else msgspec.msgpack.decode(encode_metadata(metadata, 0))
        return self._submit(UpdateRecord(self._schema, id_key(id), given, read))

    def delete(self, ids: RecordId | Sequence[RecordId]) -> WriteResult:
        """Delete records by id; ids that do not exist are passed over. `count` of the result is how many existed."""
        return self._submit(DeleteRecords(self._schema, list(dict.fromkeys(check_lookup(ids)))))

    def _submit(self, operation: Operation) -> WriteResult:
        return self._database.submit(operation)

    # --- reading by id -----------------------------------------------------------------------------------------------

    @overload  # str is a Sequence of str to the type checker; at run time a str is one id
    def get(  # type: ignore[overload-overlap]
        self, ids: RecordId, *, with_vectors: bool = False, min_seq: int | None = None
    ) -> Record | None: ...
    @overload
    def get(
        self, ids: Sequence[RecordId], *, with_vectors: bool = False, min_seq: int | None = None
    ) -> list[Record | None]: ...
    def get(
        self, ids: RecordId | Sequence[RecordId], *, with_vectors: bool = False, min_seq: int | None = None
    ) -> Record | list[Record | None] | None:
        """Return the record of an id, or a list for a list of ids; None where an id does not exist."""
        single = is_single_id(ids)
        wanted = check_lookup(ids)
        with self._database.reading(min_seq) as view:
            found = records.get_records(view, self._view(view), wanted, with_vectors=with_vectors)
        return found[0] if single else found

    def __contains__(self, record_id: object) -> bool:
        key = id_key(record_id)  # type: ignore[arg-type]  # any object is checked there
        with self._database.reading() as view:
            return records.exists(view, self._view(view), key)

    def __len__(self) -> int:
        return self.count()

    def count(self) -> int:
        """Return the number of records. Costs nothing: it is kept with every commit."""
        with self._database.reading() as view:
            return self._view(view).state.live

    def scroll(self, limit: int = 100, cursor: str | None = None, *, with_vectors: bool = False) -> Page:
        """Return a page of records in id order (ints, then strs by code point, then UUIDs).

        Pass `page.cursor` to continue. Records that exist during the whole scroll appear exactly once, whatever is
        written meanwhile.
        """
        limit = check_count("limit", limit)
        after = _decode_cursor(cursor)
        with self._database.reading() as view:
            found, last = records.page(view, self._view(view), after, limit, with_vectors=with_vectors)
        return Page(records=tuple(found), cursor=None if last is None else base64.urlsafe_b64encode(last).decode())

    def iterate(self, *, with_vectors: bool = False) -> Iterator[Record]:
        """Iterate over all records in id order, a page at a time; no snapshot is held between pages."""
        cursor: str | None = None
        while True:
            page = self.scroll(ITERATE_PAGE_ROWS, cursor, with_vectors=with_vectors)
            yield from page
            cursor = page.cursor
            if cursor is None:
                return

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
        with_metadata: bool = True,
        with_vectors: bool = False,
        min_seq: int | None = None,
        explain: bool = False,
    ) -> SearchResult:
        """Return the records nearest to `query` (dim,), best first; never fewer than min(limit, records of the field).

        `ef` fixes the effort; `target_recall` asks each segment for the effort that reached it when it was measured;
        `exact` compares with every record. `min_seq` waits until the reader sees that commit.
        """
        limit = check_count("limit", limit)
        effort = self._effort(ef, target_recall, exact=exact)
        self._load_kernels()
        started = time.perf_counter()
        with self._database.reading(min_seq) as view:
            found = self._view(view).field(field)
            vector = check_query(found.schema, query)
            hits = search.search_field(found, vector, limit, effort)
            searched = time.perf_counter()
            number = self._schema.number
            result = hit_results.search_result(
                view, found, number, hits, with_metadata=with_metadata, with_vectors=with_vectors
            )
        if explain:
            return hit_results.explained(result, _explain(found, effort, limit, started, searched))
        return result

    def search_batch(
        self,
        queries: VectorLike,
        limit: int = 10,
        *,
        field: str | None = None,
        ef: int | None = None,
        target_recall: float | None = None,
        exact: bool = False,
        with_metadata: bool = False,
        with_vectors: bool = False,
        min_seq: int | None = None,
    ) -> BatchResult:
        """Search for each row of `queries` (n, dim), on all cores, against one snapshot.

        Metadata is left out unless asked for.
        """
        limit = check_count("limit", limit)
        effort = self._effort(ef, target_recall, exact=exact)
        self._load_kernels()
        with self._database.reading(min_seq) as view:
            found = self._view(view).field(field)
            matrix = check_queries(found.schema, queries)
            if len(matrix) > SEARCH_BATCH_MAX:
                raise LimitExceededError(
                    f"{len(matrix)} queries; one batch takes at most {SEARCH_BATCH_MAX}, so split it"
                )
            hits = search.search_field_batch(found, matrix, limit, effort, self._database.threads)
            results = hit_results.batch_results(
                view, found, self._schema.number, hits, with_metadata=with_metadata, with_vectors=with_vectors
            )
        return BatchResult(results=results, limit=limit)

    def _effort(self, ef: int | None, target_recall: float | None, *, exact: bool) -> SearchEffort:
        if ef is not None and target_recall is not None:
            raise InvalidRequestError("give either ef= or target_recall=, not both")
        checked_ef = None if ef is None else check_ef(ef)
        target = TARGET_RECALL_DEFAULT if target_recall is None else check_target_recall(target_recall)
        return SearchEffort(exact=bool(exact), ef=checked_ef, target_recall=target)

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
        """Merge everything into one segment per field without dead rows; freed space goes to later writes."""
        self._settle(IndexEffort.OPTIMIZE, None, progress)

    def _settle(
        self, effort: IndexEffort, timeout_s: float | None, progress: Callable[[int, int], None] | None
    ) -> None:
        with self._database.reading() as view:
            self._view(view)
        del view  # it would pin, while the jobs run, all that they and users' commits free
        self._database.settle([self._schema.number], effort, timeout_s, progress)

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
        return view.collection(self._schema.number, self._schema.name)


def _field_stats(field: FieldView) -> FieldStats:
    return FieldStats(
        rows=field.live,
        segments=len(field.segments),
        segment_rows=tuple(segment.entry.rows for segment in field.segments),
        tail_rows=field.tail.live,
        dead_rows=sum(segment.dead_count for segment in field.segments),
        index_bytes=sum(segment.entry.bytes for segment in field.segments),
    )


def _explain(field: FieldView, effort: SearchEffort, limit: int, started: float, searched: float) -> Explain:
    now = time.perf_counter()
    plan = "exact scan" if effort.exact or not field.segments else "graph search"
    return Explain(
        plan=plan,
        ef=max((effort.ef_for(segment, limit) for segment in field.segments), default=0),
        tail_rows=field.tail.live,
        segments=len(field.segments),
        microseconds={"search": (searched - started) * 1e6, "records": (now - searched) * 1e6},
    )


def _decode_cursor(cursor: str | None) -> bytes | None:
    if cursor is None:
        return None
    try:
        key = base64.b64decode(cursor, altchars=b"-_", validate=True)
        id_from_key(key)
    except (TypeError, ValueError, CorruptionError) as error:
        raise InvalidRequestError("the cursor is not one that scroll returned; pass page.cursor as it is") from error
    return key
