"""Does what `vecdb reembed` does, for settings that are put together.

    run       adds the field beside and fills it; again: goes on where it was
    status    how far it is                     compare   what the two models find
    switch    fills what is due, then lets the name stand for the new model; rollback takes that back
    finish    drops the old vectors             cancel    drops the new ones, before a switch

Promises: what is opened here is closed here. Every command may be killed and given again.
Concurrency: one process at a time fills, switches or drops; the others say who does. Searches and writers go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vecdb.checks.declarations import can_pack, check_name
from vecdb.errors import InvalidRequestError
from vecdb.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.opening import open_embedder, open_same
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.journal.states import Failure
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.pipeline.events import Observer
from vecdb.ingest.pipeline.tally import Tally
from vecdb.ingest.reembedding.backfill import Backfill
from vecdb.ingest.reembedding.comparison import ComparisonReport, compare_queries, compare_stored, with_texts
from vecdb.ingest.reembedding.config import COMPARE_K_DEFAULT, COMPARE_QUERIES_DEFAULT, FOLLOW_PAUSE_S
from vecdb.ingest.reembedding.due import count_due, text_paths
from vecdb.ingest.reembedding.places import identity, opened
from vecdb.ingest.reembedding.queries import read_queries
from vecdb.ingest.reembedding.reports import FillReport, StatusReport, SwitchReport
from vecdb.ingest.reembedding.roles import NEXT, PREVIOUS, Roles, roles_of
from vecdb.ingest.reembedding.surroundings import embedding_queries, failures_of, filling, open_cache
from vecdb.ingest.reembedding.switching import ROLLBACK, SWITCH, Turn, dropped, turned
from vecdb.types import Field


def run(
    settings: IngestSettings,
    *,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
    retry_failed: bool = False,
    follow: bool = False,
    expected: Callable[[int], None] | None = None,
) -> FillReport:
    """Fill the field beside, which is added when there is none. `follow`: go on with what is written, until `stop`.

    `expected` is told once how many records are due.
    """
    stop = stop or threading.Event()
    with opened(settings, "rw") as database, ExitStack() as stack:
        collection = database.collection(settings.collection)
        embedder = _embedder(settings, roles_of(collection, settings.field))
        stack.callback(embedder.close)
        roles = _begun(collection, settings, embedder.fingerprint)
        if expected is not None:
            expected(count_due(collection, roles))
        backfill = stack.enter_context(filling(settings, database, roles, embedder, observer, stop))
        report = backfill.fill(retry_failed=retry_failed)
        while follow and not stop.wait(FOLLOW_PAUSE_S):
            report = backfill.fill()
        if report.level and settings.destination.directory is not None:
            collection.wait_indexed()  # a server goes on with that by itself; here it would end with this process
        return report


def status(settings: IngestSettings) -> StatusReport:
    """How far the re-embedding of a field is."""
    with opened(settings, "r") as database:
        collection = database.collection(settings.collection)
        roles = roles_of(collection, settings.field)
        return StatusReport(
            collection=roles.collection,
            field=roles.name,
            stage=roles.stage,
            model=None if roles.model is None else str(roles.model),
            beside=None if roles.shadow is None else roles.shadow_name,
            beside_model=None if roles.shadow_model is None else str(roles.shadow_model),
            records=len(collection),
            due=0 if roles.shadow is None else count_due(collection, roles),
            failures=len(failures_of(settings, roles)),
        )


def failed(settings: IngestSettings) -> list[Failure]:
    """Records that could not be embedded for the field beside, and why."""
    with opened(settings, "r") as database:
        return failures_of(settings, roles_of(database.collection(settings.collection), settings.field))


def compare(
    settings: IngestSettings,
    queries: Path | None = None,
    *,
    k: int = COMPARE_K_DEFAULT,
    sample: int = COMPARE_QUERIES_DEFAULT,
    seed: int = 0,
) -> ComparisonReport:
    """Compare the old model with the new one, by the queries of a file or by a sample of stored records."""
    asked = None if queries is None else read_queries(queries)
    with opened(settings, "r") as database, ExitStack() as stack:
        collection = database.collection(settings.collection)
        roles = roles_of(collection, settings.field)
        old, new = (roles.name, roles.model), (roles.shadow_name, roles.shadow_model)
        if roles.stage == "switched":
            old, new = new, old
        paths = roles.required_shadow().follows
        if asked is None:
            report = compare_stored(collection, old[0], new[0], k=k, sample=sample, seed=seed)
            return with_texts(report, collection, paths, asked_by_records=True)
        cache = stack.enter_context(open_cache(settings))
        sides = [(name, embedding_queries(settings, roles, model, cache, stack)) for name, model in (old, new)]
        report = compare_queries(collection, sides[0], sides[1], asked, k=k)
        return with_texts(report, collection, paths, asked_by_records=False)


def switch(
    settings: IngestSettings,
    *,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
    allow_missing: bool = False,
) -> SwitchReport:
    """Embed what is due, then let the name stand for the new model, in one commit."""
    return _turn(settings, SWITCH, observer, stop, allow_missing=allow_missing, fill_first=True)


def rollback(
    settings: IngestSettings,
    *,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
    allow_missing: bool = False,
    fill_first: bool = True,
) -> SwitchReport:
    """Let the name stand for the old model again. What was written since the switch is embedded by it before.

    Without `fill_first` that is left out, for when the new model has to go at once: such records are then missing.
    """
    return _turn(settings, ROLLBACK, observer, stop, allow_missing=allow_missing, fill_first=fill_first)


def finish(settings: IngestSettings) -> Roles:
    """Drop the old model's vectors, which a rollback would need. Returns the roles before."""
    return _drop(settings, "switched")


def cancel(settings: IngestSettings) -> Roles:
    """Drop the new model's vectors before they were switched to. They stay in the cache."""
    return _drop(settings, "filling")


# --- filling ----------------------------------------------------------------------------------------------------------


def _begun(collection: Any, settings: IngestSettings, model: ModelFingerprint) -> Roles:
    """The roles with a field beside for the vectors of a model: the one there is, or one that is added now."""
    roles = roles_of(collection, settings.field)
    _require_startable(roles, model)
    if roles.stage == "idle":
        check_name("field", roles.name + PREVIOUS)  # what the field of now will be called
        now = roles.current
        beside = Field(
            dim=model.dim,
            metric=now.metric,
            dtype=now.dtype,
            m=now.m,
            ef_construction=now.ef_construction,
            builder=now.builder,
            layout=now.layout if now.layout != "packed" or can_pack(model.dim, now.m) else "auto",
            model=model,
            follows=text_paths(settings.text_field),
        )
        collection.add_field(roles.name + NEXT, beside, exist_ok=True)
    return roles_of(collection, settings.field)


def _require_startable(roles: Roles, model: ModelFingerprint) -> None:
    name = f"field {roles.name!r} of {roles.collection!r}"
    if roles.stage == "switched":
        problem = (
            f"{name} was switched to {roles.model}, and the vectors of {roles.shadow_model} are kept: finish that, or "
            "roll it back, before another model"
        )
    elif roles.model == model:
        problem = f"{name} holds vectors of {model} already; name the model that is to take its place"
    elif roles.shadow is not None and roles.shadow_model != model:
        problem = f"{name} is being moved to {roles.shadow_model}, not to {model}: go on with that one, or cancel it"
    else:
        return
    raise InvalidRequestError(problem, collection=roles.collection, field=roles.name)


def _embedder(settings: IngestSettings, roles: Roles) -> Embedder:
    """The model that is named, else that of the field beside."""
    if settings.model is not None:
        return open_embedder(settings.model, **settings.model_option)
    if roles.shadow_model is not None:
        return open_same(roles.shadow_model, collection=roles.collection, **settings.model_option)
    raise InvalidRequestError(
        f"which model is to take the place of {roles.model or 'the one of now'}? Name it with --model",
        collection=roles.collection,
    )


# --- switching --------------------------------------------------------------------------------------------------------


def _turn(
    settings: IngestSettings,
    turn: Turn,
    observer: Observer | None,
    stop: threading.Event | None,
    *,
    allow_missing: bool,
    fill_first: bool,
) -> SwitchReport:
    with opened(settings, "rw") as database, ExitStack() as stack:
        collection = database.collection(settings.collection)
        fill = _lazily(settings, database, observer, stop or threading.Event(), stack) if fill_first else None
        return turned(collection, settings.field, turn, fill, allow_missing=allow_missing or not fill_first)


def _lazily(
    settings: IngestSettings,
    database: Any,
    observer: Observer | None,
    stop: threading.Event,
    stack: ExitStack,
) -> Callable[[], FillReport]:
    """What fills the field beside; its model is opened only when something is due."""
    backfill: Backfill | None = None

    def fill() -> FillReport:
        nonlocal backfill
        collection = database.collection(settings.collection)
        roles = roles_of(collection, settings.field)
        if backfill is None:
            if not count_due(collection, roles):
                return FillReport(roles=roles, counts=Tally().counts(), rounds=0, seconds=0.0, left=0)
            model = identity(settings, roles, database).model
            embedder = open_same(model, collection=roles.collection, **settings.model_option)
            stack.callback(embedder.close)
            backfill = stack.enter_context(filling(settings, database, roles, embedder, observer, stop))
        return backfill.fill()

    return fill


def _drop(settings: IngestSettings, stage: str) -> Roles:
    with opened(settings, "rw") as database:
        return dropped(database.collection(settings.collection), settings.field, stage)
