"""Loads everything that needs numba, once, with the first search or index job.

Promises: opening a database and writing to it load no numba. Loading compiles on the first start of a machine and says
so in one line on stderr.
Concurrency: one thread at a time, behind a lock: two threads that import the same modules half each would meet modules
that are not finished.
"""

from __future__ import annotations

import importlib
import threading

MODULES = (
    "vecdb.engine.search",
    "vecdb.engine.recall",
    "vecdb.index.build",
    "vecdb.index.calibrate",
    "vecdb.index.hnswlib_builder",
    "vecdb.index.hnswlib_reader",
    "vecdb.index.hnswlib_writer",
)

_lock = threading.Lock()
_loaded = False


def load_compiled(*, progress: bool) -> None:
    """Import the search and build modules and make their kernels ready. Cheap when called again."""
    global _loaded
    if _loaded:
        return
    with _lock:
        for name in MODULES:
            importlib.import_module(name)
        importlib.import_module("vecdb.kernels.jit").load_kernels(progress)
        _loaded = True
