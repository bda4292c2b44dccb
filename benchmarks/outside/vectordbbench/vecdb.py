"""VectorDBBench's client of vecdb.

The harness copies a client into the processes that insert, optimize and search, and calls `init` in each. Many readers
may have the directory open but only one writer, so a process begins as a reader and becomes the writer when it first
inserts or optimizes.
Promises: an insert is on the disk when it returns, all of it or nothing. Invariants: nothing is open outside `init`,
so that a client can be pickled. Concurrency: threads share one client; `_writable` opens one writer for all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from vectordb_bench.backend.clients.api import VectorDB  # type: ignore[import-not-found]
from vectordb_bench.backend.filter import Filter, FilterOp  # type: ignore[import-not-found]

import vecdb

from .config import VecDBCaseConfig

_opening = threading.Lock()


class VecDB(VectorDB):  # type: ignore[misc]  # without VectorDBBench the class is Any
    """One collection of one database; ids are the harness's ints."""

    name = "VecDB"
    supported_filter_types = (FilterOp.NonFilter,)
    thread_safe = True

    def __init__(
        self,
        dim: int,
        db_config: dict[str, Any],
        db_case_config: VecDBCaseConfig,
        collection_name: str = "vectordbbench",
        drop_old: bool = False,
        **_also: Any,
    ) -> None:
        self._path, self._collection_name = db_config["path"], collection_name.lower()
        self._search_param = db_case_config.search_param()
        self._open: ExitStack | None = None
        self._reader: vecdb.Collection | None = None
        self._writer: vecdb.Collection | None = None
        with vecdb.open(self._path) as database:
            if drop_old and self._collection_name in database:
                database.drop_collection(self._collection_name)
            if self._collection_name not in database:
                database.create_collection(self._collection_name, dim=dim, **db_case_config.index_param())

    @contextmanager
    def init(self) -> Iterator[None]:
        """Open the database for as long as the context lasts, kernels loaded."""
        with ExitStack() as self._open:
            database = self._open.enter_context(vecdb.open(self._path, mode="r"))
            database.warm_up()
            self._reader = database.collection(self._collection_name)
            try:
                yield
            finally:
                self._reader = self._writer = None
        self._open = None

    def _writable(self) -> vecdb.Collection:
        with _opening:
            if self._writer is None:
                assert self._open is not None, "call init first"
                database = self._open.enter_context(vecdb.open(self._path, create=False))
                self._writer = database.collection(self._collection_name)
            return self._writer

    def need_normalize_cosine(self) -> bool:
        """vecdb does that itself."""
        return False

    def insert_embeddings(
        self, embeddings: Sequence[Sequence[float]], metadata: Sequence[int], **_also: Any
    ) -> tuple[int, Exception | None]:
        try:
            self._writable().upsert(list(metadata), np.asarray(embeddings, dtype=np.float32))
        except vecdb.VecDBError as error:
            return 0, error
        return len(metadata), None

    def optimize(self, data_size: int | None = None) -> None:  # noqa: ARG002 - as they call it
        """Returns when all vectors are in one segment."""
        self._writable().optimize()

    def prepare_filter(self, filters: Filter) -> None:
        if filters.type != FilterOp.NonFilter:
            raise NotImplementedError(f"vecdb has no filter {filters.type}")

    def search_embedding(self, query: Sequence[float], k: int = 100, filters: object = None, **_also: Any) -> list[int]:
        if filters:
            raise NotImplementedError("vecdb has no filters")
        searched = self._writer or self._reader
        assert searched is not None, "call init first"
        return searched.search(query, k, with_metadata=False, **self._search_param).ids  # type: ignore[return-value]
