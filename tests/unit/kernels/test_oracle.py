"""Checks that every kernel has a twin to be compared with."""

from __future__ import annotations

import pytest

from tests import oracle, oracle_taking_out
from vecdb.kernels.native import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_kernel_has_a_twin(name: str) -> None:
    assert any(callable(getattr(twins, name, None)) for twins in (oracle, oracle_taking_out))
