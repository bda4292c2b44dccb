"""The public handle of a database: opening, collections, upkeep, closing; and the gate every operation passes.

Promises: after `close`, and in a forked child, every call raises ClosedError; `close` waits for calls under way, so no
search ever reads memory that is no longer mapped.
Invariants: in mode "rw" this process holds the writer lock from open to close.
Concurrency: all methods may be called from any thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from vecdb.checks.declarations import check_name, declared_fields
from vecdb.checks.models import single_field
from vecdb.checks.opening import MEMORY, check_opening
from vecdb.checks.options import check_seq
from vecdb.config import MIN_SEQ_WAIT_S, EngineConfig
from vecdb.engine.collection import Collection
from vecdb.engine.commit import Operation
from vecdb.engine.index_operations import CreateIndex, DropIndex
from vecdb.engine.indexer import Effort, Indexer
from vecdb.engine.interruption import check_interruption
from vecdb.engine.lifecycle import GATE, Reading, follow, open_databases
from vecdb.engine.prefault import prefault
from vecdb.engine.publisher import Publisher
from vecdb.engine.schema import CollectionSchema, build_schema, require_same
from vecdb.engine.schema_operations import CreateCollection, DropCollection
from vecdb.engine.transaction import Transaction
from vecdb.engine.writer import Ticket, Writer
from vecdb.errors import (
    ClosedError,
    CollectionExistsError,
    CollectionNotFoundError,
    IndexExistsError,
    ReadOnlyError,
    StorageFullError,
    VecDBError,
    WaitTimeoutError,
)
from vecdb.index.workers import usable_cores
from vecdb.kernels.native import load_kernels
from vecdb.storage.environment import Environment
from vecdb.types import (
    Builder,
    Durability,
    Field,
    IndexKind,
    Layout,
    Metadata,
    Metric,
    Mode,
    VectorDtype,
    VerifyReport,
    WriteResult,
)

if TYPE_CHECKING:
    from vecdb.engine.view import View
    from vecdb.fingerprint import ModelFingerprint

POLL_S = 0.001


class Database:
    """An open database. Use `vecdb.open`; close it, or use it as a context manager."""

    def __init__(self, environment: Environment, path: str, mode: Mode, config: EngineConfig) -> None:
        self._environment = environment
        self._path = path
        self._mode: Mode = mode
        self.config = config
        self._closed: str | None = None
        self._close_lock = threading.Lock()
        # Calls under way. deque.append and pop are atomic, which makes this gate cheaper than a lock.
        self._active: deque[None] = deque()
        self.leave = self._active.pop
        self.threads = config.threads or usable_cores()
        self._publisher = Publisher(environment)
        self._stop_following = threading.Event()
        self._follower: threading.Thread | None = None
        self._writer: Writer | None = None
        self._indexer: Indexer | None = None
        if mode == "rw":
            self._writer = Writer(environment, self._publisher)
            self._indexer = Indexer(environment, self._publisher, self._writer, config, self.threads)
            self._writer.after_commit = self._indexer.wake
            self._indexer.start()
        elif config.background:
            self._follower = threading.Thread(
                target=follow, args=(weakref.ref(self), self._stop_following), name="vecdb-follower", daemon=True
            )
            self._follower.start()
        self._prefaulter: threading.Thread | None = None
        if config.background:
            self._prefaulter = threading.Thread(target=self._prefault, name="vecdb-prefault", daemon=True)
            self._prefaulter.start()
        open_databases.add(self)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], mode: Mode, *, durability: Durability, create: bool, config: EngineConfig
    ) -> Self:
        """See `vecdb.open`."""
        location = check_opening(path, mode, durability, config)
        if location == MEMORY:
            environment = Environment.open_memory(map_bytes=config.map_bytes)
        else:
            environment = Environment.open_directory(
                location, mode, map_bytes=config.map_bytes, durability=durability, create=create
            )
        try:
            return cls(environment, location, mode, config)
        except BaseException:
            environment.close()
            raise

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"seq {self._publisher.view.seq}"
        return f"<vecdb.Database {self._path!r} mode={self._mode!r} {state}>"

    def __enter__(self) -> Self:
        return self

    def __dir__(self) -> list[str]:
        return sorted(set(super().__dir__()) - GATE)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> str:
        """Directory of the database, or ":memory:"."""
        return self._path

    @property
    def mode(self) -> Mode:
        """Either "rw" for the writer or "r" for a reader."""
        return self._mode

    @property
    def seq(self) -> int:
        """Number of the newest commit this handle sees."""
        with self.reading() as view:
            return view.seq

    @property
    def uuid(self) -> UUID:
        """Identity of the database, which a copy of its directory shares; a backup has one of its own."""
        return self._environment.uuid

    # --- collections -----------------------------------------------------------------------------------------------

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
    ) -> Collection:
        """Create a collection with one unnamed field (`dim=...`) or named ones (`fields={"text": Field(dim=384)}`).

        `model`: the embedding model whose vectors these will be (see `Collection.set_model`); it may stand for `dim`.
        `ttl_field` names the metadata key ("a.b" for a nested one) whose datetime or ISO 8601 str says when a record
        expires; it is read whenever metadata is written.
        CollectionExistsError when the name is taken; with exist_ok=True an existing collection of the same
        declaration is returned instead.
        """
        index: dict[str, Any] = {"metric": metric, "dtype": dtype, "m": m, "ef_construction": ef_construction}
        declared = declared_fields(fields, single_field(dim, model, **index, builder=builder, layout=layout))
        wanted = build_schema(0, name, declared, ttl_field)
        if exist_ok and name in self:
            return self._same(wanted)
        try:
            self.submit(CreateCollection(lambda number: build_schema(number, name, declared, ttl_field), name))
        except CollectionExistsError:
            if not exist_ok:
                raise
            return self._same(wanted)
        return self.collection(name)

    def _same(self, wanted: CollectionSchema) -> Collection:
        require_same(self.schema_of(wanted.name), wanted)
        return self.collection(wanted.name)

    def collection(self, name: str) -> Collection:
        """Return the handle of a collection. CollectionNotFoundError names those that exist."""
        return Collection(self, self.schema_of(name))

    def list_collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        with self.reading() as view:
            return sorted(view.names)

    def __contains__(self, name: object) -> bool:
        with self.reading() as view:
            return isinstance(name, str) and name in view.names

    def drop_collection(self, name: str) -> None:
        """Remove a collection and all its records at once; its space is freed before this returns."""
        self.submit(DropCollection(self.schema_of(name)))
        if self._indexer is not None:
            self._indexer.sweep_dropped()

    def transaction(self) -> Transaction:
        """Begin writes to several collections that are stored together: `with db.transaction() as tx: ...`.

        `tx.collection(name)` has upsert, insert, update and delete as a Collection. Each is checked at the call; all
        are committed when the block ends, with one seq and one sync; an error there, or any exception in the block,
        stores nothing of it. Later writes of the transaction build on earlier ones, but reads inside the block see the
        state before it. `tx.result` tells the seq and the count. The limits of one write hold for all of them together.
        """
        with self._using():
            self._check_writable()
        return Transaction(self)

    def import_hnswlib(
        self,
        name: str,
        index: object,
        *,
        dim: int,
        metric: Metric = "cosine",
        metadata: Sequence[Metadata | None] | None = None,
    ) -> Collection:
        """Create a collection from an hnswlib index (object, or path of a file you trust), reusing its graph.

        Labels become int ids; deleted labels are left out. `metadata` has one entry for each label, deleted ones too,
        in ascending order of the labels. All or nothing: a crash leaves no collection.
        """
        from vecdb.engine.interop import import_index  # noqa: PLC0415 - optional path

        with self._using():
            self._check_writable()
            assert self._writer is not None and self._indexer is not None  # noqa: PT018 - a writable database
            load_kernels(self.config.progress)
            try:
                with self._indexer.paused():
                    import_index(self._environment, self._writer, name, index, dim, metric, metadata)
            except BaseException:
                # What was stored so far goes at once when it can; after a crash it goes with the next open.
                with contextlib.suppress(VecDBError):
                    self._indexer.sweep_dropped()
                raise
        return self.collection(name)

    def create_index(
        self,
        schema: CollectionSchema,
        path: str,
        kind: IndexKind,
        *,
        exist_ok: bool,
        wait: bool,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        """See `Collection.create_index`, which has checked the arguments."""
        with self._using():
            self._check_writable()
            assert self._writer is not None and self._indexer is not None  # noqa: PT018 - a writable database
            try:
                number = self._submit(self._writer, CreateIndex(schema, path, kind)).count
            except IndexExistsError:
                if not exist_ok:
                    raise
                number = None
            if wait:
                self._indexer.build_indexes(schema, number, progress)

    def drop_index(self, schema: CollectionSchema, path: str, kind: IndexKind | None) -> None:
        """See `Collection.drop_index`."""
        self.submit(DropIndex(schema, path, kind))
        if self._indexer is not None:
            self._indexer.sweep_indexes(schema.number)

    # --- upkeep ----------------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Load the search kernels now, so that no search waits for them to be compiled. Errors: KernelError."""
        with self._using():
            load_kernels(self.config.progress)

    def optimize(self, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Optimize every collection (see `Collection.optimize`)."""
        with self.reading() as view:
            numbers = list(view.collections)
        del view  # it would pin, while the jobs run, all that they and users' commits free
        with self.indexing() as indexer:
            indexer.settle(numbers, Effort.OPTIMIZE, None, progress)

    def verify(self) -> VerifyReport:
        """Read and check everything: page structure, every checksum, and that ids, records, vectors and graphs agree.

        Damage is reported, not raised. Reads the whole file once.
        """
        from vecdb.engine.verify import verify_database  # noqa: PLC0415 - rare

        with self._using():
            return verify_database(self._environment)

    @property
    def problems(self) -> tuple[str, ...]:
        """Damage that the background scrub has met since opening; empty for a sound database (see also `verify`)."""
        return () if self._indexer is None else self._indexer.scrubber.problems

    def backup(self, path: str | os.PathLike[str], *, compact: bool = False, check: bool = True) -> None:
        """Copy one consistent state into a new directory while reads and writes go on; CorruptionError for damage.

        compact=True leaves free pages out, so the copy is as small as its contents. check=False: damaged values too.
        """
        with self._using():
            if compact and self._indexer is not None:
                self._indexer.sweep_all()
            self._environment.backup(path, compact=compact, check=check)

    def sync(self) -> int:
        """Bring every commit made before to the disk (needed with durability="async" only); returns the newest seq."""
        with self._using():
            self._check_writable()
            seq = self._publisher.view.seq
            self._environment.sync()
        return seq

    def refresh(self) -> int:
        """Make a reader see the writer's newest commit (searches do so by themselves); returns its seq."""
        return self.seq

    def close(self) -> None:
        """Finish calls under way, cancel index jobs, and release the directory. Closing twice is harmless."""
        with self._close_lock:
            if self._closed is not None:
                return
            self._closed = "the database is closed; open it again with vecdb.open"
        self._stop_following.set()
        if self._indexer is not None:
            self._indexer.close()
        if self._follower is not None and self._follower is not threading.current_thread():
            self._follower.join()
        while self._active:
            time.sleep(POLL_S)
        if self._prefaulter is not None and self._prefaulter is not threading.current_thread():
            self._prefaulter.join()  # it has the View of the opening, which keeps the map
        if self._writer is not None:
            self._writer.close()
        # The map goes with its last transaction, and the handle may outlive `close` in the caller's hands.
        self._publisher.view.txn.close()
        self._environment.close()

    # --- the gate (used by Collection, Transaction and the server; see `GATE`) ----------------------------------------

    def schema_of(self, name: str) -> CollectionSchema:
        """Look up a collection's schema. CollectionNotFoundError names those that exist."""
        with self.reading() as view:
            number = view.names.get(check_name("collection", name))
            if number is None:
                known = ", ".join(map(repr, sorted(view.names)[:10])) or "none yet"
                raise CollectionNotFoundError(f"no collection {name!r}; there are: {known}", collection=name)
            return view.collections[number].schema

    def check_writable(self) -> None:
        """ReadOnlyError when the database was opened with mode="r"."""
        with self._using():
            self._check_writable()

    def submit_all(self, operations: Sequence[Operation]) -> list[WriteResult | VecDBError]:
        """Commit operations in order, as many in one commit as can be; each gets its result or its own error."""
        with self._using():
            self._check_writable()
            assert self._writer is not None
            tickets = self._writer.submit_all(operations)
            failed = next((place for place, ticket in enumerate(tickets) if ticket.error is not None), len(tickets))
            full = failed < len(tickets) and all(isinstance(one.error, StorageFullError) for one in tickets[failed:])
            if full and self._can_free():
                tickets[failed:] = self._writer.submit_all(operations[failed:])
        return [_outcome(ticket) for ticket in tickets]

    def submit(self, operation: Operation) -> WriteResult:
        """Commit one operation."""
        with self._using():
            self._check_writable()
            assert self._writer is not None
            ticket = self._submit(self._writer, operation)
            return WriteResult(seq=ticket.seq, count=ticket.count)

    def _submit(self, writer: Writer, operation: Operation) -> Ticket:
        """Commit; on a full disk once more, when chunks kept for the next index job can be given up for it."""
        try:
            return writer.submit(operation)
        except StorageFullError:
            if not self._can_free():
                raise
        return writer.submit(operation)

    def _can_free(self) -> bool:
        return self._indexer is not None and self._indexer.sweep_all()

    @contextlib.contextmanager
    def indexing(self) -> Iterator[Indexer]:
        """Enter the gate for index jobs that this thread runs; a reader leaves them to the writer."""
        with self._using():
            self._check_writable()
            assert self._indexer is not None
            yield self._indexer

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        self._active.append(None)
        try:
            self._check_open()
            yield
        finally:
            self.leave()

    def reading(self, min_seq: int | None = None) -> Reading:
        """Context manager: enter the gate and get the View to answer from, at `min_seq` or later."""
        return Reading(self, min_seq)

    def enter(self, min_seq: int | None = None) -> View:
        """`reading` without a context manager: whoever enters must `leave`."""
        # Announce first, look second: `close` sets the flag first and waits for the announced second.
        self._active.append(None)
        try:
            self._check_open()
            return self._current(min_seq)
        except BaseException:
            self.leave()
            raise

    def _check_open(self) -> None:
        if self._closed is not None:
            raise ClosedError(self._closed)

    def _current(self, min_seq: int | None) -> View:
        view = self._publisher.view if self._mode == "rw" else self._publisher.follow()
        if min_seq is None or view.seq >= check_seq(min_seq):
            return view
        deadline = time.monotonic() + MIN_SEQ_WAIT_S
        while time.monotonic() < deadline:
            self._check_open()
            check_interruption()
            time.sleep(POLL_S)
            view = self._publisher.view if self._mode == "rw" else self._publisher.follow()
            if view.seq >= min_seq:
                return view
        raise WaitTimeoutError(
            f"seq {min_seq} was not reached within {MIN_SEQ_WAIT_S:.0f} s; the newest commit is {view.seq}",
            seq=view.seq,
            min_seq=min_seq,
        )

    def _check_writable(self) -> None:
        if self._mode != "rw":
            raise ReadOnlyError('the database was opened with mode="r"; open it with mode="rw" to write')

    def _prefault(self) -> None:
        with contextlib.suppress(ClosedError):
            with self._using():
                view = self._publisher.view
            prefault(view, self._using)


def _outcome(ticket: Ticket) -> WriteResult | VecDBError:
    if ticket.error is None or isinstance(ticket.error, VecDBError):
        return ticket.error or WriteResult(seq=ticket.seq, count=ticket.count)
    raise ticket.error
