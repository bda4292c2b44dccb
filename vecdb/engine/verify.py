"""Reads everything a database stores and checks it: page structure, every checksum, and that the parts agree.

Promises: the B-trees are walked by file reads before anything is touched through the map, so damage gives a report and
never a signal. Damage is reported with its place; nothing is changed.
Invariants: one read transaction throughout, so writes that go on do not disturb the check.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vecdb.config import PROBLEMS_MAX
from vecdb.engine import bitmap
from vecdb.engine.compaction import read_graph
from vecdb.engine.interruption import check_interruption
from vecdb.engine.loading import items_under, load_collection, load_schemas, newest_seq
from vecdb.engine.verify_indexes import index_problems
from vecdb.errors import CancelledError, DeadlineExceededError, StorageError, VecDBError
from vecdb.index.graph import validate_graph
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.storage.values import check_value
from vecdb.types import VerifyReport

if TYPE_CHECKING:
    from vecdb.engine.schema import CollectionSchema
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import CollectionView
    from vecdb.storage.environment import Environment
    from vecdb.storage.transactions import ReadTransaction


@dataclass(slots=True)
class Findings:
    """What was read so far and what was wrong with it."""

    pages: int = 0
    values: int = 0
    records: int = 0
    chunks: int = 0
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Add a problem, up to PROBLEMS_MAX."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)

    def attempt(self, check: Callable[[], None]) -> bool:
        """Run a check; its error becomes a problem. True when there was none."""
        try:
            check()
        except (CancelledError, DeadlineExceededError):
            raise  # nobody waits for the report any more
        except VecDBError as error:
            self.note(str(error))
            return False
        return True


def verify_database(environment: Environment) -> VerifyReport:
    """Check the whole database. Cost: reads the file once; about a second per 500 MB when it is in memory."""
    started = time.perf_counter()
    findings = Findings()
    with environment.begin_read() as txn:
        if findings.attempt(lambda: _check_structure(environment, txn, findings)):
            for table in Table:
                findings.attempt(lambda table=table: _check_values(txn, table, findings))  # type: ignore[misc]
            if not findings.problems:
                _check_agreement(txn, findings)
    return VerifyReport(
        pages=findings.pages,
        values=findings.values,
        records=findings.records,
        chunks=findings.chunks,
        problems=tuple(findings.problems),
        seconds=time.perf_counter() - started,
    )


def _check_structure(environment: Environment, txn: ReadTransaction, findings: Findings) -> None:
    findings.pages = environment.check_structure(txn)


def _check_values(txn: ReadTransaction, table: Table, findings: Findings) -> None:
    for key, value in txn.items(table):
        findings.values += 1
        check_interruption()
        try:
            check_value(table, key, value)
            findings.chunks += table is Table.CHUNKS
        except StorageError as error:
            findings.note(str(error))


def _check_agreement(txn: ReadTransaction, findings: Findings) -> None:
    """Check what checksums cannot: that sound values tell one story."""
    schemas: list[CollectionSchema] = []
    findings.attempt(lambda: schemas.extend(load_schemas(txn).values()))
    for schema in schemas:
        findings.attempt(lambda schema=schema: _check_collection(txn, schema, findings))  # type: ignore[misc]


def _check_collection(txn: ReadTransaction, schema: CollectionSchema, findings: Findings) -> None:
    view = load_collection(txn, schema)
    slots = _check_records(txn, schema, findings)
    findings.records += len(slots)
    if len(slots) != view.state.live:
        findings.note(f"collection {schema.name!r} counts {view.state.live} records but stores {len(slots)}")
    dead = slots[bitmap.test_bits(view.dead, slots)]
    if len(dead):
        findings.note(f"collection {schema.name!r}: slot {dead[0]} has a record but is marked dead ({len(dead)} such)")
    _check_rows(view, slots, findings)
    _check_graphs(view, findings)
    for problem in index_problems(txn, view):
        findings.note(problem)


def _check_records(txn: ReadTransaction, schema: CollectionSchema, findings: Findings) -> Slots:
    """Every id names a record, every record is named by its id and of some commit; returns the slots of all records."""
    newest = newest_seq(txn)
    prefix = keys.collection_prefix(schema.number)
    by_id = {key[len(prefix) :]: codec.decode_slot(key, value) for key, value in items_under(txn, Table.IDS, prefix)}
    slots = []
    for key, value in items_under(txn, Table.RECORDS, prefix):
        check_interruption()
        slot = keys.slot_from_key(key)
        slots.append(slot)
        record_id, _, version, _ = codec.decode_whole_record(key, value)
        if not 0 < version <= newest:
            findings.note(
                f"collection {schema.name!r}: the record at slot {slot} has version {version}, "
                f"but the newest commit is {newest}"
            )
        if by_id.pop(keys.id_key(record_id), None) != slot:
            findings.note(f"collection {schema.name!r}: the record at slot {slot} is not the one its id names")
    if by_id:
        findings.note(f"collection {schema.name!r}: {len(by_id)} ids name no record")
    return np.array(slots, dtype=np.uint32)


def _check_rows(view: CollectionView, slots: Slots, findings: Findings) -> None:
    """Every live row belongs to a record, once per field, and every record has a row in some field."""
    covered = np.zeros(len(slots), dtype=np.bool_)
    for field_view in view.fields:
        parts = [segment.slot_map.slots[segment.live_rows()] for segment in field_view.segments]
        parts.append(field_view.tail.all_slots()[field_view.tail.live_rows()])
        rows = np.concatenate(parts)
        name = f"field {field_view.schema.name!r} of {view.schema.name!r}"
        if len(np.unique(rows)) != len(rows):
            findings.note(f"{name}: a slot has two vectors")
        strangers = np.setdiff1d(rows, slots)
        if len(strangers):
            findings.note(f"{name}: {len(strangers)} live vectors belong to no record, slot {strangers[0]} first")
        covered |= np.isin(slots, rows)
    # Records whose only vector went, with a field that was dropped or a text that it followed, have stayed.
    may_lack = len(view.state.fields) > len(view.fields) or any(field.schema.follows for field in view.fields)
    if not covered.all() and not may_lack:
        findings.note(f"collection {view.schema.name!r}: {int((~covered).sum())} records have no vector in any field")


def _check_graphs(view: CollectionView, findings: Findings) -> None:
    for field_view, number, problem in _graph_problems(view):
        findings.note(f"field {field_view!r} of {view.schema.name!r}, segment {number}: {problem}")


def _graph_problems(view: CollectionView) -> Iterator[tuple[str, int, str]]:
    for field_view in view.fields:
        for segment in field_view.segments:
            check_interruption()
            for problem in validate_graph(read_graph(segment), None).problems:
                yield field_view.schema.name, segment.entry.number, problem
