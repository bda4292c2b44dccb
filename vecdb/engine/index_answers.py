"""Answers one condition from one metadata index: which slots match for certain, and which records must be looked at.

Promises: `bits` holds no slot that fails the condition and misses none but those in `doubtful`, whose records decide;
so an index gives the answer that looking at every record would give.
Concurrency: pure over an immutable view; reads terms under the View's lock.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vecdb.config import FILTER_PASSES_MAX
from vecdb.engine import bitmap
from vecdb.engine.geo_answers import geo_answer
from vecdb.engine.index_values import GREATEST_KEY, datetime_bounds, float_bounds, int_bounds
from vecdb.engine.index_view import Answer, IndexView
from vecdb.filters.nodes import (
    Compare,
    Contains,
    Exists,
    Filter,
    GeoBox,
    GeoPolygon,
    GeoRadius,
    In,
    IsNull,
    Match,
    Prefix,
    Scalar,
    Size,
    Substring,
)
from vecdb.filters.paths import has_elements
from vecdb.filters.predicate import instant_of, metadata_predicate
from vecdb.filters.text import tokens
from vecdb.storage.blocks import EXCEPTION, LIST, NULL, SCALAR, TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vecdb.engine.terms import TermReader

Words = bitmap.Words
Range = tuple[int, int]
NOTHING: Final[Range] = (1, 0)
GEO: Final = (GeoRadius, GeoBox, GeoPolygon)


def answer(view: IndexView, terms: TermReader, node: Filter, candidates: Words) -> Answer | None:
    """Answer a leaf ("ne" and negated "in" excepted) among `candidates`; None when this kind of index cannot."""
    kind = view.state.kind
    if isinstance(node, Exists):
        return Answer(_states(view, candidates, SCALAR, LIST, NULL, EXCEPTION))
    if isinstance(node, IsNull):
        doubtful = _states(view, candidates, EXCEPTION) if has_elements(view.state.path) else None
        return Answer(_states(view, candidates, NULL), doubtful)
    if kind == "geo":
        return geo_answer(view, node, candidates) if isinstance(node, GEO) else None
    if kind == "text":
        return _text_answer(view, terms, node, candidates) if isinstance(node, Match) else None
    if isinstance(node, Size):
        return _size_answer(view, node, candidates)
    if kind == "keyword":
        return _keyword_answer(view, terms, node, candidates)
    return _number_answer(view, node, candidates)


def _states(view: IndexView, candidates: Words, *states: int) -> Words:
    found = np.zeros_like(candidates)
    for state in states:
        found |= view.tables[0].state_bits(state)
    return found & candidates


def _none(candidates: Words) -> Words:
    return np.zeros_like(candidates)


def _size_answer(view: IndexView, node: Size, candidates: Words) -> Answer:
    doubtful = _states(view, candidates, EXCEPTION)
    if has_elements(view.state.path):
        return Answer(_none(candidates), doubtful)
    count, top = node.count, GREATEST_KEY
    ranges = {
        "eq": [(count, count)],
        "ne": [(0, count - 1), (count + 1, top)],
        "lt": [(0, count - 1)],
        "le": [(0, count)],
        "gt": [(count + 1, top)],
        "ge": [(count, top)],
    }[node.op]
    bits = _none(candidates)
    for low, high in ranges:
        if low <= high:
            bits |= view.tables[0].list_sizes(max(low, 0), high, candidates)
    return Answer(bits, doubtful)


# --- numbers, truth values, instants ---------------------------------------------------------------------------------


def _number_answer(view: IndexView, node: Filter, candidates: Words) -> Answer:
    table, kind = view.tables[0], view.state.kind
    doubtful = _states(view, candidates, EXCEPTION)
    texts = table.state_bits(TEXT) & candidates if kind == "datetime" else None
    if isinstance(node, Contains):
        return _contains(view, node, candidates, doubtful, [_single(view, value, candidates) for value in node.values])
    if isinstance(node, Compare):
        bits, strs = _matching(view, [bounds(kind, node.op, node.value)], candidates), isinstance(node.value, str)
    elif isinstance(node, In):
        bits = _matching(view, [bounds(kind, "eq", value) for value in node.values], candidates)
        strs = any(isinstance(value, str) for value in node.values)
    else:
        bits, strs = _none(candidates), True
    if texts is not None and strs:
        # ISO strs compare with strs by code point, which their keys do not tell.
        doubtful |= texts
        bits &= ~texts
    return Answer(bits, doubtful)


def _single(view: IndexView, value: Scalar, candidates: Words) -> Words:
    return _matching(view, [bounds(view.state.kind, "eq", value)], candidates)


def _matching(view: IndexView, ranges: list[Range], candidates: Words) -> Words:
    table, known = view.tables[0], [one for one in ranges if one[0] <= one[1]]
    if len(known) > FILTER_PASSES_MAX and all(low == high for low, high in known):
        keys = np.unique(np.array([low for low, _ in known], dtype=np.int64))
        return table.match_keys(keys, candidates)
    bits = _none(candidates)
    for low, high in known:
        bits |= table.match_range(low, high, candidates)
    return bits


def bounds(kind: str, op: str, value: Scalar) -> Range:
    """Keys of an index of numbers, truth values or instants that compare with a value of a filter."""
    if isinstance(value, bool):
        return (int(value), int(value)) if kind == "bool" and op == "eq" else NOTHING
    if isinstance(value, (int, float)):
        return {"int": int_bounds, "float": float_bounds}.get(kind, _no_bounds)(op, value)
    if kind != "datetime":
        return NOTHING
    instant = instant_of(value)
    return NOTHING if instant is None else datetime_bounds(op, instant)


def _no_bounds(_op: str, _value: float) -> Range:
    return NOTHING


def _contains(view: IndexView, node: Contains, candidates: Words, doubtful: Words, found: list[Words]) -> Answer:
    """Lists that have one, any or all of the values; `found[i]` are the slots where value i is anywhere."""
    if view.state.kind == "datetime" and any(isinstance(value, str) for value in node.values):
        doubtful = doubtful | (view.tables[0].state_bits(TEXT) & candidates)
    if has_elements(view.state.path):
        return Answer(_none(candidates), doubtful)
    lists = _states(view, candidates, LIST)
    bits = lists.copy() if node.mode == "all" else _none(candidates)
    for one in found:
        bits = bits & one if node.mode == "all" else bits | (one & lists)
    return Answer(bits & ~doubtful, doubtful)


# --- strs ------------------------------------------------------------------------------------------------------------


def _keyword_answer(view: IndexView, terms: TermReader, node: Filter, candidates: Words) -> Answer:
    doubtful = _states(view, candidates, EXCEPTION)
    if isinstance(node, Contains):
        found = [_coded(view, _equal_codes(terms, [value]), candidates) for value in node.values]
        return _contains(view, node, candidates, doubtful, found)
    return Answer(_coded(view, _codes(terms, node), candidates), doubtful)


def _codes(terms: TermReader, node: Filter) -> Iterable[int]:
    """Codes of the terms that a condition holds for."""
    if isinstance(node, In):
        return _equal_codes(terms, node.values)
    if isinstance(node, Compare) and not isinstance(node.value, datetime):
        if node.op == "eq" or not isinstance(node.value, str):
            return _equal_codes(terms, [node.value] if node.op == "eq" else [])
        start, stop = _term_range(node.op, node.value.encode("utf-8", "surrogatepass"))
        return terms.codes_between(start, stop)
    if isinstance(node, Prefix):
        start = node.text.encode("utf-8", "surrogatepass")
        return terms.codes_between(start, _after_prefix(start))
    if isinstance(node, (Compare, Substring, Match)):
        return _tested_codes(terms, node)
    return ()


def _equal_codes(terms: TermReader, values: Iterable[Scalar]) -> list[int]:
    codes: list[int] = []
    for value in values:
        if isinstance(value, str):
            code = terms.code(value)
            codes += [] if code is None else [code]
        elif isinstance(value, datetime):
            codes += _tested_codes(terms, Compare("x", "eq", value))
    return codes


def _tested_codes(terms: TermReader, node: Any) -> list[int]:
    """Codes of the terms that pass, each tried once."""
    holds = metadata_predicate(replace(node, path="x"))
    return [code for term, code in terms.terms() if holds({"x": term})]


def _term_range(op: str, term: bytes) -> tuple[bytes, bytes | None]:
    """First term and the one after the last that compare; UTF-8 sorts as code points do."""
    return {
        "lt": (b"", term),
        "le": (b"", term + b"\0"),
        "gt": (term + b"\0", None),
        "ge": (term, None),
    }[op]


def _after_prefix(prefix: bytes) -> bytes | None:
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


def _coded(view: IndexView, codes: Iterable[int], candidates: Words) -> Words:
    table, known = view.tables[0], np.unique(np.fromiter(codes, dtype=np.int64))
    if not len(known):
        return _none(candidates)
    if known[-1] - known[0] == len(known) - 1:
        return table.match_range(int(known[0]), int(known[-1]), candidates)
    if len(known) <= FILTER_PASSES_MAX and view.state.kind != "text":
        # Scalars are compared 64 at a time in a range, one by one in a set; lists one by one in either.
        found = _none(candidates)
        for code in known.tolist():
            found |= table.match_range(code, code, candidates)
        return found
    words = bitmap.with_bits(np.zeros(bitmap.words_for(int(known[-1]) + 1), dtype=np.uint64), known)
    return table.match_codes(words, int(known[-1]) + 1, candidates)


def _text_answer(view: IndexView, terms: TermReader, node: Match, candidates: Words) -> Answer:
    codes = [terms.code(token) for token in dict.fromkeys(tokens(node.text))]
    doubtful = _states(view, candidates, EXCEPTION)
    # A token too long for the dictionary is in exceptions only.
    if node.mode == "any":
        return Answer(_coded(view, [code for code in codes if code is not None], candidates), doubtful)
    bits = candidates
    for code in codes:
        bits = bits & (_none(candidates) if code is None else view.tables[0].match_range(code, code, bits))
    if node.mode == "phrase":
        return Answer(_none(candidates), doubtful | bits)
    if len(codes) > 1:
        # Of several strs, the words may be in different ones.
        several = view.tables[0].state_bits(TEXT) & bits
        bits, doubtful = bits & ~several, doubtful | several
    return Answer(bits, doubtful)
