"""Checks that what an EngineConfig cannot mean is refused when it is made, with the name of the field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vecdb.config import EngineConfig
from vecdb.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threads", -1),
        ("threads", "x"),
        ("threads", 2.5),
        ("threads", True),
        ("threads", None),
        ("threads", 10**9),
        ("map_bytes", 1024),
        ("map_bytes", 1 << 60),
        ("tail_rows_index", 0),
        ("background", "no"),
        ("progress", 1),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_field_and_what_it_takes(name: str, value: object) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(InvalidRequestError, match=rf"EngineConfig: {name} is .+[;,] .+") as refused:
        EngineConfig(**given)
    assert refused.value.details == {"option": name}


def test_numbers_of_numpy_are_ints_afterwards() -> None:
    count: Any = np.int64(3)
    assert type(EngineConfig(threads=count).threads) is int
