"""Says what an adapter of a library provides: how to build its index, set its effort and search it.

An adapter is one module of about 80 lines. It imports its library only when an Engine is made, so that the list of
engines can be read where none is installed. Promises of an adapter: rows are numbered by their place in `base`; every
build and search uses the number of threads it is told, searches one; nothing is cached between searches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int64]
Setting: TypeAlias = Mapping[str, Any]


class Engine(Protocol):
    """One index. Calls come in this order: build, then set_effort and searches in any number."""

    def build(self, base: Matrix, metric: str, threads: int) -> None:
        """Index `base` (n, d), C-contiguous float32; for metric "cosine" the rows have unit length."""

    def set_effort(self, effort: int) -> None:
        """Set the one parameter that trades speed for recall (ef, nprobe, epsilon in thousandths ...)."""

    def search(self, queries: Matrix, k: int) -> Labels:
        """Row numbers of the k nearest of each query, (q, k) int64, by the library's own batch call, one thread."""

    def search_one(self, query: Matrix, k: int) -> Labels:
        """Row numbers of the k nearest of one query (d,), (k,) int64, by the library's call for one query."""


class MakeEngine(Protocol):
    """Makes an Engine of one setting, importing the library."""

    def __call__(self, setting: Setting) -> Engine: ...


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One row of a comparison: a library with one kind of index.

    `distributions` are what pip installs (their versions are recorded); `settings` names at least two build settings;
    `efforts` are swept from cheap to dear; `environment` is "main", or the name of a separate environment where pins
    clash; `tuning` says in a sentence how the settings follow the library's own advice.
    """

    name: str
    make: MakeEngine
    distributions: tuple[str, ...]
    settings: Mapping[str, Setting]
    efforts: tuple[int, ...]
    metrics: tuple[str, ...] = ("cosine", "dot", "l2")
    environment: str = "main"
    tuning: str = ""
