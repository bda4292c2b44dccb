"""Reads vectors from files: .npy, texmex (.fvecs, .bvecs, .ivecs) and ann-benchmarks' HDF5.

Promises: files are mapped or read in blocks where their format allows it; what is no such file is a DatasetError.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.datasets.store import DatasetError

TEXMEX: Final[dict[str, np.dtype[Any]]] = {
    ".fvecs": np.dtype("<f4"),
    ".bvecs": np.dtype("u1"),
    ".ivecs": np.dtype("<i4"),
}
HDF5_METRICS: Final = {"angular": "cosine", "euclidean": "l2", "ip": "dot"}


def read_vectors(path: Path) -> npt.NDArray[Any]:
    """Map a file of vectors as an array (n, d)."""
    if not path.exists():
        raise DatasetError(f"no file {path}")
    if path.suffix == ".npy":
        return _npy(path)
    if path.suffix in TEXMEX:
        return _texmex(path, TEXMEX[path.suffix])
    raise DatasetError(f"{path.name}: vectors are read from .npy, {', '.join(TEXMEX)} and .hdf5")


def _npy(path: Path) -> npt.NDArray[Any]:
    try:
        rows: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DatasetError(f"{path.name} is no .npy file of numbers: {error}") from error
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise DatasetError(f"{path.name} holds {rows.dtype} of shape {rows.shape}; numbers (n, d) are needed")
    return rows


def _texmex(path: Path, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Each row is its dimension, int32, then that many components (corpus-texmex.irisa.fr)."""
    if path.stat().st_size < 4:
        raise DatasetError(f"{path.name} is too short for a row")
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    dim = int(raw[:4].view("<i4")[0])
    stride = 4 + dim * kind.itemsize
    if dim < 1 or len(raw) % stride:
        raise DatasetError(f"{path.name} is no file of rows of {dim} components: it has {len(raw)} bytes")
    rows = raw.reshape(-1, stride)
    if np.any(np.ascontiguousarray(rows[:, :4]).view("<i4") != dim):
        raise DatasetError(f"{path.name}: rows differ in their dimension")
    return np.ndarray(
        (len(rows), dim),
        dtype=kind,
        buffer=raw,
        offset=4,
        strides=(stride, kind.itemsize),
    )


def read_hdf5(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any], str]:
    """(base, queries, metric) of an ann-benchmarks file."""
    if not path.exists():
        raise DatasetError(f"no file {path}")
    try:
        h5py: Any = import_module("h5py")
    except ImportError as error:
        raise DatasetError("HDF5 files need h5py: pip install 'vecdb[bench]'") from error
    try:
        with h5py.File(path, "r") as file:
            named = file.attrs.get("distance", "euclidean")
            distance = named.decode() if isinstance(named, bytes) else str(named)
            base, queries = file["train"][:], file["test"][:]
    except (OSError, KeyError) as error:
        raise DatasetError(f"{path.name} is no file of ann-benchmarks: {error}") from error
    if base.ndim != 2 or queries.ndim != 2:
        raise DatasetError(f"{path.name}: train {base.shape} and test {queries.shape} are no rows of vectors")
    if distance not in HDF5_METRICS:
        raise DatasetError(f"{path.name} is for distance {distance!r}; known are {', '.join(HDF5_METRICS)}")
    return base, queries, HDF5_METRICS[distance]
