"""How hard a segment is searched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vecdb.engine.effort import EF_UNMEASURED, SearchEffort


class Curve:
    """A measured curve that remembers what it was asked."""

    def ef_for(self, target_recall: float, limit: int) -> int:
        """A pool size that tells its arguments."""
        return int(1000 * target_recall) + limit


MEASURED: Any = SimpleNamespace(segment=SimpleNamespace(curve=Curve()))
UNMEASURED: Any = SimpleNamespace(segment=SimpleNamespace(curve=None))


@pytest.mark.parametrize(
    ("effort", "view", "limit", "expected"),
    [
        (SearchEffort(exact=True, ef=50, target_recall=0.9), MEASURED, 10, 0),
        (SearchEffort(exact=False, ef=50, target_recall=0.9), MEASURED, 10, 50),
        (SearchEffort(exact=False, ef=50, target_recall=0.9), MEASURED, 80, 80),
        (SearchEffort(exact=False, ef=None, target_recall=0.9), MEASURED, 10, 910),
        (SearchEffort(exact=False, ef=None, target_recall=0.1), MEASURED, 5000, 5100),
        (SearchEffort(exact=False, ef=None, target_recall=0.9), UNMEASURED, 10, EF_UNMEASURED),
        (SearchEffort(exact=False, ef=None, target_recall=0.9), UNMEASURED, 999, 999),
        (SearchEffort(exact=False, ef=7, target_recall=0.9), UNMEASURED, 5, 7),
    ],
)
def test_the_pool_follows_the_request_or_the_curve_and_is_never_smaller_than_the_limit(
    effort: SearchEffort, view: Any, limit: int, expected: int
) -> None:
    assert effort.ef_for(view, limit) == expected
