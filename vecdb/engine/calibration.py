"""Measures recall over effort with queries of the user's, where these are unlike the rows, and keeps both.

A segment's own rows tell what effort queries like them need. Texts asked of images, or questions of passages, need
more. A sample of such queries is kept with the field, and every segment's curve is measured with it: those that are
there now, and each new one when it is built.
Promises: queries and curves change in one commit; searches use the old curves or the new.
Concurrency: `calibrate_field` with the indexer's job lock held, so that no segment is exchanged meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vecdb.engine.config import KEPT_QUERIES_MAX
from vecdb.engine.segments import calibrated
from vecdb.engine.state import queries_key
from vecdb.errors import FieldNotFoundError
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    from vecdb.engine.commit import Commit
    from vecdb.engine.schema import CollectionSchema, FieldSchema
    from vecdb.engine.state import SegmentEntry
    from vecdb.engine.view import FieldView
    from vecdb.engine.writer import Writer
    from vecdb.storage.environment import Environment
    from vecdb.types import FloatArray


def kept_queries(environment: Environment, collection: int, field: FieldSchema) -> FloatArray | None:
    """The sample of queries kept with a field, (n, dim) float32, None where there is none."""
    key = queries_key(collection, field.number)
    with environment.begin_read() as txn:
        value = txn.get(Table.STATE, key)
        if value is None:
            return None
        rows = np.frombuffer(codec.open_value(Table.STATE, key, value), dtype="<f4")
        if len(rows) % field.dim:
            raise codec.corrupt_value(Table.STATE, key, "is no sample of queries")
        return rows.reshape(-1, field.dim).astype(np.float32)


def sampled(queries: FloatArray) -> FloatArray:
    """At most KEPT_QUERIES_MAX of the queries, drawn with a fixed seed."""
    if len(queries) <= KEPT_QUERIES_MAX:
        return queries
    chosen = np.random.default_rng(0).choice(len(queries), KEPT_QUERIES_MAX, replace=False)
    return queries[np.sort(chosen)]


@dataclass(frozen=True, slots=True)
class PublishCurves:
    """The commit that stores the queries of a field (None: removes them) and the curves measured with them."""

    schema: CollectionSchema
    field: FieldSchema
    queries: FloatArray | None
    entries: list[SegmentEntry]

    def apply(self, commit: Commit) -> int:
        """Replace the entries of the segments; returns how many there are."""
        number, field = self.schema.number, self.field.number
        state = commit.state(number, self.schema.name)
        if commit.schemas[number].numbered(field) is None:
            raise FieldNotFoundError(f"field {self.field.name!r} was dropped", collection=self.schema.name)
        key = queries_key(number, field)
        if self.queries is None:
            commit.txn.delete(Table.STATE, key)
        else:
            commit.txn.put(Table.STATE, key, codec.seal(Table.STATE, key, self.queries.astype("<f4").tobytes()))
        for entry in self.entries:
            segment = keys.segment_key(number, field, entry.number)
            commit.txn.put(Table.SEGMENTS, segment, codec.encode_struct(Table.SEGMENTS, segment, entry))
        before = state.fields[field]
        after = msgspec.structs.replace(before, calibrations=before.calibrations + 1)
        commit.states[number] = state.with_field(field, after)
        commit.change(number)
        return len(self.entries)


def calibrate_field(
    environment: Environment,
    writer: Writer,
    schema: CollectionSchema,
    view: FieldView,
    queries: FloatArray | None,
    threads: int,
    check: Callable[[], None],
) -> int:
    """Measure every segment of a field with `queries`, or (None) with its own rows again; returns the commit.

    `check` is called between segments, to raise when nobody waits any more.
    """
    chosen, entries = None if queries is None else sampled(queries), []
    for segment in view.segments:
        check()
        entries.append(calibrated(environment, schema.number, view.schema, segment.entry, threads, chosen))
    check()
    return writer.submit(PublishCurves(schema, view.schema, chosen, entries)).seq
