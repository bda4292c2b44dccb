"""A reader process of the `multiprocess` suite: opens a database, searches, and says how much memory it holds alone.

    python -m benchmarks.suites.reader

Imports as little as a program that only searches does, for its memory is what is measured.
Concurrency: one request at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import vecdb
from benchmarks.method.answering import serve

POLL_S = 0.001
"""How often a waiting reader looks for the next write."""


def private_mb() -> float:
    """Memory of this process that it shares with nobody, in MB (1,048,576 bytes)."""
    sizes = {}
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value = line.split()[:2]
        sizes[name] = int(value) / 1024
    return sizes["Private_Clean:"] + sizes["Private_Dirty:"]


class Reader:
    """One process's view of the database."""

    def __init__(self) -> None:
        self._before_mb = private_mb()
        self._collection: Any = None
        self._queries = np.empty((0, 0), dtype=np.float32)
        self._effort: dict[str, Any] = {}

    def open(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Open the collection and answer every query once, untimed."""
        self._collection = vecdb.open(request["path"], mode="r").collection(request["collection"])
        self._queries = np.load(request["queries"], allow_pickle=False)
        self._effort = request["effort"]
        for query in self._queries:
            self._collection.search(query, request["k"], **self._effort)
        return {}

    def search(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Search one query after another for `seconds`."""
        count, begin = 0, time.monotonic()
        while (taken := time.monotonic() - begin) < request["seconds"] or count == 0:
            self._collection.search(self._queries[count % len(self._queries)], request["k"], **self._effort)
            count += 1
        return {"searches": count, "seconds": taken}

    def memory(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """Private MB now, and before the database was opened."""
        return {"private_mb": private_mb(), "before_mb": self._before_mb}

    def watch(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """When each of the next `writes` writes, one record each, is seen first."""
        seen = []
        for expected in range(request["records"] + 1, request["records"] + request["writes"] + 1):
            while self._collection.count() < expected:
                time.sleep(POLL_S)
            seen.append(time.monotonic())
        return {"seen": seen}


def main() -> None:
    """Serve until the input ends."""
    reader = Reader()
    serve({"open": reader.open, "search": reader.search, "memory": reader.memory, "watch": reader.watch})


if __name__ == "__main__":
    main()
