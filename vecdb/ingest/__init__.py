"""The ingestor: reads sources, cuts their texts into chunks, embeds these and keeps a collection true to them.

    report = vecdb.ingest.run("docs/", to="localhost:50051", collection="docs")

`vecdb ingest` is the same as a process of its own; `api` has the functions and says what they take. `Reembedding` moves
a collection to another model, as `vecdb reembed` does.
Not here: storing and searching, which it asks of a server or of an embedded database.
Promises: importing it loads nothing else of vecdb; what is needed comes with the first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecdb.ingest.api import failed, open_model, plan, retry, run, status, watch
    from vecdb.ingest.reembedding.api import Reembedding

__all__ = ["Reembedding", "failed", "open_model", "plan", "retry", "run", "status", "watch"]


def __getattr__(name: str) -> object:
    if name == "Reembedding":
        from vecdb.ingest.reembedding.api import Reembedding  # noqa: PLC0415 - as below

        return Reembedding
    if name in __all__:
        from vecdb.ingest import api  # noqa: PLC0415 - sources and models are only needed by who ingests

        return getattr(api, name)
    raise AttributeError(f"module 'vecdb.ingest' has no attribute {name!r}")
