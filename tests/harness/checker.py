"""Compares a reopened database with what its clients know: nothing acknowledged lost, nothing half done, no ghosts.

Promises: the check needs no history but the journals; each finding names its kind, partition and key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.harness import workload
from tests.harness.journal import Replay
from tests.harness.model import Model, assert_exact_hits, assert_hits, recall
from tests.harness.workload import State
from vecdb.types import Record

QUERIES = 20
LIMIT = 10
EF = 128
"""Effort at which a sound graph of a thousand rows finds nearly everything, so that recall tells of the graph alone."""

FINDINGS_SHOWN = 20


@dataclass
class Findings:
    """The result of one check; `problems` is empty for a database that kept its promises."""

    records: int = 0
    acknowledged: int = 0
    applied: dict[int, bool] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    recall: float = 1.0
    seq: int = 0
    open_s: float = 0.0

    def report(self, kind: str, text: str) -> None:
        """Add a problem: kind is `lost write`, `half batch`, `resurrected delete`, `torn record`, `phantom`, ..."""
        if len(self.problems) < FINDINGS_SHOWN:
            self.problems.append(f"{kind}: {text}")


def check(database: Any, collection: Any, replays: Mapping[int, Replay]) -> Findings:
    """Check a database against the journals of its partitions, then its own verification and its searches."""
    findings = Findings(seq=int(database.seq), acknowledged=sum(r.acknowledged for r in replays.values()))
    acknowledged_seq = max((r.seq for r in replays.values()), default=0)
    if findings.seq < acknowledged_seq:
        findings.report("lost write", f"seq is {findings.seq}, but {acknowledged_seq} was acknowledged")
    actual = read_state(collection, findings)
    findings.records = len(actual)
    for partition, known in replays.items():
        keys = workload.partition_keys(partition)
        part = {key: record for key, record in actual.items() if key in keys}
        findings.applied[partition] = _settle(partition, part, known, findings)
    owned = {key for partition in replays for key in workload.partition_keys(partition)}
    for key in sorted(set(actual) - owned):
        findings.report("phantom", f"key {key} was never written")
    report = database.verify()
    for problem in report.problems:
        findings.report("verify", problem)
    _check_searches(collection, actual, findings)
    return findings


def read_state(collection: Any, findings: Findings) -> dict[int, Record]:
    """Every record by key, through iterate; checks that iterate, count and len agree."""
    records = list(collection.iterate(with_vectors=True))
    actual = {workload.key_of(record.id): record for record in records}
    if not len(records) == len(actual) == collection.count() == len(collection):
        counted = f"iterate {len(records)}, distinct {len(actual)}, count {collection.count()}, len {len(collection)}"
        findings.report("count", counted)
    return actual


def _settle(partition: int, actual: dict[int, Record], known: Replay, findings: Findings) -> bool:
    """Whether the operation in flight happened; reports whatever is explained by neither answer."""
    before = known.state
    after = before if known.pending is None else known.pending.applied(before)
    wrong_before, wrong_after = _differences(actual, before), _differences(actual, after)
    if not wrong_before:
        return False
    if not wrong_after:
        return True
    for key, text in wrong_before.items():
        if key in wrong_after:
            findings.report(text.split(";")[0], f"partition {partition}, key {key}; {text}")
    done, undone = sorted(set(wrong_before) - set(wrong_after)), sorted(set(wrong_after) - set(wrong_before))
    if done and undone:
        findings.report("half batch", f"partition {partition}: {known.pending} was done for {done}, not for {undone}")
    return False


def _differences(actual: dict[int, Record], expected: State) -> dict[int, str]:
    """key -> how the stored record differs from the expected one."""
    wrong = {key: "resurrected delete; should not exist" for key in actual if key not in expected}
    keys = list(expected)
    rows = workload.vectors_of(keys, (expected[key][0] for key in keys))
    for key, row in zip(keys, rows, strict=True):
        record, (_, version) = actual.get(key), expected[key]
        if record is None:
            wrong[key] = "lost write; the record is missing"
        elif record.metadata.get("version") != version:
            wrong[key] = f"lost write; metadata is of version {record.metadata.get('version')}, not {version}"
        elif record.metadata != workload.metadata_of(key, version):
            wrong[key] = f"torn record; metadata of version {version} differs"
        elif record.vector is None or not np.array_equal(record.vector, row):
            wrong[key] = f"torn record; the vector is not that of version {expected[key][0]}"
    return wrong


def _check_searches(collection: Any, actual: dict[int, Record], findings: Findings) -> None:
    """Exact search equals brute force over the records read; default search is full, live and true; recall is noted."""
    model = Model.single(workload.DIM, "l2")
    for record in actual.values():
        if record.vector is not None:
            model.put(record.id, None, default=record.vector)
    queries = workload.vectors_of(range(1_000_000, 1_000_000 + QUERIES), [0] * QUERIES)
    recalls = []
    for query in queries:
        try:
            assert_exact_hits(model, collection.search(query, limit=LIMIT, exact=True), query, LIMIT)
            assert_hits(model, collection.search(query, limit=LIMIT), query, LIMIT)
            thorough = collection.search(query, limit=LIMIT, ef=EF)
            assert_hits(model, thorough, query, LIMIT)
            recalls.append(recall(model, thorough, query, LIMIT))
        except AssertionError as error:
            findings.report("search", str(error).strip().splitlines()[0])
    findings.recall = float(np.mean(recalls)) if recalls else 0.0
