"""Checks what `vecdb.open` is given.

Concurrency: pure functions.
"""

from __future__ import annotations

import os
from typing import Final

from vecdb.config import EngineConfig
from vecdb.errors import InvalidRequestError

MEMORY: Final = ":memory:"


def check_opening(path: object, mode: object, durability: object, config: object) -> str:
    """The place to open, a directory or MEMORY; InvalidRequestError names what is wrong."""
    if mode not in ("rw", "r"):
        raise InvalidRequestError(f"mode is {mode!r:.40}; use 'rw' for the one writer or 'r' for a reader")
    if durability not in ("fsync", "async"):
        raise InvalidRequestError(f"durability is {durability!r:.40}; use 'fsync' or 'async'")
    if not isinstance(config, EngineConfig):
        raise InvalidRequestError(f"config is {type(config).__name__}; give a vecdb.EngineConfig")
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise InvalidRequestError(f"path is {type(path).__name__}; give the path of a directory, or ':memory:'")
    location = os.fsdecode(path)
    if not location or "\0" in location:
        raise InvalidRequestError(f"path is {location!r:.80}; give the path of a directory, or ':memory:'")
    if location == MEMORY and mode == "r":
        raise InvalidRequestError("a :memory: database belongs to its opener alone; open it with mode='rw'")
    return location
