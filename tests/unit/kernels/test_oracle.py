"""Checks that every kernel has a twin to be compared with."""

from __future__ import annotations

import pytest

from tests import oracle
from vecdb.kernels.native import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_kernel_has_a_twin(name: str) -> None:
    assert callable(getattr(oracle, name, None))
