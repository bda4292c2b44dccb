"""Reads precomputed vectors: .npy, .fvecs, .bvecs, .ivecs and HDF5, with ids and metadata from a file beside them.

`ids=` names an .npy of ids, a text file with one a line, or JSON Lines whose rows have them, their metadata and maybe
texts; without it the ids are the row numbers from 0.
Promises: memory is bounded by BATCH_ROWS vectors. A row that is not finite is a problem of that row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from vecdb.errors import InvalidDocumentError, MissingExtraError, VecDBError
from vecdb.ingest.sources.config import BATCH_ROWS, SHOWN_CHARS_MAX, VECTOR_DIM_MAX
from vecdb.ingest.sources.file import SourceFile
from vecdb.ingest.sources.item import Item, Problem
from vecdb.ingest.sources.jsonl import jsonl_rows, text_lines, text_stream
from vecdb.ingest.sources.rows import Row, checked_id, checked_text, checked_vector, plain_value
from vecdb.types import RecordId

Array: TypeAlias = Any
"""Something with a shape whose slices are numpy arrays: a memory map, or a data set of HDF5."""

Label: TypeAlias = tuple[RecordId, Row] | VecDBError
"""Id and the other values of a row, or what is wrong with them."""

DATASETS: Final = ("vectors", "embeddings", "train")
"""Names tried in an HDF5 file when none is given; the last is that of the ann-benchmarks."""


def read_npy(file: SourceFile) -> Iterator[Item | Problem]:
    """The rows of a .npy file of shape (n, dim). Nothing in the file is executed (no pickles)."""
    try:
        # mapped, not read: a header that promises more than the file holds fails here instead of taking the memory
        array = np.load(_path(file), mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InvalidDocumentError(f"is no .npy file or damaged: {error!s:.{SHOWN_CHARS_MAX}}") from None
    yield from _read(array, file)


def read_fvecs(file: SourceFile) -> Iterator[Item | Problem]:
    """The rows of an .fvecs file: float32, each behind its dimension."""
    yield from _read(_texmex(file, np.dtype("<f4")), file)


def read_bvecs(file: SourceFile) -> Iterator[Item | Problem]:
    """The rows of a .bvecs file: uint8, each behind its dimension."""
    yield from _read(_texmex(file, np.dtype("u1")), file)


def read_ivecs(file: SourceFile) -> Iterator[Item | Problem]:
    """The rows of an .ivecs file: int32, each behind its dimension."""
    yield from _read(_texmex(file, np.dtype("<i4")), file)


def read_hdf5(file: SourceFile) -> Iterator[Item | Problem]:
    """The rows of a data set of an HDF5 file: `dataset=`, or the first of DATASETS that is there."""
    try:
        import h5py  # noqa: PLC0415 - only for HDF5
    except ImportError:
        raise MissingExtraError("HDF5 files need h5py: pip install 'vecdb[ingest]'") from None
    try:
        store = h5py.File(_path(file), "r")
    except OSError as error:
        raise InvalidDocumentError(f"is no HDF5 file or damaged: {error!s:.{SHOWN_CHARS_MAX}}") from None
    with store:
        names = [name for name, value in store.items() if isinstance(value, h5py.Dataset)]
        wanted = file.options.dataset or next((name for name in DATASETS if name in names), None)
        if wanted is None or not isinstance(store.get(wanted), h5py.Dataset):
            listed = ", ".join(names) or "none at its top"
            raise InvalidDocumentError(
                f"has no data set {wanted or DATASETS[0]!r}; name one by dataset=: {listed:.200}"
            )
        yield from _read(store[wanted], file)


def _path(file: SourceFile) -> Path:
    if file.path is None:
        raise InvalidDocumentError("arrays are read from files")
    return file.path


def _texmex(file: SourceFile, dtype: np.dtype[Any]) -> Array:
    """A view of the rows of a file in the form of the TEXMEX data sets; all rows must have one dimension."""
    size = _path(file).stat().st_size
    if not size:
        raise InvalidDocumentError("is empty")
    raw = np.memmap(_path(file), dtype=np.uint8, mode="r")
    dim = int(raw[:4].view("<i4")[0]) if size >= 4 else 0
    row_bytes = 4 + dim * dtype.itemsize
    if not 1 <= dim <= VECTOR_DIM_MAX or size % row_bytes:
        raise InvalidDocumentError(
            f"is damaged or cut off: its {size:,} bytes are no whole number of rows of {dim} numbers"
        )
    rows = raw.reshape(-1, row_bytes)
    for start in range(0, len(rows), BATCH_ROWS):
        dims = np.ascontiguousarray(rows[start : start + BATCH_ROWS, :4]).view("<i4")[:, 0]
        if (dims != dim).any():
            row = start + int(np.flatnonzero(dims != dim)[0])
            raise InvalidDocumentError(f"has another dimension in row {row + 1} than the {dim} of the first")
    return rows[:, 4:].view(dtype) if dtype.itemsize == 1 else _Strided(rows, dtype)


class _Strided:
    """Rows whose numbers are not aligned in the file; slices are copies that are."""

    def __init__(self, rows: Array, dtype: np.dtype[Any]) -> None:
        self._rows = rows
        self.dtype = dtype
        self.shape = (len(rows), (rows.shape[1] - 4) // dtype.itemsize)

    def __getitem__(self, index: slice) -> Array:
        return np.ascontiguousarray(self._rows[index, 4:]).view(self.dtype)


def _read(array: Array, file: SourceFile) -> Iterator[Item | Problem]:
    shape = tuple(array.shape)
    if len(shape) != 2 or array.dtype.kind not in "fiu" or not 1 <= shape[1] <= VECTOR_DIM_MAX:
        raise InvalidDocumentError(f"holds {array.dtype} of shape {shape}; vectors are numbers of shape (n, dim)")
    ordinal = 0
    with ExitStack() as stack:
        labels = _labels(file, shape[0], stack)
        for start in range(0, shape[0], BATCH_ROWS):
            for offset, row in enumerate(np.asarray(array[start : start + BATCH_ROWS])):
                found = _row(file, next(labels, None), row, start + offset, ordinal, shape[0])
                ordinal += isinstance(found, Item)
                yield found
        if next(labels, None) is not None:
            raise InvalidDocumentError(f"has {shape[0]:,} vectors, and {file.options.ids} has more ids: no one fits")


def _row(file: SourceFile, label: Label | None, row: Array, index: int, ordinal: int, count: int) -> Item | Problem:
    if label is None:
        raise InvalidDocumentError(f"has {count:,} vectors, and {file.options.ids} ids for {index:,}: no one fits")
    place = file.position(row=index + 1)
    if isinstance(label, VecDBError):
        return Problem(file.part, place, label.message, "item", None, label.reason)
    item_id, values = label
    try:
        metadata = {key: plain_value(value, key) for key, value in values.items() if key != file.options.text_field}
        text = values.get(file.options.text_field)
        return Item(
            item_id,
            file.part,
            ordinal,
            "vector",
            place,
            text=None if text is None else checked_text(text),
            vector=checked_vector(row),
            metadata=metadata,
        )
    except VecDBError as error:
        return Problem(file.part, place, error.message, "item", item_id, error.reason)


def _labels(file: SourceFile, count: int, stack: ExitStack) -> Iterator[Label]:
    """Ids and metadata, row by row."""
    if file.options.ids is None:
        return ((index, {}) for index in range(count))
    beside = SourceFile(Path(file.options.ids), file.name, file.part, file.options)
    if beside.suffix == ".npy":
        return _ids_of_array(beside)
    text = stack.enter_context(text_stream(stack.enter_context(beside.open()), file.options.encoding))
    return _json_labels(text, beside) if beside.suffix in {".jsonl", ".ndjson"} else _text_labels(text)


def _ids_of_array(file: SourceFile) -> Iterator[Label]:
    try:
        ids = np.load(_path(file), mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InvalidDocumentError(f"cannot take ids from {file.path}: {error!s:.{SHOWN_CHARS_MAX}}") from None
    if ids.ndim != 1:
        raise InvalidDocumentError(f"cannot take ids from {file.path}: its shape is {ids.shape}, not (n,)")
    for value in ids:
        yield _label(value.item(), {})


def _text_labels(text: TextIOWrapper) -> Iterator[Label]:
    return (_label("" if line is None else line.strip(), {}) for line in text_lines(text))


def _json_labels(text: TextIOWrapper, file: SourceFile) -> Iterator[Label]:
    for _, row in jsonl_rows(text, file):
        if isinstance(row, VecDBError):
            yield row
        else:
            name = file.options.id_field
            yield _label(row.get(name), {key: value for key, value in row.items() if key != name})


def _label(value: object, values: Row) -> Label:
    try:
        return checked_id(value), values
    except VecDBError as error:
        return error


READERS: Final[dict[str, Callable[[SourceFile], Iterator[Item | Problem]]]] = {
    "npy": read_npy, "fvecs": read_fvecs, "bvecs": read_bvecs, "ivecs": read_ivecs, "hdf5": read_hdf5,
}  # fmt: skip
EXTENSIONS: Final = {
    ".npy": "npy", ".fvecs": "fvecs", ".bvecs": "bvecs", ".ivecs": "ivecs", ".h5": "hdf5", ".hdf5": "hdf5",
}  # fmt: skip
