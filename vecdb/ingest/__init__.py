"""The ingestor: reads sources, cuts their texts into chunks, embeds these and keeps a collection true to them.

    report = vecdb.ingest.run("docs/", to="localhost:50051", collection="docs")

`vecdb ingest` is the same as a process of its own; `api` has the functions and says what they take.
Not here: storing and searching, which it asks of a server or of an embedded database.
Promises: importing it loads nothing else of vecdb; what is needed comes with the first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecdb.ingest.api import failed, open_model, plan, retry, run, status, watch

__all__ = ["failed", "open_model", "plan", "retry", "run", "status", "watch"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from vecdb.ingest import api  # noqa: PLC0415 - sources and models are only needed by who ingests

        return getattr(api, name)
    raise AttributeError(f"module 'vecdb.ingest' has no attribute {name!r}")
