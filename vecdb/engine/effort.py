"""Says how hard a search looks, apart from the search itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vecdb.engine.view import SegmentView

EF_UNMEASURED = 256
"""Pool size in a segment whose recall was never measured (imported from elsewhere)."""


class SearchEffort(NamedTuple):
    """How hard to look: exactly, with a fixed ef, or with whatever each segment needs for a target recall."""

    exact: bool
    ef: int | None
    target_recall: float

    def ef_for(self, view: SegmentView, limit: int) -> int:
        """Pool size for one segment; 0 for a scan."""
        if self.exact:
            return 0
        if self.ef is not None:
            return max(self.ef, limit)
        curve = view.segment.curve
        return max(limit, EF_UNMEASURED) if curve is None else max(limit, curve.ef_for(self.target_recall, limit))
