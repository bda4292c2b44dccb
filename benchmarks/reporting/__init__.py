"""Makes reports, plots and comparisons of raw figures."""

from __future__ import annotations

from benchmarks.reporting.compare import Finding, compare, findings_table
from benchmarks.reporting.markdown import write_report
from benchmarks.reporting.style import PlotError

__all__ = ["Finding", "PlotError", "compare", "findings_table", "write_report"]
