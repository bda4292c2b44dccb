"""Checks that every kernel has a twin to be compared with."""

from __future__ import annotations

from tests import oracle
from vecdb.kernels.jit import KERNELS, load_kernels


def test_every_registered_kernel_has_a_twin() -> None:
    load_kernels(progress=False)
    assert KERNELS
    assert [name for name in KERNELS if not callable(getattr(oracle, name, None))] == []
