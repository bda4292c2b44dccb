"""Opens the destination and the embedder of a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.pipeline.destination import Destination
from vecdb.ingest.sources.source import Source
from vecdb.types import Metric, VectorDtype


def open_directory(
    path: str, collection: str, *, field: str = "", metric: Metric = "cosine", dtype: VectorDtype = "float32"
) -> Destination:
    """A database in a directory, which is made when there is none."""
    raise NotImplementedError


def open_server(
    address: str,
    collection: str,
    *,
    field: str = "",
    metric: Metric = "cosine",
    dtype: VectorDtype = "float32",
    **connection: Any,
) -> Destination:
    """A database at a server; `connection` as `vecdb.connect` takes it (api_key, tls, insecure …)."""
    raise NotImplementedError


def choose_embedder(
    destination: Destination, sources: Sequence[Source], model: str | None, options: Mapping[str, Any]
) -> Embedder:
    """The model that is named, else the collection's own, else that of the vectors in the sources, else the builtin."""
    raise NotImplementedError
