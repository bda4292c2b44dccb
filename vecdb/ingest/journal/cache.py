"""Keeps embeddings that were paid for, by model and text, so that nothing is embedded twice.

A directory with an LMDB environment (`bundles` has its tables), shared by all pipelines that are given it.
Promises: what `put_many` stored survives the death of the process, and but for the last call a power cut. A vector
comes back bit for bit or not at all: damage of a value is a miss. The cache takes about `max_bytes` on the disk: the
oldest vectors go, except for those that were used while they were among the oldest; a call that stores n vectors
removes a few times n at most, so that none takes long.
Invariants: bundles are numbered upwards, by whichever process; a place leads to a bundle that has its vector, or the
bundle is gone.
Concurrency: any number of threads and processes. Writers take turns, by LMDB's lock, which the death of one frees.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import DimensionMismatchError, InvalidConfigError, StorageFullError
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.protocol import Role
from vecdb.ingest.journal import bundles
from vecdb.ingest.journal.config import (
    CACHE_BYTES_DEFAULT,
    CACHE_BYTES_MIN,
    EVICTED_RATIO_MAX,
    EVICTED_ROWS_MIN,
    READER_CHECK_PUTS,
    TOUCH_FILL_MIN,
    TOUCH_OLDEST_SHARE,
    TOUCHED_ROWS_MAX,
)
from vecdb.ingest.journal.places import open_place, told
from vecdb.storage.environment import Environment
from vecdb.storage.layout import CACHE, CacheTable
from vecdb.storage.sealed import get_sealed, put_sealed
from vecdb.storage.transactions import ReadTransaction, WriteTransaction

Touched: TypeAlias = dict[tuple[ModelFingerprint, bytes], NDArray[np.float32]]
"""Vectors that were used while they were among the oldest."""

_IMAGE: Final = b"image"
_ROLES: Final[tuple[Role, ...]] = ("document", "query")
_BEGUN: Final = {role: blake2b(digest_size=bundles.KEY_BYTES, person=role.encode()) for role in _ROLES}
"""Hashes that nothing was put into: a copy is made in half the time of a new one."""
_NO_BUNDLE: Final = memoryview(b"")


def text_key(text: str, role: Role = "document") -> bytes:
    """The key of a text: 16 bytes."""
    key = _BEGUN[role].copy()
    key.update(text.encode("utf-8", "surrogatepass"))
    return key.digest()


def text_keys(texts: Sequence[str]) -> list[bytes]:
    """`text_key` of each, of documents."""
    begun, keys = _BEGUN["document"].copy, []
    for text in texts:
        key = begun()
        key.update(text.encode("utf-8", "surrogatepass"))
        keys.append(key.digest())
    return keys


def image_key(content_hash: bytes) -> bytes:
    """The key of an image, from the hash of its bytes."""
    return blake2b(content_hash, digest_size=bundles.KEY_BYTES, person=_IMAGE).digest()


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """How full a cache is. `file_bytes` is what the disk has given: it never shrinks, what is free in it is used."""

    vectors: int
    used_bytes: int
    file_bytes: int
    max_bytes: int


class EmbeddingCache:
    """A cache in a directory. A context manager."""

    def __init__(self, environment: Environment, directory: Path, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._environment = environment
        self._lock = threading.Lock()
        self._touched: Touched = {}
        self._puts = 0
        self._digests: dict[ModelFingerprint, bytes] = {}

    @classmethod
    def open(cls, directory: Path | str, *, max_bytes: int = CACHE_BYTES_DEFAULT) -> EmbeddingCache:
        """Open a cache, and create it where there is none. `max_bytes` is this opener's: the last one to write decides.

        Errors: InvalidConfigError, CorruptionError, FormatVersionError, StorageFullError, StorageError.
        """
        if max_bytes < CACHE_BYTES_MIN:
            raise InvalidConfigError(
                f"the cache of embeddings is to take {max_bytes} bytes; give at least {CACHE_BYTES_MIN}"
            )
        return cls(open_place(Path(directory), CACHE, "rw"), Path(directory), max_bytes)

    def close(self) -> None:
        """Store what waits to be, and close. Repeated calls do nothing."""
        if self._environment.closed:
            return
        try:
            self._store_touched()
        finally:
            self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # --- reading -----------------------------------------------------------------------------------------------------

    def get_many(self, model: ModelFingerprint, keys: Sequence[bytes]) -> list[NDArray[np.float32] | None]:
        """The vectors, in the order of `keys` (`text_key`, `image_key`): read-only; None: not there, or damaged."""
        found: list[NDArray[np.float32] | None] = [None] * len(keys)
        with self._reading() as transaction:
            number = self._model_number(transaction, model)
            if number is None:
                return found
            places = _places(transaction, number, keys)
            if places.count(None) == len(places):
                return found
            old = self._old_bundles(transaction)
            opened: dict[int, memoryview] = {}
            for index, place in enumerate(places):
                if place is None:
                    continue
                bundle, row = place
                view = opened.get(bundle)
                if view is None:
                    view = opened[bundle] = _bundle(transaction, bundle)
                found[index] = vector = bundles.vector_at(view, row, number, keys[index], model.dim)
                if bundle < old and vector is not None:
                    self._touched[model, keys[index]] = vector
        if len(self._touched) >= TOUCHED_ROWS_MAX:
            self._store_touched()
        return found

    def has_many(self, model: ModelFingerprint, keys: Sequence[bytes]) -> list[bool]:
        """Which of them are there, unread; for plans."""
        with self._reading() as transaction:
            number = self._model_number(transaction, model)
            if number is None:
                return [False] * len(keys)
            return [place is not None for place in _places(transaction, number, keys)]

    def usage(self) -> CacheUsage:
        """How full the cache is."""
        with self._reading() as transaction:
            vectors, used = transaction.count(CacheTable.PLACES), _used_bytes(transaction)
        return CacheUsage(vectors, used, self._environment.file_bytes(), self.max_bytes)

    @contextmanager
    def _reading(self) -> Iterator[ReadTransaction]:
        with told(self.directory, CACHE), self._environment.begin_read() as transaction:
            yield transaction

    def _model_number(self, transaction: ReadTransaction | WriteTransaction, model: ModelFingerprint) -> int | None:
        stored = get_sealed(transaction, CacheTable.MODELS, self._digest(model))
        return None if stored is None else int.from_bytes(stored[:4], "big")

    def _digest(self, model: ModelFingerprint) -> bytes:
        digest = self._digests.get(model)
        if digest is None:
            digest = self._digests[model] = model.digest()
        return digest

    def _old_bundles(self, transaction: ReadTransaction) -> int:
        """The number below which bundles are among the oldest; 0 as long as there is room."""
        if _used_bytes(transaction) < TOUCH_FILL_MIN * self.max_bytes:
            return 0
        first = next((int.from_bytes(key, "big") for key, _ in transaction.items(CacheTable.ROWS)), 0)
        return first + int((_next_bundle(transaction) - first) * TOUCH_OLDEST_SHARE)

    # --- writing -----------------------------------------------------------------------------------------------------

    def put_many(
        self, model: ModelFingerprint, keys: Sequence[bytes], rows: NDArray[np.float32], *, are_new: bool = False
    ) -> None:
        """Keep a vector for each key, synced; those that are there already are passed over.

        `are_new` says that somebody has looked: what others have stored since is stored once more, and leads to the
        new place.

        Errors: DimensionMismatchError, StorageFullError (nothing was stored, what was there stays), StorageError.
        """
        if rows.shape != (len(keys), model.dim):
            raise DimensionMismatchError(
                f"{len(keys)} keys and vectors of shape {rows.shape}; {model} gives ({len(keys)}, {model.dim})",
                shape=rows.shape,
            )
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        touched = self._take_touched()
        self._puts += 1
        if self._puts % READER_CHECK_PUTS == 0:
            self._environment.check_readers()
        with self._writing() as transaction:
            number = self._numbered(transaction, model)
            if not are_new:
                fresh = _not_there(transaction, number, keys, model.dim)
                keys, rows = [keys[index] for index in fresh], rows[fresh]
            _store(transaction, number, keys, rows)
            self._finish(transaction, touched, len(keys))

    def _store_touched(self) -> None:
        touched = self._take_touched()
        if not touched:
            return
        try:
            with self._writing() as transaction:
                self._finish(transaction, touched, 0)
        except StorageFullError:
            # Nobody asked for this: they stay where they are, and go when their turn comes.
            return

    def _take_touched(self) -> Touched:
        with self._lock:
            touched, self._touched = self._touched, {}
        return touched

    def _finish(self, transaction: WriteTransaction, touched: Touched, stored: int) -> None:
        """Store what was used with the newest, and make room."""
        by_model: dict[ModelFingerprint, list[bytes]] = {}
        for model, key in touched:
            by_model.setdefault(model, []).append(key)
        for model, keys in by_model.items():
            rows = np.stack([touched[model, key] for key in keys])
            _store(transaction, self._numbered(transaction, model), keys, rows)
        _evict(transaction, self.max_bytes, max(EVICTED_ROWS_MIN, EVICTED_RATIO_MAX * (stored + len(touched))))

    def _numbered(self, transaction: WriteTransaction, model: ModelFingerprint) -> int:
        number = self._model_number(transaction, model)
        if number is None:
            number = transaction.count(CacheTable.MODELS)
            put_sealed(
                transaction,
                CacheTable.MODELS,
                [(self._digest(model), number.to_bytes(4, "big") + model.dim.to_bytes(4, "big") + str(model).encode())],
            )
        return number

    @contextmanager
    def _writing(self) -> Iterator[WriteTransaction]:
        with told(self.directory, CACHE), self._environment.write() as transaction:
            yield transaction


def _places(
    transaction: ReadTransaction | WriteTransaction, model: int, keys: Sequence[bytes]
) -> list[tuple[int, int] | None]:
    values = transaction.get_many(CacheTable.PLACES, bundles.place_keys(model, keys))
    if values.count(None) == len(values):
        return [None] * len(values)
    return [None if value is None else bundles.decode_place(value) for value in values]


def _bundle(transaction: ReadTransaction | WriteTransaction, number: int) -> memoryview:
    return transaction.get(CacheTable.ROWS, bundles.bundle_key(number)) or _NO_BUNDLE


def _not_there(transaction: WriteTransaction, model: int, keys: Sequence[bytes], dim: int) -> list[int]:
    """Indexes of the keys without a sound vector."""
    fresh = []
    for index, place in enumerate(_places(transaction, model, keys)):
        if place is not None:
            bundle, row = place
            if bundles.vector_at(_bundle(transaction, bundle), row, model, keys[index], dim) is not None:
                continue
        fresh.append(index)
    return fresh


def _store(transaction: WriteTransaction, model: int, keys: Sequence[bytes], rows: NDArray[np.float32]) -> None:
    number, step = _next_bundle(transaction), bundles.rows_per_bundle(rows.shape[1])
    places: list[tuple[bytes, bytes]] = []
    for start in range(0, len(keys), step):
        some = keys[start : start + step]
        value = bundles.encode_bundle(model, some, rows[start : start + step])
        transaction.put(CacheTable.ROWS, bundles.bundle_key(number), value)
        places += bundles.encode_places(model, some, number)
        number += 1
    places.sort()
    transaction.put_many(CacheTable.PLACES, places)


def _next_bundle(transaction: ReadTransaction | WriteTransaction) -> int:
    last = transaction.last_key(CacheTable.ROWS)
    return 0 if last is None else int.from_bytes(last, "big") + 1


def _evict(transaction: WriteTransaction, max_bytes: int, vectors: int) -> None:
    """Remove the oldest bundles until there is room, or about so many vectors are gone."""
    while vectors > 0 and _used_bytes(transaction) > max_bytes:
        oldest = next(transaction.items(CacheTable.ROWS), None)
        if oldest is None:
            return
        key, bundle = oldest
        number = int.from_bytes(key, "big")
        for place_key, row in bundles.places_in(bundle):
            vectors -= 1
            place = transaction.get(CacheTable.PLACES, place_key)
            if place is not None and bundles.decode_place(place) == (number, row):
                transaction.delete(CacheTable.PLACES, place_key)
        transaction.delete(CacheTable.ROWS, key)


def _used_bytes(transaction: ReadTransaction | WriteTransaction) -> int:
    return sum(transaction.used_bytes(table) for table in CacheTable)
