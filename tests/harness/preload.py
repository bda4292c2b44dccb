"""Imported once by the fork server, so that workers start with compiled kernels. Opens nothing and starts no thread."""

from __future__ import annotations

import contextlib
import importlib

from vecdb.kernels.native import load_kernels

# Test modules import pytest; benchmarks, which use workers too, may run without it.
with contextlib.suppress(ImportError):
    importlib.import_module("pytest")
for layer in ("database", "search", "records", "verify", "compaction", "segments"):
    importlib.import_module(f"vecdb.engine.{layer}")
load_kernels(progress=False)
