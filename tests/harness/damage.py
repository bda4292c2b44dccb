"""Damages copies of a database directory at random, and judges in a child process what the engine makes of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

import vecdb
from vecdb.config import EngineConfig
from vecdb.errors import VecDBError
from vecdb.types import FloatArray, Metadata, RecordId

PAGE_BYTES = 4096
DATA_FILE = "data.mdb"
MANIFEST_FILE = "MANIFEST"

Rng: TypeAlias = np.random.Generator
Outcome: TypeAlias = Literal["refused", "reported", "sound", "silent", "untyped"]
"""refused: a typed error at open. reported: verify names problems or raises a typed error. sound: every answer is as
before. silent: verify finds nothing, yet an answer differs. untyped: an error that is not vecdb's."""


def copy_database(source: Path, target: Path) -> None:
    """Copy the files of a closed database, without the lock files."""
    target.mkdir(mode=0o700)
    for name in (DATA_FILE, MANIFEST_FILE):
        shutil.copy(source / name, target / name)


def flip_bits(path: Path, rng: Rng, count: int = 1) -> str:
    """Flip one bit in each of `count` random bytes."""
    data = bytearray(path.read_bytes())
    offsets = rng.integers(0, len(data), count)
    for offset in offsets:
        data[offset] ^= 1 << int(rng.integers(0, 8))
    path.write_bytes(data)
    return f"flipped a bit at {offsets.tolist()} of {path.name}"


def zero_range(path: Path, rng: Rng) -> str:
    """Overwrite up to three pages' worth of bytes with zeros."""
    data = bytearray(path.read_bytes())
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 3 * PAGE_BYTES))
    end = min(len(data), start + length)
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return f"zeroed bytes {start}..{end} of {path.name}"


def truncate(path: Path, rng: Rng) -> str:
    """Cut the file anywhere but in its last page, which may be unused."""
    size = int(rng.integers(0, max(1, path.stat().st_size - PAGE_BYTES)))
    with path.open("r+b") as file:
        file.truncate(size)
    return f"truncated {path.name} to {size} bytes"


def duplicate_page(path: Path, rng: Rng) -> str:
    """Copy one page over another, as a misdirected write does."""
    data = bytearray(path.read_bytes())
    source, target = rng.integers(0, len(data) // PAGE_BYTES, 2) * PAGE_BYTES
    data[target : target + PAGE_BYTES] = data[source : source + PAGE_BYTES]
    path.write_bytes(data)
    return f"copied the page at {source} over that at {target} of {path.name}"


def scramble_page(path: Path, rng: Rng) -> str:
    """Fill one page with random bytes."""
    data = bytearray(path.read_bytes())
    target = int(rng.integers(0, len(data) // PAGE_BYTES)) * PAGE_BYTES
    data[target : target + PAGE_BYTES] = rng.bytes(PAGE_BYTES)
    path.write_bytes(data)
    return f"filled the page at {target} of {path.name} with noise"


def mutate(directory: Path, rng: Rng) -> str:
    """Apply one random mutation to a database directory; returns what was done."""
    data, manifest = directory / DATA_FILE, directory / MANIFEST_FILE
    mutations: list[tuple[float, Callable[[], str]]] = [
        (0.25, lambda: flip_bits(data, rng)),
        (0.15, lambda: flip_bits(data, rng, 50)),
        (0.15, lambda: zero_range(data, rng)),
        (0.13, lambda: duplicate_page(data, rng)),
        (0.10, lambda: scramble_page(data, rng)),
        (0.12, lambda: truncate(data, rng)),
        (0.05, lambda: flip_bits(manifest, rng)),
        (0.03, lambda: truncate_anywhere(manifest, rng)),
        (0.02, lambda: _remove(data if rng.random() < 0.5 else manifest)),
    ]
    chosen = int(rng.choice(len(mutations), p=[share for share, _ in mutations]))
    return mutations[chosen][1]()


def truncate_anywhere(path: Path, rng: Rng) -> str:
    """Cut a small file at any byte."""
    size = int(rng.integers(0, path.stat().st_size))
    path.write_bytes(path.read_bytes()[:size])
    return f"truncated {path.name} to {size} bytes"


def _remove(path: Path) -> str:
    path.unlink()
    return f"removed {path.name}"


@dataclass(frozen=True, slots=True)
class Golden:
    """What the undamaged database answers: every record, and exact searches for `queries` by collection."""

    records: dict[str, dict[RecordId, tuple[Metadata, dict[str, FloatArray]]]]
    queries: FloatArray
    answers: dict[str, list[tuple[list[RecordId], list[float]]]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one damaged copy."""

    outcome: Outcome
    detail: str


def remember(database: Any, queries: FloatArray) -> Golden:
    """Read everything the database holds."""
    records = {
        name: {
            record.id: (record.metadata, dict(record.vectors))
            for record in database.collection(name).iterate(with_vectors=True)
        }
        for name in database.list_collections()
    }
    return Golden(records, queries, {name: exact_answers(database.collection(name), queries) for name in records})


def exact_answers(collection: Any, queries: FloatArray) -> list[tuple[list[RecordId], list[float]]]:
    """Ids and distances of the exact search of the first field for every query."""
    field = next(iter(collection.fields))
    results = [collection.search(query, limit=10, field=field, exact=True) for query in queries]
    return [(result.ids, result.distances.tolist()) for result in results]


def judge_copies(pipe: Connection, golden: Golden) -> None:
    """Serve ("judge", path, mode, search_first) requests with ("verdict", Verdict) until the parent hangs up."""
    while True:
        try:
            path, mode, search_first = pipe.recv()
        except EOFError:
            return
        pipe.send(("verdict", judge(path, mode, search_first=search_first, golden=golden)))


def judge(path: Path, mode: Any, *, search_first: bool, golden: Golden) -> Verdict:
    """Open, optionally search before anything was verified, verify, and compare with the undamaged database."""
    config = EngineConfig(threads=1, progress=False, map_bytes=1 << 32)
    try:
        database = vecdb.open(path, mode=mode, create=False, config=config)
    except VecDBError as error:
        return Verdict("refused", f"{type(error).__name__}: {error}")
    except Exception as error:
        return Verdict("untyped", f"open: {error!r}")
    with database:
        return _judge_open(database, search_first=search_first, golden=golden)


def _judge_open(database: Any, *, search_first: bool, golden: Golden) -> Verdict:
    step = "search"
    try:
        if search_first:
            _search_unverified(database, golden)
        step = "verify"
        report = database.verify()
        if not report.ok:
            return Verdict("reported", report.problems[0])
        step = "read"
        found = remember(database, golden.queries)
    except VecDBError as error:
        outcome: Outcome = "silent" if step == "read" else "reported"
        return Verdict(outcome, f"{step}: {type(error).__name__}: {error}")
    except Exception as error:
        return Verdict("untyped", f"{step}: {error!r}")
    difference = _difference(golden, found)
    return Verdict("silent", difference) if difference else Verdict("sound", "")


def _search_unverified(database: Any, golden: Golden) -> None:
    """Search and read a database nobody has verified: any answer or typed error will do, but no signal."""
    for name in golden.records:
        for query in golden.queries:
            try:
                collection = database.collection(name)
                field = next(iter(collection.fields))
                collection.search(query, limit=10, field=field)
                collection.search(query, limit=10, field=field, exact=True)
                collection.get(list(golden.records[name])[:20], with_vectors=True)
            except VecDBError:
                continue


def _difference(golden: Golden, found: Golden) -> str:
    """The first difference, or an empty text."""
    if golden.records.keys() != found.records.keys():
        return f"collections are {sorted(found.records)}, not {sorted(golden.records)}"
    for name, records in golden.records.items():
        if records.keys() != found.records[name].keys():
            return f"{name}: {len(found.records[name])} records, not the {len(records)} written"
        for record_id, (metadata, vectors) in records.items():
            found_metadata, found_vectors = found.records[name][record_id]
            if metadata != found_metadata:
                return f"{name}: the metadata of {record_id!r} differs"
            if vectors.keys() != found_vectors.keys():
                return f"{name}: the fields of {record_id!r} differ"
            if any(not np.array_equal(vectors[key], found_vectors[key]) for key in vectors):
                return f"{name}: a vector of {record_id!r} differs"
        if golden.answers[name] != found.answers[name]:
            return f"{name}: an exact search answers differently"
    return ""
