"""Gets the hits of a search whose reply would be too large for one message: ids first, then what belongs to them.

Promises: as from one reply, all of it is of one state of the database. A record that has not been written since before
the search is as the search found it; when one has, all is asked for again, and given up after a few times.
Concurrency: as plans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vecdb.client import reading, upkeep
from vecdb.client.config import LARGE_ATTEMPTS_MAX
from vecdb.client.plans import Plan
from vecdb.client.targets import Target, is_too_large
from vecdb.errors import LimitExceededError
from vecdb.types import Record, SearchResult


def of_any_size(
    target: Target, options: Mapping[str, Any], ask: Callable[[Mapping[str, Any]], Plan[SearchResult]]
) -> Plan[SearchResult]:
    """What `ask` finds with these options of a search, in one reply or in several."""
    try:
        return (yield from ask(options))
    except LimitExceededError as error:
        if not is_too_large(error) or not (options.get("with_metadata") or options.get("with_vectors")):
            raise
        too_large = error
    for _ in range(LARGE_ATTEMPTS_MAX):
        seq = (yield from upkeep.info(target.caller)).seq
        seq = max(seq, options["min_seq"])
        found = yield from ask({**options, "with_metadata": False, "with_vectors": False, "min_seq": seq})
        records = yield from reading.get(target, found.ids, with_vectors=bool(options.get("with_vectors")), min_seq=seq)
        if all(record is not None and record.version <= seq for record in records):
            return _filled(target, found, records, options)
    raise LimitExceededError(
        f"{too_large.message}; fetched one after another, the hits were written to each time. "
        "Ask for a smaller limit or with_metadata=False",
        **too_large.details,
    )


def _filled(target: Target, found: SearchResult, records: list[Record], options: Mapping[str, Any]) -> SearchResult:
    if options.get("with_metadata"):
        found = replace(found, metadata=[record.metadata for record in records])
    if options.get("with_vectors"):
        name = options["field"] or target.main_field
        rows = [record.vectors[name] for record in records if name is not None]
        found = replace(found, vectors=np.stack(rows))
    return found
