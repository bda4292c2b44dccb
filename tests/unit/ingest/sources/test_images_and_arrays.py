"""Images are described by their heads; rows of arrays become vectors with the ids of a file beside them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ingest.sources.reading import put, read
from vecdb.errors import InvalidDocumentError
from vecdb.ingest.sources.image import described
from vecdb.ingest.sources.item import Item

# --- images ----------------------------------------------------------------------------------------------------------


def _png(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


JPEG = b"\xff\xd8\xff\xe1\x00\x08Exif\x00\x00\xff\xff\xc0\x00\x11\x08\x00\x10\x00\x20\x03" + b"\x00" * 10


def test_an_image_is_an_item_with_its_size_and_nothing_of_its_camera(tmp_path: Path) -> None:
    item = read(put(tmp_path / "a.jpg", JPEG)).items[0]
    assert item.metadata == {"path": "a.jpg", "format": "jpeg", "width": 32, "height": 16}
    assert item.image is not None
    assert (item.image.path, item.text) == (tmp_path / "a.jpg", None)


@pytest.mark.parametrize(
    ("head", "media_type", "size"),
    [
        (_png(7, 9), "image/png", (7, 9)),
        (b"GIF89a" + struct.pack("<HH", 7, 9), "image/gif", (7, 9)),
        (b"BM" + b"\x00" * 16 + struct.pack("<ii", 7, -9), "image/bmp", (7, 9)),
        (b"RIFF0000WEBPVP8X" + b"\x00" * 8 + b"\x06\x00\x00\x08\x00\x00", "image/webp", (7, 9)),
        (b"RIFF0000WEBPVP8 " + b"\x00" * 10 + struct.pack("<HH", 7, 9), "image/webp", (7, 9)),
        (b"RIFF0000WEBPVP8L" + b"\x00" * 5 + struct.pack("<I", 6 | 8 << 14) + b"\x00" * 5, "image/webp", (7, 9)),
    ],
)
def test_the_size_of_an_image_is_in_its_head(head: bytes, media_type: str, size: tuple[int, int]) -> None:
    assert described(head) == (media_type, size)


HEADS = [_png(7, 9), JPEG, b"GIF89a", b"BM", b"RIFF0000WEBPVP8X"]


@given(head=st.sampled_from(HEADS), rest=st.binary(max_size=60), cut=st.integers(0, 40))
def test_any_head_is_described_or_refused(head: bytes, rest: bytes, cut: int) -> None:
    try:
        assert min(described(head[:cut] + rest)[1]) > 0
    except InvalidDocumentError:
        return


def test_the_hash_of_an_image_is_of_its_bytes(tmp_path: Path) -> None:
    one = read(put(tmp_path / "a.png", _png(7, 9) + b"1")).items[0]
    two = read(put(tmp_path / "a.png", _png(7, 9) + b"2")).items[0]
    assert one.content_hash != two.content_hash


# --- arrays ----------------------------------------------------------------------------------------------------------

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def _npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _fvecs(array: Any) -> bytes:
    return b"".join(struct.pack("<i", row.size) + row.tobytes() for row in array)


def _vectors(items: list[Item]) -> list[Any]:
    return [item.vector.tolist() for item in items if item.vector is not None]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", _npy(ROWS)), ("a.fvecs", _fvecs(ROWS)), ("a.bvecs", _fvecs(ROWS.astype("u1"))),
        ("a.ivecs", _fvecs(ROWS.astype("i4"))),
    ],
)  # fmt: skip
def test_rows_of_arrays_are_vectors_by_number(tmp_path: Path, name: str, content: bytes) -> None:
    found = read(put(tmp_path / name, content))
    assert (found.ids, _vectors(found.items)) == ([0, 1, 2, 3], ROWS.tolist())


def test_data_sets_of_hdf5_are_vectors(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as store:
        store["train"], store["other"] = ROWS, ROWS[:2]
    assert _vectors(read(tmp_path / "a.h5").items) == ROWS.tolist()
    assert len(read(f"{tmp_path}/a.h5?dataset=other").items) == 2
    assert "other" in read(f"{tmp_path}/a.h5?dataset=none").problems[0].message


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("ids.txt", b"a\nb\nc\nd\n", ["a", "b", "c", "d"]),
        ("ids.npy", _npy(np.array([5, 6, 7, 8])), [5, 6, 7, 8]),
        ("ids.npy", _npy(np.array(["a", "b", "c", "d"])), ["a", "b", "c", "d"]),
        ("ids.jsonl", b'{"id": 1, "text": "one", "n": 1}\n{"id": 2}\n{"id": 3}\n{"id": 4}\n', [1, 2, 3, 4]),
    ],
)
def test_ids_come_from_a_file_beside(tmp_path: Path, name: str, content: bytes, ids: list[Any]) -> None:
    path, beside = put(tmp_path / "a.npy", _npy(ROWS)), put(tmp_path / name, content)
    assert read(f"{path}?ids={beside}").ids == ids


def test_rows_beside_give_metadata_and_text(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npy", _npy(ROWS[:1]))
    beside = put(tmp_path / "ids.jsonl", '{"id": 1, "text": "one", "n": 1}\n')
    item = read(f"{path}?ids={beside}").items[0]
    assert (item.text, item.metadata) == ("one", {"n": 1})


@pytest.mark.parametrize(("ids", "says"), [("a\nb\n", "for 2"), ("a\nb\nc\nd\ne\n", "more")])
def test_another_number_of_ids_is_a_problem(tmp_path: Path, ids: str, says: str) -> None:
    path, beside = put(tmp_path / "a.npy", _npy(ROWS)), put(tmp_path / "ids.txt", ids)
    found = read(f"{path}?ids={beside}")
    assert (found.ends[0].state, says in found.problems[-1].message) == ("failed", True)


def test_a_bad_row_beside_shifts_no_other(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npy", _npy(ROWS))
    beside = put(tmp_path / "ids.jsonl", '{"id": 1}\n{\n{"id": 3}\n{"id": 4}\n')
    found = read(f"{path}?ids={beside}")
    assert (found.ids, _vectors(found.items)) == ([1, 3, 4], ROWS[[0, 2, 3]].tolist())


def test_a_row_that_is_not_finite_is_a_problem_of_that_row(tmp_path: Path) -> None:
    bad = ROWS.copy()
    bad[1, 2] = np.nan
    found = read(put(tmp_path / "a.npy", _npy(bad)))
    assert (found.ids, [problem.position.row for problem in found.problems]) == ([0, 2, 3], [2])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", _npy(ROWS[0])),
        ("a.npy", _npy(np.array(["a"]))),
        ("a.npy", _npy(ROWS)[:-5]),
        ("a.npy", _npy(np.array([None], dtype=object))),
        ("a.fvecs", _fvecs(ROWS)[:-1]),
        ("a.fvecs", _fvecs(ROWS)[:16] + struct.pack("<i", 2) + b"\x00" * 12),
        ("a.fvecs", struct.pack("<i", -1)),
    ],
)
def test_arrays_that_are_none_are_problems(tmp_path: Path, name: str, content: bytes) -> None:
    found = read(put(tmp_path / name, content))
    assert (found.items, [problem.scope for problem in found.problems]) == ([], ["part"])
