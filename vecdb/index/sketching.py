"""Makes sketches: one bit for each component of a row, for scans of given rows (see `kernels.sketches`).

They lie in a column of their own, 64 bytes a row at 384 components, so that a scan reads these and nothing else.
Promises: deterministic; a sketch depends on the codes of its row only. Concurrency: pure functions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vecdb.index.hashing import rotation_masks
from vecdb.index.scratch import thread_scratch
from vecdb.index.segment import Plan
from vecdb.kernels import layout
from vecdb.kernels.column import Column, aligned_empty
from vecdb.kernels.native import kernels


def sketch_rows(codes: npt.NDArray[np.int8], first: int, last: int) -> npt.NDArray[np.uint8]:
    """Sketches (last - first, stride) of rows of `codes` (rows, padded); about 1 us a row of 384 components."""
    padded = codes.shape[1]
    plan = Plan()
    plan.put(layout.PADDED, padded)
    plan.put_column(layout.CODES, Column.from_array(codes))
    plan.put_array(layout.ROTATION, rotation_masks(padded))
    sketches: npt.NDArray[np.uint8] = aligned_empty((last - first, layout.sketch_stride(padded)), np.uint8)
    scratch = thread_scratch()
    scratch.reserve(64, 64, padded, 1)
    target, stride = sketches.ctypes.data, sketches.shape[1]
    kernels.sketch_rows(plan.address, scratch.address, target, stride, first, last)
    return sketches
