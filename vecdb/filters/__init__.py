"""Filters: conditions on records, as one tree with two spellings: the builder `F` and dicts in the manner of MongoDB.

    (F("year") >= 2020) & F("tags").contains("a")          {"year": {"$gte": 2020}, "tags": {"$contains": "a"}}

What a filter means, whatever answers it. A path leads to values in the metadata of a record: none (it is missing), one,
or, through `[]`, any number; a condition on a path holds when it holds for one of them. There is no descent into lists
but by [].

- Values are None, bools, numbers (ints and floats compare as numbers, exactly; a bool is no number), strs (by code
  point) and instants. Values of different types never compare: neither equal nor less.
- eq, lt, le, gt, ge, in: the value compares, or, when it is a list, one of its elements.
- ne is "not eq" and not_in "not in": they hold where the path is missing, too. So every negation is the complement.
- A datetime compares with datetimes (without a zone: UTC) and with strs in ISO format; a str compares with strs by code
  point, and with a datetime as the instant that it names in ISO format.
- exists: the path leads to a value, null included. is_null: to null.
- contains, contains_any, contains_all: the value is a list and has such elements.
- prefix, icontains, match: a str, or a str among the elements of a list. Tokens are casefolded runs of word characters.
- geo_radius, geo_box, geo_polygon: a dict with lat and lon in degrees, or one among the elements of a list.
- size: the value is a list of so many elements; `size() != 2` asks for a list, too, and is no complement.
- F.id, F.has_vector(field), F.slice(index, count): of the record itself.

Promises: nothing here is ever evaluated as code. What is wrong with a filter is an InvalidFilterError that says where.
Concurrency: filters are immutable.
"""

from __future__ import annotations

from vecdb.filters.builder import F
from vecdb.filters.checking import FilterLike, read_filter, require_filter
from vecdb.filters.nodes import Filter
from vecdb.filters.paths import parse_path
from vecdb.filters.spelling import filter_from_dict, filter_to_dict

__all__ = [
    "F",
    "Filter",
    "FilterLike",
    "filter_from_dict",
    "filter_to_dict",
    "parse_path",
    "read_filter",
    "require_filter",
]
