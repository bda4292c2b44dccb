"""Reads and writes filters as dicts in the manner of MongoDB: `{"year": {"$gte": 2020}, "$or": [...]}`.

    {"path": value}                       equals            {"path": None}     is null
    {"path": {"$gte": 1, "$lt": 9}}       all of them       {}                 everything
    $eq $ne $gt $gte $lt $lte  $in $nin   $exists $null     $contains $contains_any $contains_all   $prefix $icontains
    $match $match_any $phrase             $size (a number, or {"$gte": 2})      $not {operators}
    $geo_radius {lat, lon, meters}        $geo_box {south, west, north, east}   $geo_polygon [[lat, lon], ...]
    "$and" "$or" "$nor" [filters]         "$not" filter     "$id" id or {"$in": ids}    "$has_vector"    "$slice" [i, n]

Promises: a dict that cannot mean anything is an InvalidFilterError that names the place and, for a misspelt operator,
the one that is probably meant. `filter_from_dict(filter_to_dict(f))` means the same as f.
Concurrency: pure functions.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from vecdb.config import FILTER_DEPTH_MAX, FILTER_NODES_MAX
from vecdb.errors import InvalidFilterError
from vecdb.filters import nodes
from vecdb.filters.builder import F
from vecdb.filters.nodes import And, Filter, Not, Or
from vecdb.filters.printing import SIGNS
from vecdb.filters.values import check_count, check_ids, check_slice, check_text

COMPARISONS: Final[dict[str, nodes.Comparison]] = {
    "$eq": "eq",
    "$ne": "ne",
    "$gt": "gt",
    "$gte": "ge",
    "$lt": "lt",
    "$lte": "le",
}
MATCHES: Final = {"all": "$match", "any": "$match_any", "phrase": "$phrase"}
SPELLED: Final = {op: spelling for spelling, op in COMPARISONS.items()}
ELSEWHERE: Final = {
    "$all": "$contains_all",
    "$any": "$contains_any",
    "$elemMatch": "a path through the elements, 'a[].b',",
    "$regex": "$prefix, $icontains or $match",
    "$like": "$prefix or $icontains",
    "$startsWith": "$prefix",
    "$text": "$match",
    "$search": "$match",
    "$near": "$geo_radius",
    "$geoWithin": "$geo_box or $geo_polygon",
    **{SIGNS[op]: spelling for spelling, op in COMPARISONS.items()},
}
"""What other databases call operators that are called otherwise."""

TOP: Final = ("$and", "$or", "$nor", "$not", "$id", "$has_vector", "$slice")


def filter_from_dict(given: Mapping[str, Any]) -> Filter:
    """The filter that a dict spells."""
    return _read(given, "filter", FILTER_DEPTH_MAX)


def _read(given: Any, where: str, left: int) -> Filter:
    _check_mapping(given, where, left)
    parts = [
        _entry(key, value, f"{where}.{key}" if where != "filter" else f"filter {key}", left)
        for key, value in given.items()
    ]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _check_mapping(given: Any, where: str, left: int) -> None:
    if left <= 0:
        raise InvalidFilterError(f"the filter is nested deeper than {FILTER_DEPTH_MAX} levels; flatten it")
    if isinstance(given, Filter):
        raise InvalidFilterError(
            f"{where} is a filter built with F inside a dict; combine filters with & and | instead"
        )
    if not isinstance(given, Mapping):
        raise InvalidFilterError(f"{where} is {type(given).__name__}; give a dict of path or operator to condition")
    if len(given) > FILTER_NODES_MAX:
        raise InvalidFilterError(f"{where} has {len(given)} conditions; at most {FILTER_NODES_MAX} are possible")
    for key in given:
        if not isinstance(key, str):
            raise InvalidFilterError(f"{where} has a key of type {type(key).__name__}; keys are paths and operators")


def _entry(key: str, value: Any, where: str, left: int) -> Filter:
    if not key.startswith("$"):
        return _conditions(key, value, where, left)
    if key in {"$and", "$or", "$nor"}:
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            raise InvalidFilterError(f"{where} is {type(value).__name__}; give a list of filters")
        parts = tuple(_read(part, f"{where}[{position}]", left - 1) for position, part in enumerate(value))
        return And(parts) if key == "$and" else Or(parts) if key == "$or" else Not(Or(parts))
    if key == "$not":
        return Not(_read(value, where, left - 1))
    if key == "$id":
        return nodes.HasId(check_ids(_id_values(value, where), where))
    if key == "$has_vector":
        return nodes.HasVector(check_text(value, where))
    if key == "$slice":
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise InvalidFilterError(f"{where} is {value!r:.40}; give [index, count]")
        return nodes.Slice(*check_slice(value[0], value[1], where))
    raise _unknown(key, where, TOP)


def _id_values(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if list(value) == ["$in"]:
            return value["$in"]
        raise InvalidFilterError(f'{where} is a dict; give an id, or {{"$in": [ids]}}')
    return value if isinstance(value, (list, tuple)) else [value]


def _conditions(path: str, value: Any, where: str, left: int) -> Filter:
    """What is asked of one path: a value, or a dict of operators."""
    if not isinstance(value, Mapping):
        if isinstance(value, (list, tuple, set)):
            raise InvalidFilterError(
                f"{where} is a {type(value).__name__}; for one of several values use $in: "
                f"{{{path!r:.40}: {{'$in': [...]}}}}"
            )
        return _equal(_Spelled(path, where), value)
    _check_mapping(value, where, left)
    if not value:
        raise InvalidFilterError(f"{where} is an empty dict; give a value or operators such as $gte")
    parts = [_condition(_Spelled(path, f"{where}.{op}"), op, operand, left) for op, operand in value.items()]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


class _Spelled(F):
    """A path in a dict: what is wrong with an operand is said with its place there."""

    def __init__(self, path: str, place: str) -> None:
        super().__init__(path)
        self.path, self.place = path, place

    def _where(self, _operation: str) -> str:
        return self.place


def _condition(target: _Spelled, op: str, operand: Any, left: int) -> Filter:
    where = target.place
    if op == "$not":
        return Not(_conditions(target.path, operand, where, left - 1))
    if op == "$size":
        return _size(target, operand, left)
    reader = _READERS.get(op)
    if reader is None:
        raise _unknown(op, where, [*_READERS, "$not", "$size"], inside=target.path)
    try:
        return reader(target, operand)
    except (TypeError, KeyError, ValueError) as error:
        if isinstance(error, InvalidFilterError):
            raise
        raise InvalidFilterError(
            f"{where} has an operand of the wrong form: {_FORMS.get(op, 'see vecdb.filters')}"
        ) from None


def _equal(target: F, value: Any) -> Filter:
    found: Filter = target == value
    return found


def _size(target: _Spelled, operand: Any, left: int) -> Filter:
    path, where = target.path, target.place
    if not isinstance(operand, Mapping):
        return nodes.Size(path, "eq", check_count(operand, where))
    _check_mapping(operand, where, left)
    wrong = [op for op in operand if op not in COMPARISONS]
    if wrong or not operand:
        raise _unknown(wrong[0] if wrong else "", where, list(COMPARISONS))
    parts: list[Filter] = [
        nodes.Size(path, COMPARISONS[op], check_count(count, where)) for op, count in operand.items()
    ]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _flag(name: str, value: Any, yes: Filter) -> Filter:
    if not isinstance(value, bool):
        raise InvalidFilterError(f"{name} is {value!r:.40}; it is true or false")
    return yes if value else Not(yes)


def _unknown(op: str, where: str, known: Iterable[str], inside: str | None = None) -> InvalidFilterError:
    """`inside`: the path at whose value the operator stands; what begins without a $ may be one of its keys."""
    options = list(known)
    near = difflib.get_close_matches(op, options, 1, 0.5)
    advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(options)}"
    if op in ELSEWHERE:
        advice = f"it is {ELSEWHERE[op]} here"
    elif inside is not None and not near and not op.startswith("$"):
        advice = f"for the value at its key {op!r:.40} write {f'{inside}.{op}'!r:.80} as the path; {advice}"
    return InvalidFilterError(f"{where}: no operator {op!r:.40}; {advice}", operator=op[:40])


_READERS: Final[dict[str, Callable[[_Spelled, Any], Filter]]] = {
    "$eq": lambda target, value: target == value,
    "$ne": lambda target, value: target != value,
    "$gt": lambda target, value: target > value,
    "$gte": lambda target, value: target >= value,
    "$lt": lambda target, value: target < value,
    "$lte": lambda target, value: target <= value,
    "$in": lambda target, values: target.in_(values),
    "$nin": lambda target, values: target.not_in(values),
    "$exists": lambda target, value: _flag(target.place, value, target.exists()),
    "$null": lambda target, value: _flag(target.place, value, target.is_null()),
    "$contains": lambda target, value: target.contains(value),
    "$contains_any": lambda target, values: target.contains_any(values),
    "$contains_all": lambda target, values: target.contains_all(values),
    "$prefix": lambda target, text: target.prefix(text),
    "$icontains": lambda target, text: target.icontains(text),
    "$match": lambda target, text: target.match(text),
    "$match_any": lambda target, text: target.match(text, "any"),
    "$phrase": lambda target, text: target.match(text, "phrase"),
    "$geo_radius": lambda target, value: target.geo_radius(**value),
    "$geo_box": lambda target, value: target.geo_box(**value),
    "$geo_polygon": lambda target, points: target.geo_polygon(points),
}
_FORMS: Final = {
    "$geo_radius": 'give {"lat": .., "lon": .., "meters": ..}',
    "$geo_box": 'give {"south": .., "west": .., "north": .., "east": ..}',
}

# --- writing ---------------------------------------------------------------------------------------------------------


def filter_to_dict(wanted: Filter) -> dict[str, Any]:
    """The dict that spells a filter."""
    if isinstance(wanted, And):
        return {"$and": [filter_to_dict(part) for part in wanted.parts]} if wanted.parts else {}
    if isinstance(wanted, Or):
        return {"$or": [filter_to_dict(part) for part in wanted.parts]}
    if isinstance(wanted, Not):
        return {"$not": filter_to_dict(wanted.part)}
    if isinstance(wanted, nodes.HasId):
        return {"$id": {"$in": list(wanted.ids)}}
    if isinstance(wanted, nodes.HasVector):
        return {"$has_vector": wanted.field}
    if isinstance(wanted, nodes.Slice):
        return {"$slice": [wanted.index, wanted.count]}
    leaf: Any = wanted
    # A key that begins with $ would be read as an operator; the backslash says that it is a path.
    path = f"\\{leaf.path}" if leaf.path.startswith("$") else leaf.path
    return {path: _WRITERS[type(wanted)](leaf)}


def _written_contains(leaf: nodes.Contains) -> dict[str, Any]:
    if leaf.mode == "one":
        return {"$contains": leaf.values[0]}
    return {f"$contains_{leaf.mode}": list(leaf.values)}


_WRITERS: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    nodes.Compare: lambda leaf: {SPELLED[leaf.op]: leaf.value},
    nodes.In: lambda leaf: {"$nin" if leaf.negated else "$in": list(leaf.values)},
    nodes.Exists: lambda _: {"$exists": True},
    nodes.IsNull: lambda _: {"$null": True},
    nodes.Contains: _written_contains,
    nodes.Prefix: lambda leaf: {"$prefix": leaf.text},
    nodes.Substring: lambda leaf: {"$icontains": leaf.text},
    nodes.Match: lambda leaf: {MATCHES[leaf.mode]: leaf.text},
    nodes.GeoRadius: lambda leaf: {"$geo_radius": {"lat": leaf.lat, "lon": leaf.lon, "meters": leaf.meters}},
    nodes.GeoBox: lambda leaf: {
        "$geo_box": {"south": leaf.south, "west": leaf.west, "north": leaf.north, "east": leaf.east}
    },
    nodes.GeoPolygon: lambda leaf: {"$geo_polygon": [list(point) for point in leaf.points]},
    nodes.Size: lambda leaf: {"$size": {SPELLED[leaf.op]: leaf.count}},
}
