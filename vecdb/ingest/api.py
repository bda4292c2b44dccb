"""The ingestor for Python: `vecdb.ingest.run`, `plan`, `retry`, `watch`, `status`, `failed` and `open_model`.

    report = vecdb.ingest.run(["docs/", "faq.jsonl"], to="data", collection="docs", chunk_tokens=128)
    print(report.counts.stored, report.failures)

`sources`, `to`, `collection` and the options are those of `vecdb ingest` under the same names; what they mean is said
there (`vecdb ingest run --help`) and in `operation.settings`. Neither the environment nor a file is read for them.
Promises: nothing is printed. An `observer` is told what happens (see `pipeline.events`); an event given as `stop`
ends a run or watch when it is set, with what is under way finished.
Errors: InvalidConfigError, SourceNotFoundError and InvalidSourceError for what is wrong with the request;
ModelMismatchError for a collection of another model; DatabaseLockedError while another process runs this pipeline or
has the directory open; what a provider or server failed with for longer than `retry_for_s`. Items that are bad raise
nothing: they are in quarantine, `report.failures` counts them and `failed` lists them.
Concurrency: any thread; runs of different pipelines may go on at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict, Unpack

from vecdb.errors import InvalidRequestError
from vecdb.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.opening import open_same
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.operation import commands, history
from vecdb.ingest.operation.history import PipelineStatus, Wanted
from vecdb.ingest.operation.settings import IngestSettings, load_settings
from vecdb.ingest.operation.watching import Watch
from vecdb.ingest.pipeline.events import Observer, Silent
from vecdb.ingest.pipeline.reports import PlanReport, RunReport
from vecdb.types import Metric, RecordId, VectorDtype

if TYPE_CHECKING:
    from vecdb.ingest.journal.states import Failure

Place: TypeAlias = str | os.PathLike[str]
Sources: TypeAlias = Place | Sequence[Place]


class HasModel(Protocol):
    """A collection that may say which model its vectors are of."""

    @property
    def name(self) -> str:
        """Its name."""

    def model(self, field: str | None = None) -> ModelFingerprint | None:
        """The model of a field."""


class Options(TypedDict, total=False):
    """The settings of the ingestor that have a default; see `operation.settings.IngestSettings` for their meaning."""

    field: str | None
    metric: Metric
    dtype: VectorDtype
    keep_vanished: bool
    api_key_env: str
    api_key_file: str | None
    tls: str | None
    tls_cert: str | None
    tls_key: str | None
    insecure: bool
    model: str | None
    model_option: Mapping[str, Any]
    chunker: str
    chunk_tokens: int
    chunk_overlap: int
    id_field: str
    text_field: str
    vector_field: str | None
    format: str | None
    encoding: str | None
    delimiter: str | None
    types: str
    include: Sequence[str]
    exclude: Sequence[str]
    prefix: str
    hidden: bool
    ignored: bool
    ids: str | None
    query: str | None
    dataset: str | None
    state: str | None
    readers: int
    embedders: int | None
    queue_bytes: int
    cache_bytes: int
    retry_for_s: float
    reread: bool
    interval_s: float
    debounce_s: float


def run(
    sources: Sources,
    *,
    to: Place,
    collection: str,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
    **options: Unpack[Options],
) -> RunReport:
    """Make a collection true to its sources: store what is new or changed, delete what has vanished.

    What was stored before an error is journalled: the next run goes on from there, and pays for nothing twice.
    """
    report = commands.run(settings_of(sources, to, collection, options), observer=observer, stop=stop)
    return _raised(report)


def plan(
    sources: Sources,
    *,
    to: Place,
    collection: str,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
    **options: Unpack[Options],
) -> PlanReport:
    """Count what a run would store, embed and delete, and estimate its tokens and time. Nothing is written or paid."""
    return commands.plan(settings_of(sources, to, collection, options), observer=observer, stop=stop)


def retry(
    sources: Sources,
    *,
    to: Place,
    collection: str,
    only: Sequence[RecordId] | None = None,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
    **options: Unpack[Options],
) -> RunReport:
    """Try again what is in quarantine: the items with the ids `only`, or all of it."""
    settings = settings_of(sources, to, collection, options)
    return _raised(commands.retry(settings, only, observer=observer, stop=stop))


def watch(
    sources: Sources,
    *,
    to: Place,
    collection: str,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
    **options: Unpack[Options],
) -> Iterator[RunReport]:
    """Run now, and again whenever the sources change, giving each run's report; it ends when `stop` is set.

    A provider or server that is away ends no watch; its report then has the `error`.
    """
    settings = settings_of(sources, to, collection, options)
    return Watch(settings, observer or Silent(), stop or threading.Event()).rounds()


def status(
    sources: Sources = (),
    *,
    to: Place | None = None,
    collection: str | None = None,
    field: str | None = None,
    state: str | None = None,
) -> list[PipelineStatus]:
    """What is known of the pipelines that agree with what is given: items, runs, failures, and who runs it now."""
    return history.status(_wanted(sources, to, collection, field, state))


def failed(
    sources: Sources = (),
    *,
    to: Place | None = None,
    collection: str | None = None,
    field: str | None = None,
    state: str | None = None,
) -> list[Failure]:
    """What is in quarantine in those pipelines: where, why, since when."""
    return [failure for _, failure in history.failed(_wanted(sources, to, collection, field, state))]


def open_model(collection: HasModel, field: str | None = None, **options: Any) -> Embedder:
    """The embedding model of a collection, embedded or remote, for queries: `model.embed([text], role="query")`.

    `options` are those that no collection stores (`key_env`, `device` …). Close it when you are done.
    InvalidRequestError when no model is stored; ModelMismatchError when what is found under its name is another one.
    """
    stored = collection.model(field)
    if stored is None:
        raise InvalidRequestError(
            f"collection {collection.name!r} does not say which model its vectors are of; `vecdb ingest` stores that"
        )
    return open_same(stored, collection=collection.name, **options)


def settings_of(sources: Sources, to: Place, collection: str, options: Mapping[str, Any]) -> IngestSettings:
    """The settings that arguments spell; InvalidConfigError names the one that is unknown or wrong."""
    named = {"sources": _texts(sources), "to": os.fspath(to), "collection": collection}
    given = {name: value for name, value in options.items() if value is not None}
    return load_settings({**named, **given}, {}, spell=str)


def _wanted(sources: Sources, to: Place | None, collection: str | None, field: str | None, state: str | None) -> Wanted:
    place = None if to is None else os.fspath(to)
    return Wanted(sources=tuple(_texts(sources)), to=place, collection=collection, field=field, state=state)


def _texts(sources: Sources) -> list[str]:
    given = [sources] if isinstance(sources, str | os.PathLike) else sources
    return [os.fspath(source) for source in given]


def _raised(report: RunReport) -> RunReport:
    if report.error is not None:
        raise report.error
    return report
