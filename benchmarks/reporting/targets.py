"""Says which figures were to be reached and which were, for the suites that measure what vecdb's issues ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.reporting.table import NONE, number, table


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that is to be reached: at least `wanted`, or at most."""

    name: str
    wanted: float
    value: float | None
    at_most: bool = False
    digits: int = 2

    @property
    def is_met(self) -> bool:
        """Whether it is; what was not measured is not."""
        if self.value is None:
            return False
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted


def target_table(targets: Sequence[Target]) -> list[str]:
    """Every target with what was measured."""
    rows = [
        [
            one.name,
            f"{'≤' if one.at_most else '≥'} {number(one.wanted, one.digits)}",
            number(one.value, one.digits),
            "yes" if one.is_met else "**no**",
        ]
        for one in targets
    ]
    return table(["target", "wanted", "measured", "reached"], rows) if rows else []


def reason_of(found: Any) -> str | None:
    """Why a part was not measured; None when it was."""
    return (found.get("failed") or found.get("missing")) if isinstance(found, Mapping) else None


def ratio_of(rates: Mapping[str, Any], what: str, base: str) -> float | None:
    """Median over median; None where one is missing."""
    above, below = rates[what]["median"], rates[base]["median"]
    return above / below if above and below else None


def turn_ratios(rates: Mapping[str, Any], what: str, base: str) -> list[float]:
    """What was measured over what was measured beside it, for each round of turns, the least first."""
    above, below = rates[what]["runs"], rates[base]["runs"]
    return sorted(one / other for one, other in zip(above, below, strict=True) if other)


def speed_cells(rate: Mapping[str, Any], digits: int = 0) -> list[str]:
    """The median and the range."""
    runs = rate["runs"]
    return [
        number(rate["median"], digits),
        f"{number(min(runs), digits)}–{number(max(runs), digits)}" if runs else NONE,
    ]
