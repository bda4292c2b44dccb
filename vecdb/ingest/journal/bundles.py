"""Spells the values of a cache of embeddings.

    models   digest of the fingerprint, 16 bytes   sealed: number u32, dim u32, the fingerprint in words
    places   model u32, key of the text            bundle u64, row u16: where its vector is
    rows     number of the bundle u64              BUNDLE, keys, checksums u32 (little-endian), vectors float32

A bundle holds vectors of one model that were stored together; bundles are numbered in the order in which they were
stored. The checksum of a vector covers its model and key, so it is found out when a damaged place leads to another.
Promises: `vector_at` gives a vector that is the one asked for, bit for bit, or None. Concurrency: pure functions.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecdb.ingest.journal.config import BUNDLE_BYTES_MAX

KEY_BYTES: Final = 16
_BUNDLE = struct.Struct("<IIH6x")  # model, dim, rows
_PLACE = struct.Struct(">QH")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_HEAD_BYTES: Final = KEY_BYTES + 4
_LMDB_HEADER: Final = 16


def place_key(model: int, key: bytes) -> bytes:
    """Key in places."""
    return _U32.pack(model) + key


def place_keys(model: int, keys: Sequence[bytes]) -> list[bytes]:
    """`place_key` of each."""
    prefix = _U32.pack(model)
    return [prefix + key for key in keys]


def decode_place(value: bytes | memoryview) -> tuple[int, int] | None:
    """Bundle and row; None for a value that is none."""
    return _PLACE.unpack(value) if len(value) == _PLACE.size else None


def bundle_key(number: int) -> bytes:
    """Key in rows."""
    return _U64.pack(number)


def rows_per_bundle(dim: int) -> int:
    """As many as fit in BUNDLE_BYTES_MAX, and one at least."""
    return max(1, (BUNDLE_BYTES_MAX - _LMDB_HEADER - _BUNDLE.size) // (4 * dim + _HEAD_BYTES))


def encode_bundle(model: int, keys: Sequence[bytes], rows: NDArray[np.float32]) -> bytes:
    """Value of rows."""
    raw, size, crc32 = memoryview(rows.tobytes()), 4 * rows.shape[1], zlib.crc32
    checksums = [
        crc32(raw[start : start + size], crc32(key, model))
        for key, start in zip(keys, range(0, len(raw), size), strict=True)
    ]
    head = _BUNDLE.pack(model, rows.shape[1], len(keys))
    return b"".join((head, *keys, np.array(checksums, dtype="<u4").tobytes(), raw))


def encode_places(model: int, keys: Sequence[bytes], bundle: int) -> list[tuple[bytes, bytes]]:
    """Keys and values of places for the vectors of a bundle, in their order."""
    prefix, pack = _U32.pack(model), _PLACE.pack
    return [(prefix + key, pack(bundle, row)) for row, key in enumerate(keys)]


def vector_at(bundle: memoryview, row: int, model: int, key: bytes, dim: int) -> NDArray[np.float32] | None:
    """A copy of the vector in a row, if it is sound and that of this model and key."""
    if len(bundle) < _BUNDLE.size:
        return None
    _, _, count = _BUNDLE.unpack_from(bundle)
    start = _BUNDLE.size + count * _HEAD_BYTES + row * 4 * dim
    if row >= count or len(bundle) < start + 4 * dim:
        return None
    vector = bytes(bundle[start : start + 4 * dim])
    place = _BUNDLE.size + count * KEY_BYTES + row * 4
    if _checksum(model, key, vector) != bundle[place : place + 4]:
        return None
    return np.frombuffer(vector, dtype=np.float32)


def places_in(bundle: memoryview) -> Iterator[tuple[bytes, int]]:
    """The keys in places of a bundle's vectors, as far as they can be made out, with their rows."""
    if len(bundle) < _BUNDLE.size:
        return
    model, _, count = _BUNDLE.unpack_from(bundle)
    keys = bytes(bundle[_BUNDLE.size : _BUNDLE.size + count * KEY_BYTES])
    for row in range(len(keys) // KEY_BYTES):
        yield place_key(model, keys[row * KEY_BYTES : (row + 1) * KEY_BYTES]), row


def _checksum(model: int, key: bytes, vector: bytes) -> bytes:
    return zlib.crc32(vector, zlib.crc32(key, model)).to_bytes(4, "little")
