"""Writes and reads blocks: what one metadata index knows of BLOCK_SLOTS consecutive slots, as kernels scan it in place.

A value of the columns table is a header of 48 bytes, a payload, and zeros up to a full number of pages less 16 bytes,
so that LMDB gives it pages of its own, 16 bytes in: the payload lies on a multiple of 64 and stays where it is until
the block is written again. Header, little-endian:

    0 magic "VDBK" | 4 version u32 | 8 payload bytes u64 | 16 crc32 of table, key, payload u32 | 20 zero (28 bytes)

Payload, little-endian, of B = BLOCK_SLOTS slots:

    0 width u8 | 4 lists u32 | 8 base i64 | 16 least key i64 | 24 greatest key i64 | 32 elements u32 | 36 payload bytes
    u32, then where list slots (40), starts (44) and elements (48) begin, u32 each, and 12 bytes of zero
    64 bits of scalars, lists, nulls, exceptions, texts, B / 8 bytes each
    64 + 5 B / 8 keys of the scalars less base, unsigned, of `width` bytes (0, 1, 2, 4 or 8) each; 0 where there is none
    list slots u16 (ascending) | starts u32 (lists + 1) | elements i64

A slot is a scalar, a list, null, an exception (its record must be looked at) or none of them: missing. A text is a
value that came from a str (in a text index: from several). Least and greatest are over scalars and elements; least >
greatest when there are none.
Promises: `decode_block` and the kernels read nothing outside the payload, whatever it holds.
Invariants: a block is never changed in place. Concurrency: pure functions.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from vecdb.config import BLOCK_SLOTS
from vecdb.storage.codec import Value, corrupt_value
from vecdb.storage.keys import Table, column_prefix, prefix_stop, slot_from_key
from vecdb.storage.pagefile import BIG_DATA, HEADER_BYTES, leaf_entries
from vecdb.storage.transactions import ReadTransaction

__all__ = [
    "BLOCK_HEADER_BYTES",
    "EXCEPTION",
    "LIST",
    "MISSING",
    "NULL",
    "SCALAR",
    "TEXT",
    "Block",
    "block_address",
    "check_block",
    "decode_block",
    "encode_block",
    "open_block",
    "open_blocks",
    "seal_block",
]

MISSING: Final = 0
SCALAR: Final = 1
LIST: Final = 2
NULL: Final = 3
EXCEPTION: Final = 4
TEXT: Final = 5
"""Not a state of its own: the bits of values that came from strs."""

BLOCK_HEADER_BYTES: Final = 48
_MAGIC: Final = b"VDBK"
_VERSION: Final = 1
_HEADER = struct.Struct("<4sIQI28x")
_HEAD = struct.Struct("<B3xIqqqIIIII12x")
_BITMAP_BYTES: Final = BLOCK_SLOTS // 8
_BITMAPS: Final = 5
_KEYS_AT: Final = _HEAD.size + _BITMAPS * _BITMAP_BYTES
_SEED: Final = zlib.crc32(Table.COLUMNS.label.encode())
_PAGE_BYTES: Final = min(mmap.PAGESIZE, 32768)
_WIDTHS: Final = {0: None, 1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}

Keys = npt.NDArray[np.int64]


@dataclass(slots=True)
class Block:
    """A block taken apart, to be changed: `states`, `keys` of the scalars, `texts`, all (B,), elements of lists."""

    states: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(BLOCK_SLOTS, dtype=np.uint8))
    keys: Keys = field(default_factory=lambda: np.zeros(BLOCK_SLOTS, dtype=np.int64))
    texts: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(BLOCK_SLOTS, dtype=np.bool_))
    lists: dict[int, Keys] = field(default_factory=dict)


def encode_block(block: Block) -> bytes:
    """Payload of a block. About 60 µs, and 1 µs for each list."""
    scalars = block.states == SCALAR
    keys = block.keys[scalars]
    slots = np.flatnonzero(block.states == LIST)
    parts = [block.lists[slot] for slot in slots.tolist()]
    elements = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    known = np.concatenate([keys, elements])
    least, greatest = (int(known.min()), int(known.max())) if len(known) else (0, -1)
    base, width, deltas = _deltas(block.keys, scalars)
    starts = np.zeros(len(slots) + 1, dtype=np.uint32)
    starts[1:] = np.cumsum([len(part) for part in parts], dtype=np.uint32)
    slots_at = _KEYS_AT + len(deltas)
    starts_at = _aligned(slots_at + 2 * len(slots), 4)
    elements_at = _aligned(starts_at + 4 * len(starts), 8)
    size = elements_at + 8 * len(elements)
    head = _HEAD.pack(width, len(slots), base, least, greatest, len(elements), size, slots_at, starts_at, elements_at)
    payload = bytearray(size)
    bits = [np.packbits(block.states == state, bitorder="little") for state in (SCALAR, LIST, NULL, EXCEPTION)]
    bits.append(np.packbits(block.texts, bitorder="little"))
    payload[:slots_at] = b"".join((head, *(one.tobytes() for one in bits), deltas))
    payload[slots_at : slots_at + 2 * len(slots)] = slots.astype("<u2").tobytes()
    payload[starts_at : starts_at + 4 * len(starts)] = starts.astype("<u4").tobytes()
    payload[elements_at:] = elements.astype("<i8").tobytes()
    return bytes(payload)


def _deltas(keys: Keys, scalars: npt.NDArray[np.bool_]) -> tuple[int, int, bytes]:
    """(base, width, keys less base as bytes): differences are taken modulo 2^64, so they hold any two int64."""
    if not scalars.any():
        return 0, 0, b""
    base = int(keys[scalars].min())
    deltas = keys.view(np.uint64) - np.uint64(base % 2**64)
    deltas[~scalars] = 0
    largest = int(deltas.max())
    width = next(width for width in _WIDTHS if largest < 1 << 8 * width)
    kind = _WIDTHS[width]
    return base, width, b"" if kind is None else deltas.astype(kind).tobytes()


def decode_block(payload: Value) -> Block:
    """Take a payload (of `open_block`) apart. ValueError when its parts do not fit together."""
    view = memoryview(payload)
    width, lists, base, _, _, count, size, slots_at, starts_at, elements_at = _HEAD.unpack_from(view)
    slots = np.frombuffer(view, "<u2", lists, slots_at)
    starts = np.frombuffer(view, "<u4", lists + 1, starts_at).astype(np.int64)
    elements = np.frombuffer(view, "<i8", count, elements_at)
    if width not in _WIDTHS or size != len(view) or starts[0] or np.any(np.diff(starts) < 0) or starts[-1] != count:
        raise ValueError("a block's parts do not fit together")
    bits = np.frombuffer(view, np.uint8, _BITMAPS * _BITMAP_BYTES, _HEAD.size)
    flags = np.unpackbits(bits, bitorder="little").reshape(_BITMAPS, BLOCK_SLOTS).astype(np.bool_)
    block = Block(texts=flags[4])
    for row, state in enumerate((SCALAR, LIST, NULL, EXCEPTION)):
        block.states[flags[row]] = state
    kind = _WIDTHS[width]
    if kind is not None:
        deltas = np.frombuffer(view, kind, BLOCK_SLOTS, _KEYS_AT).astype(np.uint64)
        block.keys = (deltas + np.uint64(base % 2**64)).view(np.int64)
    else:
        block.keys[:] = base
    block.keys[block.states != SCALAR] = 0
    for row, slot in enumerate(slots.tolist()):
        block.lists[slot] = elements[starts[row] : starts[row + 1]].astype(np.int64)
    return block


def seal_block(key: bytes, payload: bytes) -> bytes:
    """Value of the columns table for a payload."""
    crc = zlib.crc32(payload, zlib.crc32(key, _SEED))
    size = BLOCK_HEADER_BYTES + len(payload)
    pages = -(-(HEADER_BYTES + size) // _PAGE_BYTES)
    return (
        _HEADER.pack(_MAGIC, _VERSION, len(payload), crc) + payload + bytes(pages * _PAGE_BYTES - HEADER_BYTES - size)
    )


def open_block(key: bytes, value: Value) -> memoryview:
    """Payload of a value, without a copy. CorruptionError when it does not match its checksum."""
    view = memoryview(value)
    payload = view[BLOCK_HEADER_BYTES : BLOCK_HEADER_BYTES + _payload_bytes(key, view, len(view))]
    if zlib.crc32(payload, zlib.crc32(key, _SEED)) != _HEADER.unpack_from(view)[3]:
        raise corrupt_value(Table.COLUMNS, key)
    return payload


def check_block(key: bytes, value: Value) -> Block:
    """Read a value whole. CorruptionError when its checksum or its parts do not fit."""
    try:
        return decode_block(open_block(key, value))
    except ValueError:
        raise corrupt_value(Table.COLUMNS, key, "is no block") from None


def open_blocks(transaction: ReadTransaction, collection: int, index: int, part: int, count: int) -> Keys:
    """Addresses of the first `count` blocks of a column, as kernels take them: 0 where there is none.

    Headers are checked, checksums of payloads are not. By file reads, as `chunks.open_column`; about 4 µs a block. Keep
    the transaction open as long as the addresses are used.
    """
    prefix = column_prefix(collection, index, part)
    file, name = transaction.page_file(), Table.COLUMNS.label
    entries = list(leaf_entries(file, name, transaction.tree(Table.COLUMNS), prefix, prefix_stop(prefix)))
    pages = np.array([entry.page for entry in entries], dtype=np.int64)
    start = HEADER_BYTES + BLOCK_HEADER_BYTES
    heads = memoryview(file.read_many(name, pages, start + _HEAD.size).data)
    table = np.zeros(count, dtype=np.int64)
    base = transaction.map_address() if entries else 0
    for position, entry in enumerate(entries):
        head = heads[position * (start + _HEAD.size) + HEADER_BYTES : (position + 1) * (start + _HEAD.size)]
        number = slot_from_key(entry.key)
        if entry.flags != BIG_DATA or _payload_bytes(entry.key, head, entry.size) != _claimed_bytes(head):
            raise corrupt_value(Table.COLUMNS, entry.key, "has a damaged header")
        if number < count:
            table[number] = base + entry.page * file.page_size + start
    return table


def block_address(key: bytes, value: memoryview) -> int:
    """Address of the payload in the map, its header checked; it stays until the block is written again."""
    size = _payload_bytes(key, value, len(value))
    address = int(np.frombuffer(value, np.uint8).__array_interface__["data"][0]) + BLOCK_HEADER_BYTES
    if address % 64:
        raise AssertionError("a block is not aligned to 64 bytes")
    if _claimed_bytes(value) != size:
        raise corrupt_value(Table.COLUMNS, key, "has a damaged header")
    return address


def _payload_bytes(key: bytes, value: memoryview, total: int) -> int:
    """Bytes of the payload, as the header of a value of `total` bytes says."""
    if total < BLOCK_HEADER_BYTES + _KEYS_AT:
        raise corrupt_value(Table.COLUMNS, key, "is shorter than a block")
    magic, version, size, _ = _HEADER.unpack_from(value)
    if (magic, version) != (_MAGIC, _VERSION) or not _KEYS_AT <= size <= total - BLOCK_HEADER_BYTES:
        raise corrupt_value(Table.COLUMNS, key, "has a damaged header")
    return int(size)


def _claimed_bytes(value: memoryview) -> int:
    """Bytes of the payload, as the payload says."""
    return int.from_bytes(value[BLOCK_HEADER_BYTES + 36 : BLOCK_HEADER_BYTES + 40], "little")


def _aligned(offset: int, step: int) -> int:
    return -(-offset // step) * step
