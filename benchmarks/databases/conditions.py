"""Says how a filter is written down for a database that answers any: as lists of plain values, which JSON carries.

    ["and" | "or", condition, ...]     ["not", condition]
    ["eq" | "ne" | "lt" | "le" | "gt" | "ge", column, value]
    ["in", column, [value, ...]]       ["contains", column, value]

A column of strings ("words") compares as equal, and is in some values, when one of its strings is; it contains its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Condition: TypeAlias = list[Any]

COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}
JOINS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {"and": operator.and_, "or": operator.or_}
