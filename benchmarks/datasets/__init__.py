"""Data sets: where they come from, how they are kept, and what their exact answers are."""

from __future__ import annotations

from benchmarks.datasets.catalogue import WORDNET, load, names
from benchmarks.datasets.store import Dataset, DatasetError, cache_root
from benchmarks.datasets.truth import distances_to, recall, true_distances

__all__ = [
    "WORDNET",
    "Dataset",
    "DatasetError",
    "cache_root",
    "distances_to",
    "load",
    "names",
    "recall",
    "true_distances",
]
