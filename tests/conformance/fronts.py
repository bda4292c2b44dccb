"""The ways to reach a database that must all behave alike: a directory, memory, a reader process beside the writer, and
through servers (see `served_fronts`).

A front makes databases with the methods of `DatabaseLike`. A new one is a class and an entry in `LOCAL` or `SERVED`;
the suite then runs against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import vecdb
from tests.conformance.served_fronts import AsyncFront, PoolFront, ProcessFront, ThreadsFront
from tests.conformance.small import SMALL
from tests.harness.process import Worker
from vecdb.errors import VecDBError
from vecdb.fingerprint import ModelFingerprint
from vecdb.types import (
    Aggregate,
    BatchResult,
    CollectionStats,
    Field,
    IndexInfo,
    Page,
    RecallReport,
    Record,
    SearchResult,
    VerifyReport,
    WriteResult,
)


class CollectionLike(Protocol):
    """What every front's collections can do."""

    @property
    def name(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, Field]: ...
    @property
    def main_field(self) -> str | None: ...
    def model(self, field: str | None = None) -> ModelFingerprint | None: ...
    def set_model(self, *args: Any, **options: Any) -> None: ...
    def add_field(self, *args: Any, **options: Any) -> None: ...
    def drop_field(self, name: str) -> None: ...
    def switch_field(self, *args: Any, **options: Any) -> None: ...
    def set_vectors(self, *args: Any, **options: Any) -> WriteResult: ...
    def upsert(self, *args: Any, **options: Any) -> WriteResult: ...
    def insert(self, *args: Any, **options: Any) -> WriteResult: ...
    def update(self, *args: Any, **options: Any) -> WriteResult: ...
    def delete(self, *args: Any, **options: Any) -> WriteResult: ...
    def get(self, *args: Any, **options: Any) -> Any: ...
    def search(self, *args: Any, **options: Any) -> SearchResult: ...
    def search_batch(self, *args: Any, **options: Any) -> BatchResult: ...
    def search_stream(self, *args: Any, **options: Any) -> Iterator[BatchResult]: ...
    def scroll(self, *args: Any, **options: Any) -> Page: ...
    def iterate(self, *args: Any, **options: Any) -> Iterator[Record]: ...
    def count(self, *args: Any, **options: Any) -> int: ...
    def facet(self, *args: Any, **options: Any) -> dict[Any, int]: ...
    def aggregate(self, *args: Any, **options: Any) -> Aggregate: ...
    def create_index(self, *args: Any, **options: Any) -> None: ...
    def drop_index(self, *args: Any, **options: Any) -> None: ...
    @property
    def indexes(self) -> tuple[IndexInfo, ...]: ...
    def __len__(self) -> int: ...
    def __contains__(self, record_id: object, /) -> bool: ...
    def wait_indexed(self, *args: Any, **options: Any) -> None: ...
    def optimize(self) -> None: ...
    def stats(self) -> CollectionStats: ...
    def measure_recall(self, *args: Any, **options: Any) -> RecallReport: ...
    def calibrate(self, *args: Any, **options: Any) -> WriteResult: ...
    def validate(self, *args: Any, **options: Any) -> Any: ...


class DatabaseLike(Protocol):
    """What every front's databases can do."""

    @property
    def seq(self) -> int: ...
    @property
    def problems(self) -> tuple[str, ...]: ...
    def create_collection(self, *args: Any, **options: Any) -> CollectionLike: ...
    def collection(self, name: str) -> CollectionLike: ...
    def list_collections(self) -> list[str]: ...
    def __contains__(self, name: object, /) -> bool: ...
    def drop_collection(self, name: str) -> None: ...
    def transaction(self) -> Any: ...
    def verify(self) -> VerifyReport: ...
    def backup(self, *args: Any, **options: Any) -> None: ...
    def optimize(self) -> None: ...
    def refresh(self) -> int: ...
    def warm_up(self) -> None: ...
    def close(self) -> None: ...


class Front(Protocol):
    """Opens databases, under a directory of the test's own or elsewhere. It lasts for all tests."""

    def open(self, directory: Path) -> AbstractContextManager[DatabaseLike]: ...
    def close(self) -> None: ...


class LocalFront:
    """A front that holds nothing between tests."""

    def close(self) -> None:
        """Nothing is left."""


class DirectoryFront(LocalFront):
    """A writer on a directory."""

    def open(self, directory: Path) -> Any:
        return vecdb.open(directory / "db", config=SMALL)


class MemoryFront(LocalFront):
    """A writer on ":memory:"."""

    def open(self, directory: Path) -> Any:  # noqa: ARG002 - memory needs no directory
        return vecdb.open(":memory:", config=SMALL)


class ReaderProcessFront(LocalFront):
    """Writes in this process; every read is answered by another process that opened the directory with mode="r"."""

    def open(self, directory: Path) -> Any:
        return SplitDatabase(directory / "db")


LOCAL: dict[str, Callable[[], Front]] = {
    "directory": DirectoryFront,
    "memory": MemoryFront,
    "reader-process": ReaderProcessFront,
}
SERVED: dict[str, Callable[[], Front]] = {
    "server-threads": ThreadsFront,
    "server-process": ProcessFront,
    "server-async": AsyncFront,
    "server-pool": PoolFront,
}
"""A test runs on one of these, always the same, unless `--fronts all` is given: together they see the whole suite."""

FRONTS = LOCAL | SERVED

GENERATORS = frozenset({"iterate", "search_stream"})
DATABASE_READS = ("list_collections", "__contains__", "verify", "refresh", "warm_up")
COLLECTION_READS = (
    "get",
    "search",
    "search_batch",
    "scroll",
    "count",
    "facet",
    "aggregate",
    "__len__",
    "__contains__",
    "stats",
    "measure_recall",
    "validate",
    "model",
)


class SplitDatabase:
    """A writer and a reader process, looking like one database."""

    def __init__(self, path: Path) -> None:
        self._writer: Any = vecdb.open(path, config=SMALL)
        self._reader = Worker(serve_reads, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._reader.kill()
        self._writer.close()

    def create_collection(self, *args: Any, **options: Any) -> SplitCollection:
        return SplitCollection(self, self._writer.create_collection(*args, **options))

    def collection(self, name: str) -> SplitCollection:
        return SplitCollection(self, self._writer.collection(name))

    def __contains__(self, name: object) -> bool:
        return bool(self.ask(None, "__contains__", (name,), {}))

    def __getattr__(self, name: str) -> Any:
        if name in DATABASE_READS:
            return lambda *args, **options: self.ask(None, name, args, options)
        return getattr(self._writer, name)

    def ask(self, collection: str | None, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call a method in the reader process, which has caught up with this writer."""
        self._reader.send((collection, method, args, options))
        answer = self._reader.expect("answer")
        if isinstance(answer, VecDBError):
            raise answer
        return answer


class SplitCollection:
    """A collection of a `SplitDatabase`."""

    def __init__(self, database: SplitDatabase, writer: Any) -> None:
        self._database, self._writer = database, writer

    def __len__(self) -> int:
        return int(self._database.ask(self._writer.name, "__len__", (), {}))

    def __contains__(self, record_id: object) -> bool:
        return bool(self._database.ask(self._writer.name, "__contains__", (record_id,), {}))

    def iterate(self, **options: Any) -> Iterator[Record]:
        return iter(self._database.ask(self._writer.name, "iterate", (), options))

    def search_stream(self, batches: Any, *args: Any, **options: Any) -> Iterator[BatchResult]:
        return iter(self._database.ask(self._writer.name, "search_stream", (list(batches), *args), options))

    def __getattr__(self, name: str) -> Any:
        if name in COLLECTION_READS:
            return lambda *args, **options: self._database.ask(self._writer.name, name, args, options)
        return getattr(self._writer, name)


def serve_reads(pipe: Connection, path: Path) -> None:
    """The reader process: answer (collection or None, method, args, options) until the parent hangs up."""
    with vecdb.open(path, mode="r", config=SMALL) as database:
        while True:
            try:
                collection, method, args, options = pipe.recv()
            except EOFError:
                return
            database.refresh()
            try:
                target: Any = database if collection is None else database.collection(collection)
                answer = getattr(target, method)(*args, **options)
                pipe.send(("answer", list(answer) if method in GENERATORS else answer))
            except VecDBError as error:
                pipe.send(("answer", error))
