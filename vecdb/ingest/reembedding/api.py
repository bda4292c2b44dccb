"""Re-embedding for Python: what `vecdb reembed` does, under the same names.

    moving = vecdb.ingest.Reembedding("docs", to="kb", model="openai:text-embedding-3-small")
    moving.run()
    print(moving.compare("pairs.csv").pairs)
    moving.switch()                                     # moving.rollback() takes it back, moving.finish() ends it

Promises: nothing is printed and nothing is open between calls. Neither the environment nor a file is read for options.
Errors: InvalidRequestError for what is not possible at this stage, with what is; ConflictError for a switch that
writers overtook; DatabaseLockedError while another process has the directory or the journal; what a provider or server
failed with for longer than `retry_for_s`. Records that cannot be embedded raise nothing: the reports count them.
Concurrency: any thread; one call of one collection at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from vecdb.ingest.pipeline.events import Observer
from vecdb.ingest.reembedding import commands
from vecdb.ingest.reembedding.comparison import ComparisonReport
from vecdb.ingest.reembedding.config import COMPARE_K_DEFAULT, COMPARE_QUERIES_DEFAULT
from vecdb.ingest.reembedding.reports import FillReport, StatusReport, SwitchReport
from vecdb.ingest.reembedding.settings import read_settings

if TYPE_CHECKING:
    from vecdb.ingest.journal.states import Failure


class ReembeddingOptions(TypedDict, total=False):
    """Options that have a default; see `operation.settings.IngestSettings` for their meaning."""

    model: str | None
    model_option: Mapping[str, Any]
    text_field: str
    field: str | None
    state: str | None
    embedders: int | None
    cache_bytes: int
    retry_for_s: float
    api_key_env: str
    api_key_file: str | None
    tls: str | None
    tls_cert: str | None
    tls_key: str | None
    insecure: bool


class Reembedding:
    """A collection on its way to another model. `model` names the new one, and may be left out when going on."""

    def __init__(self, collection: str, *, to: str | os.PathLike[str], **options: Unpack[ReembeddingOptions]) -> None:
        self._settings = read_settings({"collection": collection, "to": os.fspath(to), **options}, {}, spell=str)

    def run(
        self,
        *,
        retry_failed: bool = False,
        follow: bool = False,
        observer: Observer | None = None,
        stop: threading.Event | None = None,
    ) -> FillReport:
        """Embed what is due beside the vectors of now; see `commands.run`."""
        return commands.run(self._settings, observer=observer, stop=stop, retry_failed=retry_failed, follow=follow)

    def status(self) -> StatusReport:
        """How far it is."""
        return commands.status(self._settings)

    def failed(self) -> list[Failure]:
        """Records that could not be embedded, and why."""
        return commands.failed(self._settings)

    def compare(
        self,
        queries: str | os.PathLike[str] | None = None,
        *,
        k: int = COMPARE_K_DEFAULT,
        sample: int = COMPARE_QUERIES_DEFAULT,
        seed: int = 0,
    ) -> ComparisonReport:
        """Compare both models, by the queries of a file (see `queries`) or by a sample of stored records."""
        file = None if queries is None else Path(queries)
        return commands.compare(self._settings, file, k=k, sample=sample, seed=seed)

    def switch(
        self, *, allow_missing: bool = False, observer: Observer | None = None, stop: threading.Event | None = None
    ) -> SwitchReport:
        """Let the field's name stand for the new model, in one commit."""
        return commands.switch(self._settings, observer=observer, stop=stop, allow_missing=allow_missing)

    def rollback(
        self,
        *,
        allow_missing: bool = False,
        now: bool = False,
        observer: Observer | None = None,
        stop: threading.Event | None = None,
    ) -> SwitchReport:
        """Let it stand for the old model again; `now`: without embedding first what was written since the switch."""
        return commands.rollback(
            self._settings, observer=observer, stop=stop, allow_missing=allow_missing, fill_first=not now
        )

    def finish(self) -> None:
        """Drop the old model's vectors after a switch."""
        commands.finish(self._settings)

    def cancel(self) -> None:
        """Drop the new model's vectors before a switch."""
        commands.cancel(self._settings)
