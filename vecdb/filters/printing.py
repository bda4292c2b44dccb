"""Prints filters as they are written with F, so that what is printed can be read again.

Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vecdb.filters import nodes
from vecdb.filters.nodes import Filter

SIGNS: Final = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def printed(wanted: Filter) -> str:
    """The expression that builds a filter. Values are as Python writes them; lists of more than a few are whole."""
    if isinstance(wanted, nodes.And):
        return " & ".join(map(_operand, wanted.parts)) if len(wanted.parts) > 1 else _rare("And", wanted.parts)
    if isinstance(wanted, nodes.Or):
        return " | ".join(map(_operand, wanted.parts)) if len(wanted.parts) > 1 else _rare("Or", wanted.parts)
    if isinstance(wanted, nodes.Not):
        return f"~{_operand(wanted.part)}"
    return _LEAVES[type(wanted)](wanted) if type(wanted) in _LEAVES else object.__repr__(wanted)


def _operand(wanted: Filter) -> str:
    """In parentheses where operators would bind otherwise, and where filters of the same kind are nested."""
    text = printed(wanted)
    compared = isinstance(wanted, nodes.HasId) and len(wanted.ids) == 1
    bare = not compared and not isinstance(wanted, (nodes.And, nodes.Or, nodes.Compare, nodes.Size))
    return text if bare else f"({text})"


def _rare(name: str, parts: tuple[Filter, ...]) -> str:
    """Connectives with fewer than two parts, which no operator writes."""
    return f"{name}(({''.join(f'{printed(part)}, ' for part in parts).rstrip()}))"


def _path(leaf: Any) -> str:
    return f"F({leaf.path!r})"


def _list(values: tuple[Any, ...]) -> str:
    return f"[{', '.join(map(repr, values))}]"


def _contains(leaf: nodes.Contains) -> str:
    if leaf.mode == "one":
        return f"{_path(leaf)}.contains({leaf.values[0]!r})"
    return f"{_path(leaf)}.contains_{leaf.mode}({_list(leaf.values)})"


def _match(leaf: nodes.Match) -> str:
    mode = "" if leaf.mode == "all" else f", {leaf.mode!r}"
    return f"{_path(leaf)}.match({leaf.text!r}{mode})"


_LEAVES: Final[dict[type, Callable[[Any], str]]] = {
    nodes.Compare: lambda leaf: f"{_path(leaf)} {SIGNS[leaf.op]} {leaf.value!r}",
    nodes.In: lambda leaf: f"{_path(leaf)}.{'not_in' if leaf.negated else 'in_'}({_list(leaf.values)})",
    nodes.Exists: lambda leaf: f"{_path(leaf)}.exists()",
    nodes.IsNull: lambda leaf: f"{_path(leaf)}.is_null()",
    nodes.Contains: _contains,
    nodes.Prefix: lambda leaf: f"{_path(leaf)}.prefix({leaf.text!r})",
    nodes.Substring: lambda leaf: f"{_path(leaf)}.icontains({leaf.text!r})",
    nodes.Match: _match,
    nodes.GeoRadius: lambda leaf: f"{_path(leaf)}.geo_radius({leaf.lat!r}, {leaf.lon!r}, {leaf.meters!r})",
    nodes.GeoBox: lambda leaf: f"{_path(leaf)}.geo_box({leaf.south!r}, {leaf.west!r}, {leaf.north!r}, {leaf.east!r})",
    nodes.GeoPolygon: lambda leaf: f"{_path(leaf)}.geo_polygon({list(leaf.points)!r})",
    nodes.Size: lambda leaf: f"{_path(leaf)}.size() {SIGNS[leaf.op]} {leaf.count!r}",
    nodes.HasId: lambda leaf: f"F.id == {leaf.ids[0]!r}" if len(leaf.ids) == 1 else f"F.id.in_({_list(leaf.ids)})",
    nodes.HasVector: lambda leaf: f"F.has_vector({leaf.field!r})",
    nodes.Slice: lambda leaf: f"F.slice({leaf.index}, {leaf.count})",
}
