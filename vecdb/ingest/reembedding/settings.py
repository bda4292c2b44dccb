"""Reads the settings of a re-embedding: those of the ingestor that say where the collection is and how to embed.

Promises: one file and one environment serve both. The model is never taken from them, since they name the one of now.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from vecdb.errors import InvalidConfigError
from vecdb.ingest.operation.settings import IngestSettings, flag_of, gathered

PLACED: Final = ("to", "field", "state", "api_key_env", "api_key_file", "tls", "tls_cert", "tls_key", "insecure")
"""Settings that say which field of which collection, and how to get there."""

EMBEDDING: Final = ("model", "model_option", "text_field", "embedders", "cache_bytes", "retry_for_s")
"""Settings that say how texts are embedded."""

GIVEN_ONLY: Final = frozenset({"model", "model_option", "sources"})


def read_settings(
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Path | None = None,
    spell: Callable[[str], str] = flag_of,
) -> IngestSettings:
    """Put settings together as `load_settings` does, of which `given` may hold PLACED, EMBEDDING and the collection."""
    unknown = sorted(set(given) - {*PLACED, *EMBEDDING, "collection"})
    if unknown:
        known = ", ".join(sorted((*PLACED, *EMBEDDING)))
        raise InvalidConfigError(
            f"{spell(unknown[0])} is no setting of a re-embedding; known are {known}",
            setting=unknown[0],
        )
    told = {name: value for name, value in given.items() if value not in (None, [], ())}
    values = gathered(told, environment, file, spell)
    values = {name: value for name, value in values.items() if name in told or name not in GIVEN_ONLY}
    if not values.get("to"):
        raise InvalidConfigError("to is missing: say where the collection is, as in --to data or --to localhost:50051")
    values["sources"] = ("-",)  # none is read, but settings that are shared with the ingestor have some
    return IngestSettings(**values)
