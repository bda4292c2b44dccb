"""Surrounds the filling of a field with what the pipeline embeds by: its threads, its cache, a journal and its lock.

Concurrency: a context belongs to one thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from vecdb.errors import DatabaseNotFoundError, InvalidRequestError
from vecdb.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.opening import open_same
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.journal.cache import EmbeddingCache, text_key
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import Failure
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.pipeline.asking import Asking
from vecdb.ingest.pipeline.breaker import Breaker
from vecdb.ingest.pipeline.calls import Calls
from vecdb.ingest.pipeline.config import CALLS_WAITING
from vecdb.ingest.pipeline.control import Control
from vecdb.ingest.pipeline.embedding import Embedding
from vecdb.ingest.pipeline.events import Observer
from vecdb.ingest.pipeline.tally import Tally
from vecdb.ingest.reembedding.backfill import Backfill
from vecdb.ingest.reembedding.comparison import EmbedQueries
from vecdb.ingest.reembedding.places import identity, journal_directory
from vecdb.ingest.reembedding.roles import Roles
from vecdb.types import FloatArray


@contextmanager
def filling(
    settings: IngestSettings,
    database: Any,
    roles: Roles,
    embedder: Embedder,
    observer: Observer | None,
    stop: threading.Event,
) -> Iterator[Backfill]:
    """What fills the field beside, as long as the context lasts."""
    control, tally = Control(stop), Tally(observer)
    workers = settings.embedders or embedder.limits.parallel
    paths = roles.required_shadow().follows
    with ExitStack() as stack:
        directory = journal_directory(settings, roles)
        journal = stack.enter_context(Journal.adopt(directory, identity(settings, roles, database)))
        cache = stack.enter_context(open_cache(settings))
        breaker = Breaker(settings.retry_for_s, control, tally)
        calls = Calls(embedder.fingerprint, embedder.limits, cache, control, most=workers * (1 + CALLS_WAITING))
        embedding = Embedding(Asking(embedder, cache, breaker, control, tally), calls, control, workers)
        stack.callback(embedding.close)
        stack.callback(control.abort)
        journal.begin_run()
        collection = database.collection(roles.collection)
        yield Backfill(
            collection,
            roles,
            paths,
            calls,
            journal,
            control,
            tally,
            texts_at_once=workers * embedder.limits.batch_texts,
            retry_for_s=settings.retry_for_s,
        )
        journal.end_run("stopped" if control.is_stopping else "done")


def open_cache(settings: IngestSettings) -> EmbeddingCache:
    """The cache that all pipelines of a state directory share."""
    return EmbeddingCache.open(settings.pipeline.cache, max_bytes=settings.cache_bytes)


def failures_of(settings: IngestSettings, roles: Roles) -> list[Failure]:
    """What could not be embedded for the field beside; nothing where no run has been."""
    try:
        with Journal.open(journal_directory(settings, roles), mode="r") as journal:
            return list(journal.failures()) if journal.identity.field == roles.shadow_name else []
    except DatabaseNotFoundError:
        return []


def embedding_queries(
    settings: IngestSettings, roles: Roles, model: ModelFingerprint | None, cache: EmbeddingCache, stack: ExitStack
) -> EmbedQueries:
    """What embeds queries as a model does, until `stack` ends; what was embedded before costs nothing."""
    if model is None:
        raise InvalidRequestError(
            f"field {roles.name!r} of {roles.collection!r} does not say which model its vectors are of; tell it once "
            "with set_model, or compare without --queries",
            field=roles.name,
        )
    options = settings.model_option if model == roles.shadow_model else {}
    embedder = open_same(model, collection=roles.collection, **options)
    stack.callback(embedder.close)

    def embed(texts: Sequence[str]) -> FloatArray:
        keys = [text_key(text, "query") for text in texts]
        rows = cache.get_many(model, keys)
        missing = [place for place, row in enumerate(rows) if row is None]
        if missing:
            found = embedder.embed([texts[place] for place in missing], role="query")
            cache.put_many(model, [keys[place] for place in missing], found)
            for place, row in zip(missing, found, strict=True):
                rows[place] = row
        return np.stack([row for row in rows if row is not None])

    return embed
