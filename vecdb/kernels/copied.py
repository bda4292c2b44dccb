"""Copies of sketches in the form that suits this processor: `sextets` where it has their look-up, else `sketch_blocks`.

Promises: both forms give estimates of one accuracy, though rounded otherwise. Concurrency: no state.
"""

from __future__ import annotations

from vecdb.kernels import sextets, sketch_blocks
from vecdb.kernels.intrinsics import load_i64
from vecdb.kernels.jit import kernel
from vecdb.kernels.layout import PADDED

_FORM = sextets if sextets.has_look_up() else sketch_blocks
_copies_bytes, _gather = _FORM.copies_bytes, _FORM.gather
estimate_copies = _FORM.estimate_copies


@kernel
def gather_sketches(plan: int, given: int, count: int, target: int) -> int:
    """Copy the sketches of `count` given rows (int32) to blocks at `target`, if it is not 0; returns their bytes."""
    if target:
        _gather(plan, given, count, target)
    size: int = _copies_bytes(load_i64(plan + PADDED), count)
    return size
