"""Makes random metadata and filters over the same few paths and values, so that filters match some of the metadata."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from vecdb.filters import Filter, nodes

PATHS = ("a", "b", "c.d", "tags", "tags[]", "list[].x", "list[].y[]", "place", "missing")
DATES = (
    datetime(2020, 1, 1, tzinfo=UTC),
    datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
    datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2024, 2, 29, tzinfo=UTC),
)
STRS = (
    "",
    "a",
    "ab",
    "abc",
    "b",
    "Über",
    "über",
    "2020-01-01",
    "2020-01-01T00:00:00Z",
    "a b",
    "A  b c",
    "z" * 300,
    "日本",
)
NUMBERS = (0, 1, 2, -1, 1.0, 1.5, -0.0, 2**53, 2**53 + 1, float(2**53), 2**63, -(2**63), 1e300, -2.5)
PLACES = (
    {"lat": 0, "lon": 0},
    {"lat": 52.5, "lon": 13.4},
    {"lat": -33.9, "lon": 151.2},
    {"lat": 64.1, "lon": -179.5},
    {"lat": 91, "lon": 0},
    {"lat": True, "lon": 1},
    {"lat": 1.5},
)

scalars = st.one_of(
    st.booleans(), st.sampled_from(NUMBERS), st.integers(-3, 3), st.sampled_from(STRS), st.sampled_from(DATES)
)
leaves = st.one_of(scalars, st.none(), st.sampled_from(PLACES), st.just({"x": 1}))
values = st.one_of(leaves, st.lists(leaves, max_size=3), st.lists(st.sampled_from(("a", "b", "ab")), max_size=3))


@st.composite
def metadata(draw: st.DrawFn) -> dict[str, Any]:
    """Metadata with some of the paths of PATHS."""
    found: dict[str, Any] = draw(
        st.fixed_dictionaries({}, optional={"a": values, "b": values, "tags": values, "place": values})
    )
    if draw(st.booleans()):
        found["c"] = draw(st.one_of(leaves, st.fixed_dictionaries({}, optional={"d": values})))
    if draw(st.booleans()):
        element = st.one_of(leaves, st.fixed_dictionaries({}, optional={"x": values, "y": values}))
        found["list"] = draw(st.lists(element, max_size=3))
    return found


def as_utc(value: Any) -> Any:
    """Filters hold instants in UTC, as the builder makes them."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


paths = st.sampled_from(PATHS)
ordered = scalars.filter(lambda value: not isinstance(value, bool)).map(as_utc)
wanted = scalars.map(as_utc)
several = st.lists(wanted, max_size=4).map(tuple)
latitudes, longitudes = (
    st.sampled_from((-90.0, -34.0, 0.0, 50.0, 65.0, 90.0)),
    st.sampled_from((-180.0, -179.0, 0.0, 13.0, 152.0, 180.0)),
)


boxes = st.builds(
    lambda path, lats, west, east: nodes.GeoBox(path, min(lats), west, max(lats), east),
    paths,
    st.tuples(latitudes, latitudes),
    longitudes,
    longitudes,
)
conditions = st.one_of(
    st.builds(nodes.Compare, paths, st.sampled_from(("eq", "ne")), wanted),
    st.builds(nodes.Compare, paths, st.sampled_from(("lt", "le", "gt", "ge")), ordered),
    st.builds(nodes.In, paths, several, st.booleans()),
    st.builds(nodes.Exists, paths),
    st.builds(nodes.IsNull, paths),
    st.builds(nodes.Contains, paths, wanted.map(lambda value: (value,)), st.just("one")),
    st.builds(nodes.Contains, paths, several, st.sampled_from(("any", "all"))),
    st.builds(nodes.Prefix, paths, st.sampled_from(STRS[:9])),
    st.builds(nodes.Substring, paths, st.sampled_from(STRS[:9])),
    st.builds(
        nodes.Match,
        paths,
        st.sampled_from(("a", "b", "a b", "b c", "über", "2020 01")),
        st.sampled_from(("all", "any", "phrase")),
    ),
    st.builds(nodes.Size, paths, st.sampled_from(("eq", "ne", "lt", "le", "gt", "ge")), st.integers(0, 3)),
    boxes,
    st.builds(nodes.GeoRadius, paths, latitudes, longitudes, st.sampled_from((0.0, 1e5, 6e6, 1.5e7, 2.1e7))),
    st.builds(nodes.GeoPolygon, paths, st.just(((-40.0, 100.0), (60.0, 0.0), (50.0, 160.0), (-10.0, 170.0)))),
)


def filters(leaf: st.SearchStrategy[Any] = conditions) -> st.SearchStrategy[Filter]:
    """Filters of up to a dozen conditions."""
    return st.recursive(
        leaf,
        lambda parts: st.one_of(
            st.builds(nodes.And, st.lists(parts, max_size=3).map(tuple)),
            st.builds(nodes.Or, st.lists(parts, max_size=3).map(tuple)),
            st.builds(nodes.Not, parts),
        ),
        max_leaves=8,
    )
