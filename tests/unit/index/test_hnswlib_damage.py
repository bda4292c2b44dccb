"""Damaged and lying hnswlib files: always a typed error or a sound graph, and never an allocation beyond the file."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.index.hnswlib_samples import make_index, same_index, save
from vecdb.errors import CorruptionError, VecDBError
from vecdb.index.graph import validate_graph
from vecdb.index.hnswlib_format import HEADER_BYTES, Header, HnswlibIndex, row_dtype
from vecdb.index.hnswlib_reader import read_hnswlib_file

DIM = 3
ROWS = 40
M = 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small sound file with several levels, always the same."""
    vectors = np.random.default_rng(5).standard_normal((ROWS, DIM), dtype=np.float32)
    return save(make_index(vectors, m=M), tmp_path)


def _read(path: Path) -> HnswlibIndex:
    return read_hnswlib_file(path, dim=DIM, metric="l2")


def _header(path: Path) -> Header:
    return Header.unpack(path.read_bytes()[:HEADER_BYTES])


def _change(path: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def _sound(index: HnswlibIndex) -> bool:
    unique = len(set(index.labels.tolist())) == len(index.labels)
    return unique and validate_graph(index.graph).ok and bool(np.isfinite(index.vectors).all())


def test_the_sample_is_sound_and_has_several_levels(path: Path) -> None:
    assert _sound(_read(path))
    assert _header(path).max_level >= 2


def test_a_file_cut_anywhere_is_corruption(path: Path) -> None:
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CorruptionError):
            _read(path)


@pytest.mark.parametrize("extra", [1, 4, 20, 4096])
def test_bytes_after_the_end_are_corruption(path: Path, extra: int) -> None:
    _change(path, lambda data: data.extend(bytes(extra)))
    with pytest.raises(CorruptionError):
        _read(path)


def test_any_flipped_bit_of_the_header_is_an_error_or_changes_no_row(path: Path) -> None:
    data, whole = path.read_bytes(), _read(path)
    for bit in range(8 * HEADER_BYTES):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            read = _read(path)
        except VecDBError:
            continue
        assert same_index(replace(read, graph=replace(read.graph, entry=whole.graph.entry)), whole), f"bit {bit}"
        assert _sound(read), f"bit {bit}"


def test_random_damage_is_an_error_or_leaves_a_sound_graph(path: Path, rng: np.random.Generator) -> None:
    data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    outcomes = set()
    for _ in range(600):
        changed = data.copy()
        places = rng.integers(0, len(data), size=rng.integers(1, 4))
        changed[places] = rng.integers(0, 256, size=len(places))
        path.write_bytes(changed.tobytes())
        try:
            assert _sound(_read(path))
            outcomes.add("read")
        except VecDBError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_random_bytes_are_an_error(path: Path, rng: np.random.Generator) -> None:
    for length in (0, 1, 95, 96, 97, 5000):
        path.write_bytes(rng.bytes(length))
        with pytest.raises(VecDBError):
            _read(path)


@pytest.mark.parametrize(
    "lie",
    [
        {"count": 0},
        {"count": ROWS - 1},
        {"count": ROWS + 1, "max_elements": ROWS + 1},
        {"count": 2**31 - 2, "max_elements": 2**31 - 2},
        {"count": 2**63, "max_elements": 2**63},
        {"count": 2**64 - 1, "max_elements": 2**64 - 1},
        {"max_elements": 0},
        {"max_elements": ROWS - 1},
        {"row_bytes": 0},
        {"row_bytes": 2**64 - 1},
        {"label_offset": 0},
        {"label_offset": 2**63},
        {"data_offset": 0},
        {"level0_offset": 4},
        {"max_level": -1},
        {"max_level": 0},
        {"max_level": 1},
        {"max_level": 64},
        {"max_level": 2**31 - 1},
        {"entry": ROWS},
        {"entry": 2**32 - 1},
        {"m": 0, "max_m": 0, "max_m0": 0},
        {"m": 1, "max_m": 1, "max_m0": 2},
        {"m": 2**62, "max_m": 2**62, "max_m0": 2**63},
        {"max_m": 5},
        {"max_m0": 9},
        {"m": 5, "max_m": 5, "max_m0": 10},
        {"mult": 0.0},
        {"mult": float("nan")},
        {"ef_construction": 0},
    ],
    ids=str,
)
def test_a_lying_header_is_an_error(path: Path, lie: dict[str, int | float]) -> None:
    header = replace(_header(path), **lie)  # type: ignore[arg-type]
    _change(path, lambda data: data.__setitem__(slice(0, HEADER_BYTES), header.pack()))
    with pytest.raises(VecDBError):
        _read(path)


@pytest.mark.parametrize("count", [10**6, 2**31 - 2, 2**60])
def test_a_lying_count_allocates_nothing_of_its_size(path: Path, count: int) -> None:
    header = replace(_header(path), count=count, max_elements=count)
    _change(path, lambda data: data.__setitem__(slice(0, HEADER_BYTES), header.pack()))
    tracemalloc.start()
    try:
        with pytest.raises(VecDBError):
            _read(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_entry_point_below_the_highest_level_is_corruption(path: Path) -> None:
    read = _read(path)
    ordinary = int(np.setdiff1d(np.arange(ROWS), read.graph.upper_rows)[0])
    header = replace(_header(path), entry=ordinary)
    _change(path, lambda data: data.__setitem__(slice(0, HEADER_BYTES), header.pack()))
    with pytest.raises(CorruptionError, match="highest level"):
        _read(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("count", 2 * M + 1, "counts more than"), ("count", 2**16 - 1, "counts more than"), ("mark", 2, "unknown mark")],
)
def test_a_bad_list_head_of_level_0_is_corruption(path: Path, field: str, value: int, message: str) -> None:
    data = bytearray(path.read_bytes())
    np.frombuffer(data, dtype=row_dtype(M, DIM), count=ROWS, offset=HEADER_BYTES)[field][17] = value
    path.write_bytes(data)
    with pytest.raises(CorruptionError, match=message):
        _read(path)


def test_a_label_that_occurs_twice_is_corruption(path: Path) -> None:
    data = bytearray(path.read_bytes())
    np.frombuffer(data, dtype=row_dtype(M, DIM), count=ROWS, offset=HEADER_BYTES)["label"][17] = 4
    path.write_bytes(data)
    with pytest.raises(CorruptionError, match="label occurs twice"):
        _read(path)


def _upper_block(path: Path, row_wanted: int) -> int:
    """The byte at which the upper lists of a row begin (its size word)."""
    data, header = path.read_bytes(), _header(path)
    position = HEADER_BYTES + header.count * header.row_bytes
    for _ in range(row_wanted):
        position += 4 + int(struct.unpack_from("<I", data, position)[0])
    return position


@pytest.mark.parametrize("size", [1, 4, 4 * (1 + M) - 4, 4 * (1 + M) * 30, 4 * (1 + M) * 2**20, 2**32 - 4, 2**32 - 1])
def test_a_lying_size_of_upper_lists_is_corruption(path: Path, size: int) -> None:
    top = int(_read(path).graph.upper_rows[-1])
    position = _upper_block(path, top)
    _change(path, lambda data: struct.pack_into("<I", data, position, size))
    with pytest.raises(CorruptionError):
        _read(path)


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        (1, M + 1, "counts more than"),
        (1, 1 << 16, "unknown mark"),
        (2, ROWS, "beyond the last"),
        (2, 2**32 - 1, "beyond the last"),
    ],
)
def test_a_bad_upper_list_is_corruption(path: Path, word: int, value: int, message: str) -> None:
    first = int(_read(path).graph.upper_rows[0])
    position = _upper_block(path, first) + 4 * word
    _change(path, lambda data: struct.pack_into("<I", data, position, value))
    with pytest.raises(CorruptionError, match=message):
        _read(path)


def test_an_upper_link_to_a_row_that_is_not_up_there_is_corruption(path: Path) -> None:
    graph = _read(path).graph
    ordinary = int(np.setdiff1d(np.arange(ROWS), graph.upper_rows)[0])
    position = _upper_block(path, int(graph.upper_rows[0])) + 8
    _change(path, lambda data: struct.pack_into("<I", data, position, ordinary))
    with pytest.raises(CorruptionError, match="not on this level"):
        _read(path)
