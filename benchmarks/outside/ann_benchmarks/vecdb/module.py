"""Lets ann-benchmarks measure vecdb, through the public API: one collection, ids are row numbers.

Copy this folder to `ann_benchmarks/algorithms/vecdb` of their repository, put a wheel of vecdb into it
(`pip wheel --no-deps -w FOLDER .` in this one), then `python install.py --algorithm vecdb` and
`python run.py --algorithm vecdb --dataset glove-100-angular`.
Promises: building ends when everything is indexed into one segment; what is searched is what a user would search.
Concurrency: as their runner calls it, one call at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import vecdb

# Their folders, not ours: the import resolves where the folder is copied to.
from ..base.module import BaseANN  # type: ignore[import-untyped]  # noqa: TID252

METRICS = {"angular": "cosine", "euclidean": "l2"}
COLLECTION = "rows"
BATCH_ROWS = 10_000


class VecDB(BaseANN):  # type: ignore[misc]  # without their repository the class is Any
    """One collection in a database of memory files, built with `m` and `ef_construction`."""

    def __init__(self, metric: str, method_param: Mapping[str, int]) -> None:
        self._metric, self._param = METRICS[metric], dict(method_param)
        self._ef: int | None = None
        self._database = vecdb.open(":memory:")
        self._found: list[list[int]] = []
        self.name = f"vecdb ({self._param})"

    def fit(self, X: npt.NDArray[Any]) -> None:
        self._database.warm_up()
        self._collection = self._database.create_collection(
            COLLECTION,
            dim=X.shape[1],
            metric=self._metric,  # type: ignore[arg-type]  # one of the three
            m=self._param["m"],
            ef_construction=self._param["ef_construction"],
        )
        for start in range(0, len(X), BATCH_ROWS):
            rows = np.asarray(X[start : start + BATCH_ROWS], dtype=np.float32)
            kept = self._usable(rows)
            self._collection.upsert((start + kept).tolist(), rows[kept])
        self._collection.optimize()

    def _usable(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Zero vectors, of which nytimes-256-angular has some, have no direction and so no neighbours."""
        return np.flatnonzero(rows.any(axis=1)) if self._metric == "cosine" else np.arange(len(rows))

    def set_query_arguments(self, ef: int) -> None:
        self._ef = int(ef)
        self.name = f"vecdb ({self._param}, ef: {self._ef})"

    def query(self, v: npt.NDArray[Any], n: int) -> list[int]:
        try:
            found = self._collection.search(v, n, ef=self._ef, with_metadata=False)
        except vecdb.errors.InvalidVectorError:
            return []
        return found.ids  # type: ignore[return-value]  # all ids are ints

    def batch_query(self, X: npt.NDArray[Any], n: int) -> None:
        usable = self._usable(X)
        self._found = [[] for _ in X]
        for row, result in zip(usable, self._collection.search_batch(X[usable], n, ef=self._ef), strict=True):
            self._found[row] = result.ids  # type: ignore[assignment]  # all ids are ints

    def get_batch_results(self) -> list[list[int]]:
        return self._found

    def get_additional(self) -> dict[str, Any]:
        return {"vecdb_version": vecdb.__version__}

    def get_memory_usage(self) -> float:
        """KiB: what this process alone holds, and the whole index, of which searches may have touched only a part."""
        held = float(_own_kib())
        if COLLECTION in self._database:
            fields = self._database.collection(COLLECTION).stats().fields
            held += sum(field.index_bytes for field in fields.values()) / 1024
        return held

    def done(self) -> None:
        self._database.close()

    def __str__(self) -> str:
        return self.name


def _own_kib() -> int:
    """Anonymous memory: the files of the database are counted by their index."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
