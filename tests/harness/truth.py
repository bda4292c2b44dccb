"""Compares a collection with what its sources say: nothing missing, nothing twice, nothing stale, every vector right.

Promises: each finding names its kind and the record; the check asks the collection and nobody's journal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.harness.library import Expected
from vecdb.types import RecordId

FINDINGS_SHOWN = 20
VECTOR_TOLERANCE = 1e-5
"""A vector goes through JSON and is scaled once; another text's differs in the first digit."""


def differences(
    collection: Any, expected: Mapping[RecordId, Expected], vector_of: Callable[[str], NDArray[np.float32]]
) -> list[str]:
    """What is wrong: `missing`, `twice`, `left over`, `stale`, `wrong metadata`, `wrong vector`, `count`."""
    records = list(collection.iterate(with_vectors=True))
    found = {record.id: record for record in records}
    problems = []
    if not len(records) == len(found) == collection.count():
        problems.append(f"count: {len(records)} records, {len(found)} ids, count says {collection.count()}")
    problems += [f"missing: {key!r}" for key in expected if key not in found]
    for key, record in found.items():
        wanted = expected.get(key)
        problems += [f"left over: {key!r}"] if wanted is None else _wrong(record, wanted, vector_of)
    problems += _twice(records)
    return problems[:FINDINGS_SHOWN]


def kinds(problems: list[str]) -> Counter[str]:
    """How many problems there are of each kind."""
    return Counter(problem.split(":")[0] for problem in problems)


def _wrong(record: Any, wanted: Expected, vector_of: Callable[[str], NDArray[np.float32]]) -> list[str]:
    text = record.metadata.get("text")
    if text != wanted.text:
        return [f"stale: {record.id!r} has {text!r:.80} instead of {wanted.text!r:.80}"]
    problems = [
        f"wrong metadata: {record.id!r} has {name} {record.metadata.get(name)!r} instead of {value!r}"
        for name, value in wanted.metadata.items()
        if record.metadata.get(name) != value
    ]
    vector = record.vector
    if vector is None or not np.allclose(vector, vector_of(wanted.text), atol=VECTOR_TOLERANCE):
        problems.append(f"wrong vector: {record.id!r}")
    return problems


def _twice(records: list[Any]) -> list[str]:
    """Records with one text: every text of a library is another."""
    places = defaultdict(list)
    for record in records:
        places[record.metadata.get("text")].append(record.id)
    return [f"twice: {text!r:.80} in {ids}" for text, ids in places.items() if len(ids) > 1]
