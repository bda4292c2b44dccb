"""Tells one id from many, and makes a list of what callers give as ids.

Concurrency: pure functions.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vecdb.errors import InvalidIdError


def is_single_id(value: object) -> bool:
    """True for a str, int or UUID, which is one id and not a batch."""
    return isinstance(value, (str, int, uuid.UUID, np.integer))


def listed_ids(ids: object, wanted: str) -> list[Any]:
    """The ids as a list, unchecked; `wanted` ends the message of the InvalidIdError when they are no sequence."""
    if isinstance(ids, np.ndarray) and ids.ndim == 1:
        listed: list[Any] = ids.tolist()
        return listed
    if isinstance(ids, np.ndarray):
        raise InvalidIdError(f"ids is an array of shape {ids.shape}; {wanted}")
    if isinstance(ids, (str, bytes, bytearray, memoryview)) or not isinstance(ids, Sequence):
        raise InvalidIdError(f"ids is {type(ids).__name__}; {wanted}")
    return list(ids)


def raise_wrong_id(ids: Sequence[Any], check: Callable[[Any], object]) -> None:
    """Raise what `check` says of the first id that it refuses, with its place: nobody finds it among many without."""
    for position, record_id in enumerate(ids):
        try:
            check(record_id)
        except InvalidIdError as error:
            raise InvalidIdError(f"ids[{position}]: {error.message}", **error.details, position=position) from None
