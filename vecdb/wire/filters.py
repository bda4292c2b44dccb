"""Converts filters: the tree of nodes to the recursive message and back.

What is read goes through the builder `F`, so that a message is refused for the same reasons, in the same words, as a
filter that is written in Python.
Promises: no descent below FILTER_DEPTH_MAX and no more than FILTER_NODES_MAX nodes are looked at, whatever is sent.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vecdb._pb.v1 import filter_pb2
from vecdb.config import FILTER_DEPTH_MAX, FILTER_NODES_MAX
from vecdb.errors import InvalidFilterError, InvalidRequestError
from vecdb.filters import F, Filter, nodes, require_filter
from vecdb.wire.choices import COMPARISONS, CONTAINS_MODES, MATCH_MODES
from vecdb.wire.ids import put_ids, read_ids
from vecdb.wire.scalars import put_scalar, put_scalars, read_scalar, read_scalars

# --- writing ----------------------------------------------------------------------------------------------------------


def put_filter(message: filter_pb2.Filter, wanted: Filter) -> None:
    """Fill a message with a filter that `vecdb.filters.read_filter` has passed."""
    if isinstance(wanted, (nodes.And, nodes.Or)):
        parts = message.all_of if isinstance(wanted, nodes.And) else message.any_of
        parts.SetInParent()
        for part in wanted.parts:
            put_filter(parts.parts.add(), part)
    elif isinstance(wanted, nodes.Not):
        message.negated.SetInParent()
        put_filter(message.negated, wanted.part)
    elif isinstance(wanted, nodes.HasId):
        put_ids(message.has_id, wanted.ids)
    elif isinstance(wanted, nodes.HasVector):
        message.has_vector = wanted.field
    elif isinstance(wanted, nodes.Slice):
        message.slice.SetInParent()
        message.slice.index, message.slice.count = wanted.index, wanted.count
    else:
        leaf: Any = wanted
        field, fill = _WRITERS[type(wanted)]
        target = getattr(message, field)
        target.path = leaf.path
        fill(target, leaf)


def _put_nothing(target: Any, leaf: Any) -> None:  # noqa: ARG001 - the signature of all of them
    target.SetInParent()


def _put_compare(target: filter_pb2.CompareFilter, leaf: nodes.Compare) -> None:
    target.op = COMPARISONS.number(leaf.op)  # type: ignore[assignment]  # an enum is an int
    put_scalar(target.value, leaf.value)


def _put_in(target: filter_pb2.InFilter, leaf: nodes.In) -> None:
    put_scalars(target.values, leaf.values)
    target.negated = leaf.negated


def _put_contains(target: filter_pb2.ContainsFilter, leaf: nodes.Contains) -> None:
    put_scalars(target.values, leaf.values)
    target.mode = CONTAINS_MODES.number(leaf.mode)  # type: ignore[assignment]  # an enum is an int


def _put_text(target: filter_pb2.PrefixFilter, leaf: nodes.Prefix | nodes.Substring) -> None:
    target.text = leaf.text


def _put_match(target: filter_pb2.MatchFilter, leaf: nodes.Match) -> None:
    target.text = leaf.text
    target.mode = MATCH_MODES.number(leaf.mode)  # type: ignore[assignment]  # an enum is an int


def _put_radius(target: filter_pb2.GeoRadiusFilter, leaf: nodes.GeoRadius) -> None:
    target.center.lat, target.center.lon, target.meters = leaf.lat, leaf.lon, leaf.meters
    target.center.SetInParent()


def _put_box(target: filter_pb2.GeoBoxFilter, leaf: nodes.GeoBox) -> None:
    target.south, target.west, target.north, target.east = leaf.south, leaf.west, leaf.north, leaf.east


def _put_polygon(target: filter_pb2.GeoPolygonFilter, leaf: nodes.GeoPolygon) -> None:
    for lat, lon in leaf.points:
        target.points.add(lat=lat, lon=lon)


def _put_size(target: filter_pb2.SizeFilter, leaf: nodes.Size) -> None:
    target.op, target.count = COMPARISONS.number(leaf.op), leaf.count  # type: ignore[assignment]  # an enum is an int


_WRITERS: Final[dict[type[Filter], tuple[str, Callable[[Any, Any], None]]]] = {
    nodes.Compare: ("compare", _put_compare),
    nodes.In: ("is_in", _put_in),
    nodes.Exists: ("exists", _put_nothing),
    nodes.IsNull: ("is_null", _put_nothing),
    nodes.Contains: ("contains", _put_contains),
    nodes.Prefix: ("prefix", _put_text),
    nodes.Substring: ("substring", _put_text),
    nodes.Match: ("match", _put_match),
    nodes.GeoRadius: ("geo_radius", _put_radius),
    nodes.GeoBox: ("geo_box", _put_box),
    nodes.GeoPolygon: ("geo_polygon", _put_polygon),
    nodes.Size: ("size", _put_size),
}

# --- reading ----------------------------------------------------------------------------------------------------------


def read_filter_message(message: filter_pb2.Filter, where: str = "filter") -> Filter:
    """The filter of a message, checked; InvalidFilterError says what is wrong and where."""
    reader = _Reader()
    try:
        return require_filter(reader.read(message, where, FILTER_DEPTH_MAX))
    except InvalidFilterError as error:
        error.details.setdefault("where", where)
        raise
    except InvalidRequestError as error:  # an id or an enum inside the filter
        raise InvalidFilterError(error.message, **{"where": where, **error.details}) from None


class _Reader:
    """Reads one message and counts its nodes."""

    def __init__(self) -> None:
        self._nodes = 0

    def read(self, message: filter_pb2.Filter, where: str, left: int) -> Filter:
        """The filter of a message that may have `left` levels."""
        self._nodes += 1
        if left == 0:
            raise InvalidFilterError(f"the filter is nested deeper than {FILTER_DEPTH_MAX} levels; flatten it")
        if self._nodes > FILTER_NODES_MAX:
            raise InvalidFilterError(f"the filter has more than {FILTER_NODES_MAX} conditions; is_in takes many values")
        form = message.WhichOneof("node")
        if form is None:
            raise InvalidFilterError(f"{where} is not set; give a condition", where=where)
        if form == "negated":
            return nodes.Not(self.read(message.negated, f"{where}.negated", left - 1))
        if form in {"all_of", "any_of"}:
            listed = getattr(message, form).parts
            place = f"{where}.{form}"
            parts = tuple(self.read(part, f"{place}[{number}]", left - 1) for number, part in enumerate(listed))
            return nodes.And(parts) if form == "all_of" else nodes.Or(parts)
        return _READERS[form](getattr(message, form), f"{where}.{form}")


def _compare(message: filter_pb2.CompareFilter, where: str) -> Filter:
    op = COMPARISONS.word(message.op, f"{where}.op")
    value = read_scalar(message.value, f"{where}.value", InvalidFilterError)
    found: Filter = getattr(F(message.path), f"__{op}__")(value)
    return found


def _is_in(message: filter_pb2.InFilter, where: str) -> Filter:
    target, values = F(message.path), read_scalars(message.values, f"{where}.values")
    return target.not_in(values) if message.negated else target.in_(values)


def _contains(message: filter_pb2.ContainsFilter, where: str) -> Filter:
    target, values = F(message.path), read_scalars(message.values, f"{where}.values")
    mode = CONTAINS_MODES.word(message.mode, f"{where}.mode")
    if mode == "any":
        return target.contains_any(values)
    if mode == "all":
        return target.contains_all(values)
    if len(values) != 1:
        raise InvalidFilterError(f"{where} has {len(values)} values and the mode ONE; give one", where=where)
    return target.contains(values[0])


def _match(message: filter_pb2.MatchFilter, where: str) -> Filter:
    mode: Any = MATCH_MODES.word(message.mode, f"{where}.mode")
    return F(message.path).match(message.text, mode)


def _radius(message: filter_pb2.GeoRadiusFilter, where: str) -> Filter:
    if not message.HasField("center"):
        raise InvalidFilterError(f"{where}.center is not set", where=f"{where}.center")
    return F(message.path).geo_radius(message.center.lat, message.center.lon, message.meters)


def _box(message: filter_pb2.GeoBoxFilter, where: str) -> Filter:  # noqa: ARG001 - the signature of all of them
    return F(message.path).geo_box(message.south, message.west, message.north, message.east)


def _polygon(message: filter_pb2.GeoPolygonFilter, where: str) -> Filter:  # noqa: ARG001 - as _box
    return F(message.path).geo_polygon([(point.lat, point.lon) for point in message.points])


def _size(message: filter_pb2.SizeFilter, where: str) -> Filter:
    op = COMPARISONS.word(message.op, f"{where}.op")
    found: Filter = getattr(F(message.path).size(), f"__{op}__")(message.count)
    return found


_READERS: Final[dict[str, Callable[[Any, str], Filter]]] = {
    "compare": _compare,
    "is_in": _is_in,
    "exists": lambda message, _: F(message.path).exists(),
    "is_null": lambda message, _: F(message.path).is_null(),
    "contains": _contains,
    "prefix": lambda message, _: F(message.path).prefix(message.text),
    "substring": lambda message, _: F(message.path).icontains(message.text),
    "match": _match,
    "geo_radius": _radius,
    "geo_box": _box,
    "geo_polygon": _polygon,
    "size": _size,
    "has_id": lambda message, where: F.id.in_(read_ids(message, where)),
    "has_vector": lambda field, _: F.has_vector(field),
    "slice": lambda message, _: F.slice(message.index, message.count),
}
