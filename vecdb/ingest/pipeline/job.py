"""Defines what a run is given.

Concurrency: values; what they hold is used by the threads of one run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vecdb.ingest.chunkers.choosing import ItemChunker
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.pipeline import config
from vecdb.ingest.pipeline.destination import Destination
from vecdb.ingest.sources.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How much is done at once, and for how long what fails is tried again.

    `embedders` None: as many calls at once as suit the model. `retry_for_s` is how long a provider or a server may
    stay away before the run ends.
    """

    readers: int = config.READERS_DEFAULT
    embedders: int | None = None
    queue_bytes: int = config.QUEUE_BYTES_DEFAULT
    cache_bytes: int = config.CACHE_BYTES_DEFAULT
    retry_for_s: float = config.RETRY_FOR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Sources, and the collection that is to be kept true to them.

    `journal` and `cache` are directories, made when there are none; pipelines may share a cache. `reread` reads parts
    that look unchanged too; `keep_vanished` deletes nothing whose item is gone. The caller opens and closes `embedder`
    and `destination` (see `opening`).
    """

    sources: Sequence[Source]
    destination: Destination
    embedder: Embedder
    collection: str
    field: str = ""
    journal: Path
    cache: Path
    chunker: ItemChunker = dataclasses.field(default_factory=ItemChunker)
    work: Work = dataclasses.field(default_factory=Work)
    reread: bool = False
    keep_vanished: bool = False
