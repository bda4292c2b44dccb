"""Opens the destination and the embedder of a job.

Promises: nothing is written; a directory that does not exist is made by the run, not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from vecdb.config import CLIENT_RETRIES_DEFAULT, CLIENT_TIMEOUT_S
from vecdb.errors import InvalidConfigError, MissingExtraError
from vecdb.ingest.embedders.opening import DEFAULT, open_embedder, open_same
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.pipeline.collections import Place
from vecdb.ingest.pipeline.destination import Destination
from vecdb.ingest.sources.arrays import READERS as ARRAYS
from vecdb.ingest.sources.folder import FileSource
from vecdb.ingest.sources.item import Item
from vecdb.ingest.sources.source import Part, Source
from vecdb.types import Metric, VectorDtype

OPENAI: Final = "openai"
"""The provider that has to be asked for the dimension of a model (see `embedders.openai`)."""

OWN_VECTORS: Final = "precomputed:vectors"
"""The model of vectors that come with their records, where none is named."""


def open_directory(
    path: str, collection: str, *, field: str = "", metric: Metric = "cosine", dtype: VectorDtype = "float32"
) -> Destination:
    """A database in a directory, which is made when there is none."""
    try:
        from vecdb.ingest.pipeline.embedded import EmbeddedDestination  # noqa: PLC0415  a server needs no engine
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{path} is a directory, which needs all of vecdb: pip install vecdb") from error
    return EmbeddedDestination(Path(path), Place(collection=collection, field=field, metric=metric, dtype=dtype))


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
    from vecdb.client import connecting  # noqa: PLC0415  grpc is not needed for a directory
    from vecdb.ingest.pipeline.served import ServedDestination  # noqa: PLC0415  as above

    options: dict[str, Any] = {
        "api_key": None,
        "tls": None,
        "timeout_s": CLIENT_TIMEOUT_S,
        "retries": CLIENT_RETRIES_DEFAULT,
        "read_your_writes": True,
        "insecure": False,
    }
    arguments = connecting.read_arguments(address, **(options | connection))
    place = Place(collection=collection, field=field, metric=metric, dtype=dtype)
    return ServedDestination(connecting.open_database(arguments), place)


def choose_embedder(
    destination: Destination, sources: Sequence[Source], model: str | None, options: Mapping[str, Any] | None = None
) -> Embedder:
    """The model that is named, else the collection's own, else that of the vectors in the sources, else the builtin."""
    given = dict(options or {})
    stored = destination.model()
    if model is not None:
        if stored is not None and stored.provider == OPENAI and stored.spec == model and "dim" not in given:
            # else the service would be asked, and paid, for a vector to see its dimension
            given = {"dim": stored.dim, "full_dim": stored.full_dim} | given
        return open_embedder(model, **given)
    if stored is not None:
        return open_same(stored, collection=destination.collection, **given)
    with_vectors = next((source for source in sources if gives_vectors(source)), None)
    if with_vectors is None:
        return open_embedder(DEFAULT, **given)
    return open_embedder(OWN_VECTORS, **({"dim": first_dim(with_vectors)} | given))


def gives_vectors(source: Source) -> bool:
    """Whether the items of a source have vectors of their own, as far as it says."""
    options = getattr(source, "options", None)
    return getattr(options, "vector_field", None) is not None or getattr(source, "format", None) in ARRAYS


def first_dim(source: Source) -> int:
    """The dimension of the first vector of a source, which is read for that."""
    if isinstance(source, FileSource) and source.path is None:
        raise InvalidConfigError(
            "vectors that come through a pipe cannot be looked at beforehand: say what they are, as in "
            "--model precomputed:NAME --model-option dim=384"
        )
    for part in source.parts():
        if isinstance(part, Part):
            with closing(part.read()) as found:  # type: ignore[type-var]  # what reads a part is a generator
                for item in found:
                    if isinstance(item, Item) and item.vector is not None:
                        return len(item.vector)
    raise InvalidConfigError(
        f"{source.name} has no vector that can be read; say what they are: --model precomputed:NAME"
    )
