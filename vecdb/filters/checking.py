"""Reads whatever a caller gives as a filter, and bounds what evaluating it can cost.

Promises: a filter that passes has at most FILTER_DEPTH_MAX levels, FILTER_NODES_MAX nodes and FILTER_VALUES_MAX values;
reading one never recurses deeper than that, whatever is handed in.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from vecdb.config import FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX
from vecdb.errors import InvalidFilterError
from vecdb.filters.builder import F, IdOf, SizeOf
from vecdb.filters.nodes import And, Compare, Contains, Filter, GeoPolygon, HasId, In, Not, Or
from vecdb.filters.spelling import filter_from_dict

FilterLike: TypeAlias = Filter | Mapping[str, Any]
"""A filter as callers give it: built with F, or a dict."""


def read_filter(given: object) -> Filter | None:
    """Return a filter, checked; None for None. InvalidFilterError says what is wrong and where."""
    if given is None or type(given) is Compare:  # a condition by itself is within the limits
        return given
    if isinstance(given, Mapping):
        given = filter_from_dict(given)
    if not isinstance(given, Filter):
        raise InvalidFilterError(_advice(given))
    if not hasattr(given, "_is_within_limits"):
        _check_size(given)
        object.__setattr__(given, "_is_within_limits", True)
    return given


def require_filter(given: object) -> Filter:
    """As `read_filter`, for where there must be one."""
    found = read_filter(given)
    if found is None:
        raise InvalidFilterError("filter is None; give one built with F, or a dict")
    return found


def _advice(given: object) -> str:
    what = f"filter is {type(given).__name__}"
    if isinstance(given, str):
        return f'{what}; expressions in strs are not read, build it: (F("year") >= 2020) & (F("lang") == "en")'
    if isinstance(given, (F, IdOf, SizeOf)):
        return f'{what} without a condition; compare it, for example F("year") >= 2020 or F("year").exists()'
    return (
        f'{what}; give one built with F, for example F("year") >= 2020, or a dict such as {{"year": {{"$gte": 2020}}}}'
    )


def _check_size(wanted: Filter) -> None:
    nodes = values = 0
    level: list[Filter] = [wanted]
    for _ in range(FILTER_DEPTH_MAX):
        nodes += len(level)
        if nodes > FILTER_NODES_MAX:
            raise InvalidFilterError(f"the filter has more than {FILTER_NODES_MAX} conditions; in_ takes many values")
        values += sum(map(_values, level))
        if values > FILTER_VALUES_MAX:
            raise InvalidFilterError(f"the filter compares with more than {FILTER_VALUES_MAX} values; split it")
        level = [part for node in level for part in _below(node)]
        if not level:
            return
    raise InvalidFilterError(f"the filter is nested deeper than {FILTER_DEPTH_MAX} levels; flatten it")


def _below(node: Filter) -> tuple[Filter, ...]:
    if isinstance(node, (And, Or)):
        return node.parts
    return (node.part,) if isinstance(node, Not) else ()


def _values(node: Filter) -> int:
    if isinstance(node, (In, Contains)):
        return len(node.values)
    if isinstance(node, HasId):
        return len(node.ids)
    return len(node.points) if isinstance(node, GeoPolygon) else 1
