"""Compares what two fields of a collection, filled by two models, find: overlap of hits, recall of known pairs.

Queries are texts, embedded by both models as queries; or stored records, whose two vectors are there already, so that
comparing costs nothing: each asks for its neighbours and does not find itself.
Promises: both models search the same records, those that have both vectors, exactly, so that what differs are the
models and not their indexes. The same seed gives the same sample. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np

from vecdb.errors import InvalidRequestError, VecDBError
from vecdb.filters import F, Filter
from vecdb.ingest.reembedding.config import (
    COMPARE_BATCH,
    COMPARE_K_DEFAULT,
    COMPARE_QUERIES_DEFAULT,
    EXAMPLES_SHOWN,
    HITS_SHOWN,
    TEXT_CHARS_SHOWN,
)
from vecdb.ingest.reembedding.due import text_of
from vecdb.ingest.reembedding.queries import Query
from vecdb.types import FloatArray, RecordId

Hits: TypeAlias = list[RecordId]
EmbedQueries: TypeAlias = Callable[[Sequence[str]], FloatArray]
"""Turns texts of queries into rows; see `protocol.Embedder.embed` with role="query"."""

SAMPLED_MORE: Final = 2
"""Parts of ids differ in size, so twice the records wanted are asked for."""


@dataclass(frozen=True, slots=True)
class Example:
    """A query whose hits differ: by text, or the id of the record that asked."""

    query: str | RecordId
    overlap: float
    old: tuple[RecordId, ...]
    new: tuple[RecordId, ...]


@dataclass(frozen=True, slots=True)
class PairFigures:
    """How many known pairs of query and record each model finds among its best k. `unknown` name no record."""

    pairs: int
    old_recall: float
    new_recall: float
    only_old: int
    only_new: int
    old_mrr: float
    new_mrr: float
    unknown: int


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """Old against new. `overlap`: the mean share of the best k that both find; `same_first`: of equal first hits.

    `texts` are those of the records that the examples show first, and of those that asked.
    """

    k: int
    queries: int
    records: int
    overlap: float
    overlap_low: float
    overlap_high: float
    same_first: float
    pairs: PairFigures | None
    examples: tuple[Example, ...]
    texts: Mapping[RecordId, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Queries with their hits under one model each."""

    names: list[str | RecordId]
    old: list[Hits]
    new: list[Hits]


def compare_stored(
    collection: Any,
    old: str,
    new: str,
    *,
    k: int = COMPARE_K_DEFAULT,
    sample: int = COMPARE_QUERIES_DEFAULT,
    seed: int = 0,
) -> ComparisonReport:
    """Compare by neighbours of stored records, which needs no model."""
    both = _both(old, new)
    records = _require_records(collection, old, new)
    chosen = sampled(collection, both, records, sample, seed)
    asked = _Asked([record.id for record in chosen], [], [])
    for part in _parts(chosen):
        for name, found in ((old, asked.old), (new, asked.new)):
            vectors = np.stack([record.vectors[name] for record in part])
            hits = _search(collection, vectors, k + 1, name, both)
            found.extend([i for i in ids if i != record.id][:k] for ids, record in zip(hits, part, strict=True))
    return _report(asked, k, records, None)


def compare_queries(
    collection: Any,
    old: tuple[str, EmbedQueries],
    new: tuple[str, EmbedQueries],
    queries: Sequence[Query],
    *,
    k: int = COMPARE_K_DEFAULT,
) -> ComparisonReport:
    """Compare by texts. `old` and `new` are a field and what embeds queries for it."""
    records = _require_records(collection, old[0], new[0])
    both = _both(old[0], new[0])
    asked = _Asked([query.text for query in queries], [], [])
    for part in _parts(queries):
        for (name, embed), found in ((old, asked.old), (new, asked.new)):
            found.extend(_search(collection, embed([query.text for query in part]), k, name, both))
    return _report(asked, k, records, _pairs(collection, queries, asked, both))


def with_texts(
    report: ComparisonReport, collection: Any, paths: Sequence[str], *, asked_by_records: bool
) -> ComparisonReport:
    """The report with the texts that tell a person what its examples are about; records without one are left out."""
    wanted: dict[RecordId, None] = {}
    for example in report.examples:
        asking = [example.query] if asked_by_records else []
        wanted.update(dict.fromkeys([*asking, *example.old[:HITS_SHOWN], *example.new[:HITS_SHOWN]]))
    texts: dict[RecordId, str] = {}
    for record in collection.get(list(wanted)) if wanted else []:
        with suppress(VecDBError):
            if record is not None:
                texts[record.id] = text_of(record.metadata, paths)[:TEXT_CHARS_SHOWN]
    return replace(report, texts=texts)


def sampled(collection: Any, wanted: Filter, records: int, count: int, seed: int) -> list[Any]:
    """About evenly drawn records that match, with vectors: those of one part of the ids, the seed says which."""
    parts = max(1, records // (count * SAMPLED_MORE))
    found: list[Any] = []
    for index in range(parts):
        part = wanted & F.slice((seed + index) % parts, parts) if parts > 1 else wanted
        found += collection.scroll(count * SAMPLED_MORE * 2, filter=part, with_vectors=True)
        if len(found) >= count:
            break
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[position] for position in order[:count]]


def _both(old: str, new: str) -> Filter:
    return F.has_vector(old) & F.has_vector(new)


def _require_records(collection: Any, old: str, new: str) -> int:
    records: int = collection.count(_both(old, new))
    if records:
        return records
    raise InvalidRequestError(
        f"no record of {collection.name!r} has a vector of both models yet; let vecdb reembed embed some first",
        collection=collection.name,
    )


def _parts(items: Sequence[Any]) -> Iterator[Any]:
    for start in range(0, len(items), COMPARE_BATCH):
        yield items[start : start + COMPARE_BATCH]


def _search(collection: Any, vectors: FloatArray, k: int, field: str, wanted: Filter) -> list[Hits]:
    found = collection.search_batch(vectors, limit=k, field=field, exact=True, filter=wanted)
    return [list(result.ids) for result in found]


def _report(asked: _Asked, k: int, records: int, pairs: PairFigures | None) -> ComparisonReport:
    shares = np.array([_overlap(old, new) for old, new in zip(asked.old, asked.new, strict=True)])
    first = np.array([old[:1] == new[:1] for old, new in zip(asked.old, asked.new, strict=True)])
    spread = 1.96 * float(shares.std()) / max(1, len(shares)) ** 0.5
    return ComparisonReport(
        k=k,
        queries=len(shares),
        records=records,
        overlap=float(shares.mean()),
        overlap_low=max(0.0, float(shares.mean()) - spread),
        overlap_high=min(1.0, float(shares.mean()) + spread),
        same_first=float(first.mean()),
        pairs=pairs,
        examples=tuple(
            Example(asked.names[row], float(shares[row]), tuple(asked.old[row]), tuple(asked.new[row]))
            for row in np.argsort(shares, kind="stable")[:EXAMPLES_SHOWN]
            if shares[row] < 1
        ),
    )


def _overlap(old: Hits, new: Hits) -> float:
    """Share of the hits that are in both; 1 where neither finds any."""
    most = max(len(old), len(new))
    return len(set(old) & set(new)) / most if most else 1.0


def _pairs(collection: Any, queries: Sequence[Query], asked: _Asked, both: Filter) -> PairFigures | None:
    wanted = sorted({one for query in queries for answer in query.answers for one in answer}, key=repr)
    if not wanted:
        return None
    there = _existing(collection, wanted, both)
    old, new, unknown = [], [], 0
    for query, *found in zip(queries, asked.old, asked.new, strict=True):
        for answer in query.answers:
            if not answer & there:
                unknown += 1
                continue
            old.append(_reciprocal_rank(found[0], answer))
            new.append(_reciprocal_rank(found[1], answer))
    before, after = np.array(old), np.array(new)
    return PairFigures(
        pairs=len(before),
        old_recall=float((before > 0).mean()) if len(before) else 0.0,
        new_recall=float((after > 0).mean()) if len(after) else 0.0,
        only_old=int(((before > 0) & (after == 0)).sum()),
        only_new=int(((after > 0) & (before == 0)).sum()),
        old_mrr=float(before.mean()) if len(before) else 0.0,
        new_mrr=float(after.mean()) if len(after) else 0.0,
        unknown=unknown,
    )


def _existing(collection: Any, wanted: Sequence[RecordId], both: Filter) -> set[RecordId]:
    """Those of the ids whose records have both vectors, and so can be found at all."""
    found: set[RecordId] = set()
    for part in _parts(wanted):
        found.update(record.id for record in collection.scroll(COMPARE_BATCH, filter=both & F.id.in_(list(part))))
    return found


def _reciprocal_rank(hits: Hits, answer: frozenset[RecordId]) -> float:
    """1 / the place of the answer among the hits, 0 where it is not."""
    return next((1 / place for place, hit in enumerate(hits, start=1) if hit in answer), 0.0)
