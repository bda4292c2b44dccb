"""Lists the libraries that the `ann` suite measures. Importing it imports none of them."""

from __future__ import annotations

from typing import Final

from benchmarks.engines import hnswlib_hnsw, vecdb_index
from benchmarks.engines.protocol import EngineSpec

SPECS: Final = (vecdb_index.SPEC, hnswlib_hnsw.SPEC)
ENGINES: Final[dict[str, EngineSpec]] = {spec.name: spec for spec in SPECS}
"""Every engine by name, in the order of reports."""
