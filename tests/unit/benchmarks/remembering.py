"""A database for the tests of suites: it compares with everything it holds, and keeps it by path in this process."""

from __future__ import annotations

import io
import json
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from benchmarks.databases.conditions import Condition
from benchmarks.databases.protocol import DatabaseSpec, Hits, Matrix, Metadata, NoBatch, Place
from benchmarks.method.answering import answer_requests
from benchmarks.method.process import WorkerError
from benchmarks.suites import db_worker


class Remembering(NoBatch):
    """An effort is how many thousandths of the rows are looked at, those inserted first; 0 is all."""

    stored: ClassVar[dict[Path, dict[str, tuple[Matrix, Metadata]]]] = {}
    efforts: ClassVar[list[int]] = []
    """What was set since the list was emptied."""

    def __init__(self, place: Place) -> None:
        self._path, self._effort = place.path, 0
        self._kept: dict[str, tuple[list[str], Matrix]] = {}
        """Ids and vectors that were kept before, by condition and effort; a write empties it."""

    @property
    def _rows(self) -> dict[str, tuple[Matrix, Metadata]]:
        return self.stored[self._path]

    def create(self) -> None:
        self.stored[self._path] = {}

    def open(self) -> None:
        if self._path not in self.stored:
            raise OSError("nothing here")

    def insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        assert not self._rows.keys() & set(ids)
        self._kept.clear()
        self._rows.update(zip(ids, zip(vectors, metadata, strict=True), strict=True))

    def replace(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        assert self._rows.keys() >= set(ids)
        self._kept.clear()
        self._rows.update(zip(ids, zip(vectors, metadata, strict=True), strict=True))

    def delete(self, ids: Sequence[str]) -> None:
        self._kept.clear()
        for key in ids:
            del self._rows[key]

    def make_ready(self) -> None: ...

    def set_effort(self, effort: int) -> None:
        self._effort = effort
        self.efforts.append(effort)

    def search(self, query: Matrix, k: int) -> Hits:
        return self.search_matching(query, k, ["ge", "bucket", 0])

    def search_filtered(self, query: Matrix, k: int, column: str, below: int) -> Hits:
        return self.search_matching(query, k, ["lt", column, below])

    def search_matching(self, query: Matrix, k: int, condition: Condition) -> Hits:
        name = f"{self._effort} {condition}"
        if name not in self._kept:
            seen = list(self._rows)[: len(self._rows) * (self._effort or 1_000) // 1_000]
            kept = [key for key in seen if matches(condition, self._rows[key][1])]
            self._kept[name] = kept, np.array([self._rows[key][0] for key in kept]).reshape(len(kept), len(query))
        keys, vectors = self._kept[name]
        return [(keys[place], self._rows[keys[place]][1]) for place in np.argsort(-(vectors @ query))[:k]]

    def index_everything(self) -> None:
        """It looks at every record anyway."""

    def count_matching(self, condition: Condition) -> int:
        return sum(matches(condition, fields) for _, fields in self._rows.values())

    def close(self) -> None: ...


def matches(condition: Condition, fields: Metadata) -> bool:
    """What a condition says of one record, plainly."""
    name, *parts = condition
    if name in {"and", "or"}:
        return (all if name == "and" else any)(matches(part, fields) for part in parts)
    if name in {"not", "ne"}:
        return not matches(parts[0] if name == "not" else ["eq", *parts], fields)
    value, wanted = fields[parts[0]], parts[1]
    values = value if isinstance(value, list) else [value]
    if name == "in":
        return any(one in wanted for one in values)
    compare = operator.eq if name == "contains" else getattr(operator, name)
    return any(compare(one, wanted) for one in values)


def spec_of(name: str, make: type[Remembering] = Remembering, **facts: Any) -> DatabaseSpec:
    """Remembering as a row of a comparison."""
    return DatabaseSpec(name, make, ("numpy",), facts.pop("efforts", (0,)), "None.", **facts)


class LocalWorker:
    """A worker in this process, where what a test has patched is to be found."""

    def __init__(self) -> None:
        self._actions = db_worker.actions()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def ask(self, request: Mapping[str, Any], within_s: float) -> dict[str, Any]:
        """As a process answers."""
        if within_s <= 0:
            raise WorkerError("timeout", "no answer")
        sink = io.StringIO()
        answer_requests(self._actions, io.StringIO(json.dumps(request) + "\n"), sink)
        answer: dict[str, Any] = json.loads(sink.getvalue())
        if "failed" in answer:
            raise WorkerError("failed", answer["failed"])
        return answer
