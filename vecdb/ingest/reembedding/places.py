"""Opens the database of a re-embedding, a directory or a server, and says where its journal lies.

Concurrency: any thread.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from vecdb.config import CLIENT_RETRIES_DEFAULT, CLIENT_TIMEOUT_S, EngineConfig
from vecdb.errors import InvalidRequestError, MissingExtraError
from vecdb.ingest.journal.states import PipelineIdentity
from vecdb.ingest.operation.places import Pipeline, state_root
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.reembedding.roles import Roles
from vecdb.types import Mode

OPTIONS: Final = "re-embedding"
"""Tells the journal of a re-embedding from those of pipelines."""


@contextmanager
def opened(settings: IngestSettings, mode: Mode) -> Iterator[Any]:
    """The database that `to` names. A directory is opened beside its writer for "r", as the writer for "rw"."""
    place = settings.destination
    database = _directory(place.directory, mode) if place.directory is not None else _server(settings)
    with closing(database):
        yield database


def journal_directory(settings: IngestSettings, roles: Roles) -> Path:
    """Where what cannot be embedded is remembered, and whose lock keeps a second run out."""
    return Pipeline(
        root=state_root(settings.state) / "reembedding",
        destination=str(settings.destination),
        collection=roles.collection,
        field=roles.name,
        sources=(),
    ).directory


def identity(settings: IngestSettings, roles: Roles, database: Any) -> PipelineIdentity:
    """What the journal is about. One of another model or database is begun anew."""
    model = roles.required_shadow().model
    if model is None:
        raise InvalidRequestError(
            f"field {roles.shadow_name!r} of {roles.collection!r} does not say which model its vectors are of, so "
            "nothing can be embedded for it: tell it with set_model, or (a rollback) leave that out with --now",
            field=roles.shadow_name,
        )
    return PipelineIdentity(
        destination=str(settings.destination),
        database=uuid.UUID(str(database.uuid)),
        collection=roles.collection,
        field=roles.shadow_name,
        model=model,
        chunker="none",
        sources=(),
        options=OPTIONS,
    )


def _directory(path: Path, mode: Mode) -> Any:
    try:
        from vecdb.engine.database import Database  # noqa: PLC0415 - a server needs no engine
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{path} is a directory, which needs all of vecdb: pip install vecdb") from error
    return Database.open(path, mode, durability="fsync", create=False, config=EngineConfig())


def _server(settings: IngestSettings) -> Any:
    from vecdb.client import connecting  # noqa: PLC0415 - grpc is not needed for a directory

    arguments = connecting.read_arguments(
        str(settings.destination.address),
        timeout_s=CLIENT_TIMEOUT_S,
        retries=CLIENT_RETRIES_DEFAULT,
        read_your_writes=True,
        **settings.connection,
    )
    return connecting.open_database(arguments)
