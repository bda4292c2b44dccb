"""The front for threads: the embedded API, answered by a server. What each method does is a plan; see the package.

Promises: as `transport`. `seq`s of writes are remembered by the connection, so that its reads see them.
Concurrency: all methods may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, overload
from uuid import UUID

from vecdb.client import collections, reading, searching, upkeep
from vecdb.client.fields import CollectionFields
from vecdb.client.ingesting import Load, ingest
from vecdb.client.plans import Plan, T
from vecdb.client.search_streaming import SearchStream
from vecdb.client.session import Caller
from vecdb.client.targets import Target
from vecdb.client.transaction import RemoteTransaction
from vecdb.client.writing import Mode, RecordWrites, Write
from vecdb.config import ITERATE_PAGE_ROWS
from vecdb.filters import FilterLike
from vecdb.fingerprint import ModelFingerprint
from vecdb.types import (
    Aggregate,
    BatchOptions,
    BatchResult,
    Builder,
    CollectionStats,
    Field,
    GraphReport,
    IndexInfo,
    IndexKind,
    Layout,
    Metric,
    Page,
    RecallReport,
    Record,
    RecordId,
    SearchResult,
    VectorDtype,
    VectorLike,
    VerifyReport,
    WriteResult,
)

if TYPE_CHECKING:
    from vecdb.client.transport import Transport

Progress = Callable[[int, int], None]


class RemoteCollection(CollectionFields[None, ModelFingerprint | None], RecordWrites[WriteResult]):
    """A collection on a server. Get one from `RemoteDatabase.collection` or `RemoteDatabase.create_collection`.

    Its methods are those of `vecdb.Collection`, whose docstrings say what they do.
    """

    def __init__(self, transport: Transport, target: Target) -> None:
        self._transport = transport
        self._target = target

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {field.dim} {field.metric}" for name, field in self.fields.items())
        return f"<vecdb.RemoteCollection {self.name!r} ({fields}) at {self._transport.address}>"

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self._target.name

    @property
    def ttl_field(self) -> str | None:
        """Path in the metadata that says when a record expires, None when there is none."""
        return self._target.ttl_field

    def with_timeout(self, timeout_s: float) -> RemoteCollection:
        """The same collection, with another limit for every call, in seconds."""
        return RemoteCollection(self._transport, self._target.with_timeout(timeout_s))

    def _run(self, plan: Plan[T]) -> T:
        return self._transport.run(plan)

    def _change(self, make: Callable[[], Plan[Target]]) -> None:
        self._target = self._run(make())

    def _ask(self, plan: Plan[ModelFingerprint | None]) -> ModelFingerprint | None:
        return self._run(plan)

    def _submit(self, make: Callable[[], Write]) -> WriteResult:
        return self._run(make().plan(self._target))

    def ingest(self, batches: Iterable[Any], *, mode: Mode = "upsert", progress: Progress | None = None) -> WriteResult:
        """Load many batches over one stream, which is the fastest way to fill a collection.

        A batch is (ids, vectors), (ids, vectors, metadata), a dict with the arguments of `upsert`, or a list of
        records. A dict may also have `delete`, ids to be deleted in the same commit (those that do not exist are passed
        over): it is then never cut, even if `delete` is empty. Other batches are cut into parts of a few MiB. Each
        part is stored as a whole or not at all, in order, and `progress(done, total)` is called as it is, with the
        records stored and the records taken so far. The first part that is refused ends the load with its error, whose
        `details` say how many records are `stored` and at which record the part begins (`first`).
        """
        load = Load(self._target, mode, progress)
        return self._run(ingest(load, iter(batches)))

    # --- reading ----------------------------------------------------------------------------------------------------

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
        """See `Collection.get`."""
        found: Record | list[Record | None] | None = self._run(
            reading.get(self._target, ids, with_vectors=with_vectors, min_seq=min_seq)
        )
        return found

    def __contains__(self, record_id: object) -> bool:
        return self._run(reading.contains(self._target, record_id))

    def __len__(self) -> int:
        return self.count()

    def count(
        self,
        filter: FilterLike | None = None,  # noqa: A002 - the word for it everywhere
        *,
        strict: bool = False,
        min_seq: int | None = None,
    ) -> int:
        """See `Collection.count`."""
        return self._run(reading.count(self._target, filter, strict=strict, min_seq=min_seq))

    def scroll(
        self,
        limit: int = 100,
        cursor: str | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        order_by: str | None = None,
        descending: bool = False,
        with_vectors: bool = False,
        strict: bool = False,
        min_seq: int | None = None,
    ) -> Page:
        """See `Collection.scroll`."""
        options = {
            "filter": filter,
            "order_by": order_by,
            "descending": descending,
            "with_vectors": with_vectors,
            "strict": strict,
            "min_seq": min_seq,
        }
        return self._run(reading.scroll(self._target, limit, cursor, options))

    def iterate(
        self,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        order_by: str | None = None,
        descending: bool = False,
        with_vectors: bool = False,
        strict: bool = False,
    ) -> Iterator[Record]:
        """See `Collection.iterate`."""
        cursor: str | None = None
        while True:
            page = self.scroll(
                ITERATE_PAGE_ROWS,
                cursor,
                filter=filter,
                order_by=order_by,
                descending=descending,
                with_vectors=with_vectors,
                strict=strict,
            )
            yield from page
            cursor = page.cursor
            if cursor is None:
                return

    def facet(
        self,
        path: str,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        limit: int = 100,
        strict: bool = False,
    ) -> dict[Any, int]:
        """See `Collection.facet`."""
        return self._run(reading.facet(self._target, path, wanted=filter, limit=limit, strict=strict))

    def aggregate(
        self,
        path: str,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        strict: bool = False,
    ) -> Aggregate:
        """See `Collection.aggregate`."""
        return self._run(reading.aggregate(self._target, path, wanted=filter, strict=strict))

    # --- searching --------------------------------------------------------------------------------------------------

    def search(
        self,
        query: VectorLike,
        limit: int = 10,
        *,
        field: str | None = None,
        ef: int | None = None,
        target_recall: float | None = None,
        exact: bool = False,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        strict: bool = False,
        with_metadata: bool = True,
        with_vectors: bool = False,
        min_seq: int | None = None,
        explain: bool = False,
        model: ModelFingerprint | None = None,
    ) -> SearchResult:
        """See `Collection.search`."""
        options: dict[str, Any] = {"field": field, "ef": ef, "target_recall": target_recall, "exact": exact}
        options |= {"filter": filter, "strict": strict, "min_seq": min_seq, "model": model}
        options |= {"with_metadata": with_metadata, "with_vectors": with_vectors}
        return self._run(searching.search(self._target, query, limit, options, explain=explain))

    def search_batch(
        self,
        queries: VectorLike,
        limit: int = 10,
        *,
        field: str | None = None,
        ef: int | None = None,
        target_recall: float | None = None,
        exact: bool = False,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        strict: bool = False,
        with_metadata: bool = False,
        with_vectors: bool = False,
        min_seq: int | None = None,
        model: ModelFingerprint | None = None,
    ) -> BatchResult:
        """See `Collection.search_batch`; more queries than fit a message are searched for in parts."""
        options: dict[str, Any] = {"field": field, "ef": ef, "target_recall": target_recall, "exact": exact}
        options |= {"filter": filter, "strict": strict, "min_seq": min_seq, "model": model}
        options |= {"with_metadata": with_metadata, "with_vectors": with_vectors}
        return self._run(searching.search_batch(self._target, queries, limit, options))

    def search_stream(
        self, batches: Iterable[VectorLike], limit: int = 10, **options: Unpack[BatchOptions]
    ) -> Iterator[BatchResult]:
        """See `Collection.search_stream`: the next batches travel while one is searched."""
        stream = SearchStream(self._target, iter(batches), limit, options)
        try:
            while (found := self._run(stream.step())) is not None:
                yield found
        finally:
            stream.close()

    # --- metadata indexes and upkeep --------------------------------------------------------------------------------

    @property
    def indexes(self) -> tuple[IndexInfo, ...]:
        """The metadata indexes, in the order in which they were created."""
        return self._run(collections.indexes(self._target))

    def create_index(
        self,
        path: str,
        kind: IndexKind,
        *,
        exist_ok: bool = False,
        wait: bool = True,
        progress: Progress | None = None,
    ) -> None:
        """See `Collection.create_index`."""
        self._run(collections.create_index(self._target, path, kind, exist_ok=exist_ok, wait=wait, progress=progress))

    def drop_index(self, path: str, kind: IndexKind | None = None) -> None:
        """See `Collection.drop_index`."""
        self._run(collections.drop_index(self._target, path, kind))

    def wait_indexed(self, timeout_s: float | None = None, *, progress: Progress | None = None) -> None:
        """See `Collection.wait_indexed`."""
        self._run(upkeep.wait_indexed(self._target, timeout_s, progress))

    def optimize(self, *, progress: Progress | None = None) -> None:
        """See `Collection.optimize`."""
        self._run(upkeep.optimize(self._target.caller, self.name, progress))

    def stats(self) -> CollectionStats:
        """See `Collection.stats`."""
        return self._run(upkeep.stats(self._target))

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
        """See `Collection.measure_recall`."""
        return self._run(
            upkeep.measure_recall(self._target, k, sample, ef=ef, target_recall=target_recall, field=field, seed=seed)
        )

    def calibrate(self, queries: VectorLike | None, *, field: str | None = None) -> WriteResult:
        """See `Collection.calibrate`."""
        return self._run(upkeep.calibrate(self._target, queries, field))

    def validate(self, field: str | None = None) -> list[GraphReport]:
        """See `Collection.validate`."""
        return self._run(upkeep.validate(self._target, field))


class RemoteDatabase:
    """A database on a server. Use `vecdb.connect`; close it, or use it as a context manager."""

    def __init__(self, transport: Transport, caller: Caller) -> None:
        self._transport = transport
        self._caller = caller

    def __repr__(self) -> str:
        state = "closed" if self._transport.is_closed else "open"
        return f"<vecdb.RemoteDatabase at {self._transport.address} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, plan: Plan[T]) -> T:
        return self._transport.run(plan)

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._transport.address

    @property
    def seq(self) -> int:
        """Number of the newest commit of the server."""
        return self._run(upkeep.seq(self._caller))

    @property
    def uuid(self) -> UUID:
        """Identity of the server's database, see `Database.uuid`."""
        return self._run(upkeep.identity(self._caller))

    def with_timeout(self, timeout_s: float) -> RemoteDatabase:
        """The same connection, with another limit for every call, in seconds."""
        return RemoteDatabase(self._transport, self._caller.with_timeout(timeout_s))

    def create_collection(
        self,
        name: str,
        dim: int | None = None,
        *,
        metric: Metric = "cosine",
        dtype: VectorDtype = "float32",
        m: int = 16,
        ef_construction: int = 200,
        builder: Builder = "vecdb",
        layout: Layout = "auto",
        model: ModelFingerprint | None = None,
        fields: Mapping[str, Field] | None = None,
        ttl_field: str | None = None,
        exist_ok: bool = False,
    ) -> RemoteCollection:
        """See `Database.create_collection`."""
        index: dict[str, Any] = {"metric": metric, "dtype": dtype, "m": m, "ef_construction": ef_construction}
        plan = collections.create(
            self._caller,
            name,
            dim,
            **index,
            builder=builder,
            layout=layout,
            model=model,
            fields=fields,
            ttl_field=ttl_field,
            exist_ok=exist_ok,
        )
        return RemoteCollection(self._transport, self._run(plan))

    def collection(self, name: str) -> RemoteCollection:
        """See `Database.collection`."""
        return RemoteCollection(self._transport, self._run(collections.find(self._caller, name)))

    def list_collections(self) -> list[str]:
        """See `Database.list_collections`."""
        return self._run(collections.names(self._caller))

    def __contains__(self, name: object) -> bool:
        return self._run(collections.exists(self._caller, name))

    def drop_collection(self, name: str) -> None:
        """See `Database.drop_collection`."""
        self._run(collections.drop(self._caller, name))

    def transaction(self) -> RemoteTransaction:
        """See `Database.transaction`; all of it must fit one message."""
        return RemoteTransaction(self._transport, self._caller)

    def optimize(self, *, progress: Progress | None = None) -> None:
        """See `Database.optimize`."""
        self._run(upkeep.optimize(self._caller, upkeep.ALL, progress))

    def verify(self) -> VerifyReport:
        """See `Database.verify`."""
        return self._run(upkeep.verify(self._caller))

    def backup(self, name: str, *, compact: bool = False, check: bool = True) -> None:
        """Copy one consistent state into the server's directory of backups, under a name; CorruptionError for damage.

        Names are of lower-case letters, digits, _ and -; AlreadyExistsError when there is one of that name.
        check=False: damaged values too.
        """
        self._run(upkeep.backup(self._caller, name, compact=compact, check=check))

    def sync(self) -> int:
        """Wait until all writes acknowledged before are on the server's disk; returns the newest seq that is."""
        return self._run(upkeep.sync(self._caller))

    @property
    def problems(self) -> tuple[str, ...]:
        """See `Database.problems`; only administrators are told of any."""
        return self._run(upkeep.problems(self._caller))

    def warm_up(self) -> None:
        """See `Database.warm_up`; a server did so before it answered anybody, so this only asks whether it does."""
        self._run(upkeep.seq(self._caller))

    def refresh(self) -> int:
        """See `Database.refresh`."""
        return self.seq

    def close(self) -> None:
        """End the connection, and calls under way with ClosedError. Closing twice is harmless."""
        self._transport.close()
