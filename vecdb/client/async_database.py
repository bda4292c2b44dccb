"""The front for asyncio: the embedded API, answered by a server. What each method does is a plan; see the package.

Promises: as `async_transport`. `seq`s of writes are remembered by the connection, so that its reads see them.
Concurrency: any number of tasks of the event loop that made the connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, overload
from uuid import UUID

from vecdb.client import collections, reading, searching, upkeep
from vecdb.client.async_transaction import AsyncTransaction
from vecdb.client.fields import CollectionFields
from vecdb.client.ingesting import Load, ingest, iterator_of
from vecdb.client.plans import Plan, T
from vecdb.client.search_streaming import SearchStream
from vecdb.client.session import Caller
from vecdb.client.targets import Target
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
    from vecdb.client.async_transport import AsyncTransport

Progress = Callable[[int, int], None]


class AsyncCollection(
    CollectionFields[Coroutine[Any, Any, None], Coroutine[Any, Any, ModelFingerprint | None]],
    RecordWrites[Coroutine[Any, Any, WriteResult]],
):
    """A collection on a server. Get one from `AsyncDatabase.collection` or `AsyncDatabase.create_collection`.

    Its methods are those of `vecdb.Collection`, whose docstrings say what they do.
    All but `with_timeout` are awaited, and `iterate` is an async iterator; for `in` there is `contains`.
    """

    def __init__(self, transport: AsyncTransport, target: Target) -> None:
        self._transport = transport
        self._target = target

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {field.dim} {field.metric}" for name, field in self.fields.items())
        return f"<vecdb.AsyncCollection {self.name!r} ({fields}) at {self._transport.address}>"

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self._target.name

    @property
    def ttl_field(self) -> str | None:
        """Path in the metadata that says when a record expires, None when there is none."""
        return self._target.ttl_field

    def with_timeout(self, timeout_s: float) -> AsyncCollection:
        """The same collection, with another limit for every call, in seconds."""
        return AsyncCollection(self._transport, self._target.with_timeout(timeout_s))

    async def _run(self, plan: Plan[T]) -> T:
        return await self._transport.run(plan)

    async def _change(self, make: Callable[[], Plan[Target]]) -> None:
        self._target = await self._run(make())

    async def _ask(self, plan: Plan[ModelFingerprint | None]) -> ModelFingerprint | None:
        return await self._run(plan)

    async def _submit(self, make: Callable[[], Write]) -> WriteResult:
        return await self._run(make().plan(self._target))

    async def ingest(
        self, batches: Iterable[Any] | AsyncIterable[Any], *, mode: Mode = "upsert", progress: Progress | None = None
    ) -> WriteResult:
        """Load many batches over one stream, which is the fastest way to fill a collection.

        A batch is (ids, vectors), (ids, vectors, metadata), a dict with the arguments of `upsert`, or a list of
        records. A dict may also have `delete`, ids to be deleted in the same commit (those that do not exist are passed
        over): it is then never cut, even if `delete` is empty. Other batches are cut into parts of a few MiB. Each
        part is stored as a whole or not at all, in order, and `progress(done, total)` is called as it is, with the
        records stored and the records taken so far. The first part that is refused ends the load with its error, whose
        `details` say how many records are `stored` and at which record the part begins (`first`).
        """
        load = Load(self._target, mode, progress)
        return await self._run(ingest(load, iterator_of(batches)))

    # --- reading ----------------------------------------------------------------------------------------------------

    @overload  # str is a Sequence of str to the type checker; at run time a str is one id
    async def get(  # type: ignore[overload-overlap]
        self, ids: RecordId, *, with_vectors: bool = False, min_seq: int | None = None
    ) -> Record | None: ...
    @overload
    async def get(
        self, ids: Sequence[RecordId], *, with_vectors: bool = False, min_seq: int | None = None
    ) -> list[Record | None]: ...
    async def get(
        self, ids: RecordId | Sequence[RecordId], *, with_vectors: bool = False, min_seq: int | None = None
    ) -> Record | list[Record | None] | None:
        """See `Collection.get`."""
        found: Record | list[Record | None] | None = await self._run(
            reading.get(self._target, ids, with_vectors=with_vectors, min_seq=min_seq)
        )
        return found

    async def contains(self, record_id: RecordId) -> bool:
        """Whether there is a record of that id: what `in` says of an embedded collection."""
        return await self._run(reading.contains(self._target, record_id))

    async def count(
        self,
        filter: FilterLike | None = None,  # noqa: A002 - the word for it everywhere
        *,
        strict: bool = False,
        min_seq: int | None = None,
    ) -> int:
        """See `Collection.count`."""
        return await self._run(reading.count(self._target, filter, strict=strict, min_seq=min_seq))

    async def scroll(
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
        return await self._run(reading.scroll(self._target, limit, cursor, options))

    async def iterate(
        self,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        order_by: str | None = None,
        descending: bool = False,
        with_vectors: bool = False,
        strict: bool = False,
    ) -> AsyncIterator[Record]:
        """See `Collection.iterate`."""
        cursor: str | None = None
        while True:
            page = await self.scroll(
                ITERATE_PAGE_ROWS,
                cursor,
                filter=filter,
                order_by=order_by,
                descending=descending,
                with_vectors=with_vectors,
                strict=strict,
            )
            for record in page:
                yield record
            cursor = page.cursor
            if cursor is None:
                return

    async def facet(
        self,
        path: str,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        limit: int = 100,
        strict: bool = False,
    ) -> dict[Any, int]:
        """See `Collection.facet`."""
        return await self._run(reading.facet(self._target, path, wanted=filter, limit=limit, strict=strict))

    async def aggregate(
        self,
        path: str,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        strict: bool = False,
    ) -> Aggregate:
        """See `Collection.aggregate`."""
        return await self._run(reading.aggregate(self._target, path, wanted=filter, strict=strict))

    # --- searching --------------------------------------------------------------------------------------------------

    async def search(
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
        return await self._run(searching.search(self._target, query, limit, options, explain=explain))

    async def search_batch(
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
        return await self._run(searching.search_batch(self._target, queries, limit, options))

    async def search_stream(
        self,
        batches: Iterable[VectorLike] | AsyncIterable[VectorLike],
        limit: int = 10,
        **options: Unpack[BatchOptions],
    ) -> AsyncIterator[BatchResult]:
        """See `Collection.search_stream`: the next batches travel while one is searched."""
        stream = SearchStream(self._target, iterator_of(batches), limit, options)
        try:
            while (found := await self._run(stream.step())) is not None:
                yield found
        finally:
            stream.close()

    # --- metadata indexes and upkeep --------------------------------------------------------------------------------

    @property
    def indexes(self) -> Coroutine[Any, Any, tuple[IndexInfo, ...]]:
        """The metadata indexes, in the order in which they were created: `await docs.indexes`."""
        return self._run(collections.indexes(self._target))

    async def create_index(
        self,
        path: str,
        kind: IndexKind,
        *,
        exist_ok: bool = False,
        wait: bool = True,
        progress: Progress | None = None,
    ) -> None:
        """See `Collection.create_index`."""
        await self._run(
            collections.create_index(self._target, path, kind, exist_ok=exist_ok, wait=wait, progress=progress)
        )

    async def drop_index(self, path: str, kind: IndexKind | None = None) -> None:
        """See `Collection.drop_index`."""
        await self._run(collections.drop_index(self._target, path, kind))

    async def wait_indexed(self, timeout_s: float | None = None, *, progress: Progress | None = None) -> None:
        """See `Collection.wait_indexed`."""
        await self._run(upkeep.wait_indexed(self._target, timeout_s, progress))

    async def optimize(self, *, progress: Progress | None = None) -> None:
        """See `Collection.optimize`."""
        await self._run(upkeep.optimize(self._target.caller, self.name, progress))

    async def stats(self) -> CollectionStats:
        """See `Collection.stats`."""
        return await self._run(upkeep.stats(self._target))

    async def measure_recall(
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
        return await self._run(
            upkeep.measure_recall(self._target, k, sample, ef=ef, target_recall=target_recall, field=field, seed=seed)
        )

    async def calibrate(self, queries: VectorLike | None, *, field: str | None = None) -> WriteResult:
        """See `Collection.calibrate`."""
        return await self._run(upkeep.calibrate(self._target, queries, field))

    async def validate(self, field: str | None = None) -> list[GraphReport]:
        """See `Collection.validate`."""
        return await self._run(upkeep.validate(self._target, field))


class AsyncDatabase:
    """A database on a server. Use `vecdb.connect_async`; close it, or use it as a context manager."""

    def __init__(self, transport: AsyncTransport, caller: Caller) -> None:
        self._transport = transport
        self._caller = caller

    def __repr__(self) -> str:
        state = "closed" if self._transport.is_closed else "open"
        return f"<vecdb.AsyncDatabase at {self._transport.address} {state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, plan: Plan[T]) -> T:
        return await self._transport.run(plan)

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._transport.address

    @property
    def seq(self) -> Coroutine[Any, Any, int]:
        """Number of the newest commit of the server: `await db.seq`."""
        return self._run(upkeep.seq(self._caller))

    @property
    def uuid(self) -> Coroutine[Any, Any, UUID]:
        """Identity of the server's database: `await db.uuid`."""
        return self._run(upkeep.identity(self._caller))

    def with_timeout(self, timeout_s: float) -> AsyncDatabase:
        """The same connection, with another limit for every call, in seconds."""
        return AsyncDatabase(self._transport, self._caller.with_timeout(timeout_s))

    async def create_collection(
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
    ) -> AsyncCollection:
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
        return AsyncCollection(self._transport, await self._run(plan))

    async def collection(self, name: str) -> AsyncCollection:
        """See `Database.collection`."""
        return AsyncCollection(self._transport, await self._run(collections.find(self._caller, name)))

    async def list_collections(self) -> list[str]:
        """See `Database.list_collections`."""
        return await self._run(collections.names(self._caller))

    async def contains(self, name: str) -> bool:
        """Whether there is a collection of that name: what `in` says of an embedded database."""
        return await self._run(collections.exists(self._caller, name))

    async def drop_collection(self, name: str) -> None:
        """See `Database.drop_collection`."""
        await self._run(collections.drop(self._caller, name))

    def transaction(self) -> AsyncTransaction:
        """See `Database.transaction`; all of it must fit one message."""
        return AsyncTransaction(self._transport, self._caller)

    async def optimize(self, *, progress: Progress | None = None) -> None:
        """See `Database.optimize`."""
        await self._run(upkeep.optimize(self._caller, upkeep.ALL, progress))

    async def verify(self) -> VerifyReport:
        """See `Database.verify`."""
        return await self._run(upkeep.verify(self._caller))

    async def backup(self, name: str, *, compact: bool = False, check: bool = True) -> None:
        """Copy one consistent state into the server's directory of backups, under a name; CorruptionError for damage.

        Names are of lower-case letters, digits, _ and -; AlreadyExistsError when there is one of that name.
        check=False: damaged values too.
        """
        await self._run(upkeep.backup(self._caller, name, compact=compact, check=check))

    async def sync(self) -> int:
        """Wait until all writes acknowledged before are on the server's disk; returns the newest seq that is."""
        return await self._run(upkeep.sync(self._caller))

    @property
    def problems(self) -> Coroutine[Any, Any, tuple[str, ...]]:
        """See `Database.problems`; only administrators are told of any: `await db.problems`."""
        return self._run(upkeep.problems(self._caller))

    async def warm_up(self) -> None:
        """See `Database.warm_up`; a server did so before it answered anybody, so this only asks whether it does."""
        await self._run(upkeep.seq(self._caller))

    async def refresh(self) -> int:
        """See `Database.refresh`."""
        return await self.seq

    async def close(self) -> None:
        """End the connection, and calls under way with ClosedError. Closing twice is harmless."""
        await self._transport.close()
