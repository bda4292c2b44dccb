"""Makes random ids, metadata, records, results and errors as they cross the wire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vecdb import errors
from vecdb.types import Explain, FilterStep, Record, RecordId, SearchResult, SegmentPlan
from vecdb.wire import searches

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INSTANTS = st.datetimes(timezones=st.just(UTC)).map(lambda instant: instant.replace(fold=0))
IDS: st.SearchStrategy[RecordId] = st.one_of(st.integers(0, 2**64 - 1), TEXT.filter(bool), st.uuids())
COLUMNS: st.SearchStrategy[list[RecordId]] = st.one_of(
    st.lists(st.integers(0, 2**64 - 1), max_size=6),
    st.lists(TEXT.filter(bool), max_size=6),
    st.lists(st.uuids(), max_size=6),
    st.lists(IDS, max_size=6),
)
"""Ids of one type, and of several."""

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
        INSTANTS,
    ),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXT, part, max_size=3),
    max_leaves=8,
)
METADATA: st.SearchStrategy[dict[str, Any]] = st.dictionaries(TEXT, VALUES, max_size=4)
NUMBERS = st.integers(0, 2**31)
TIMES = st.floats(0, 1e9)


def vectors(count: int, dim: int, dtype: str = "float32") -> st.SearchStrategy[Any]:
    """Vectors of any bits, NaN and infinities included."""
    numbers = st.floats(width=32) if dtype == "float32" else st.floats(width=16)
    return hnp.arrays(np.dtype(dtype), (count, dim), elements=numbers)


@st.composite
def records(draw: st.DrawFn) -> list[Record]:
    """Records of a collection with two fields, each of which a record may have or not, of different dtypes."""
    ids = draw(st.lists(IDS, max_size=5))
    text = draw(vectors(len(ids), 3))
    image = draw(vectors(len(ids), 2, "float16"))
    made = []
    for position, record_id in enumerate(ids):
        held = {"text": text[position], "image": image[position]}
        names = draw(st.sets(st.sampled_from(("text", "image"))))
        made.append(
            Record(
                id=record_id,
                metadata=draw(METADATA),
                version=draw(st.integers(1, 2**63 - 1)),
                expires_at=draw(st.none() | INSTANTS),
                vectors={name: held[name] for name in sorted(names)},
            )
        )
    return made


@st.composite
def results(draw: st.DrawFn) -> list[SearchResult]:
    """Results of one search_batch: all with metadata (vectors) or none."""
    with_metadata, with_vectors = draw(st.booleans()), draw(st.booleans())
    made = []
    for ids in draw(st.lists(COLUMNS, max_size=4)):
        numbers = draw(vectors(2, len(ids)))
        made.append(
            SearchResult(
                ids=ids,
                scores=numbers[0],
                distances=numbers[1],
                metadata=[draw(METADATA) for _ in ids] if with_metadata else None,
                vectors=draw(vectors(len(ids), 3)) if with_vectors else None,
            )
        )
    return made


EXPLAINS = st.builds(
    Explain,
    plan=TEXT,
    ef=NUMBERS,
    tail_rows=NUMBERS,
    segments=NUMBERS,
    microseconds=st.dictionaries(TEXT, TIMES, max_size=3),
    matches=st.none() | NUMBERS,
    remembered=st.booleans(),
    steps=st.lists(st.builds(FilterStep, TEXT, TEXT, NUMBERS, TIMES), max_size=2).map(tuple),
    parts=st.lists(
        st.builds(SegmentPlan, TEXT, TEXT, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=2
    ).map(tuple),
)

ERROR_CLASSES = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.VecDBError)
]
DETAILS = st.dictionaries(
    st.text(st.characters(categories=["Ll"]), min_size=1, max_size=8).filter(
        lambda name: name not in {"self", "message"}
    ),
    VALUES,
    max_size=4,
)
ERRORS: st.SearchStrategy[errors.VecDBError] = st.builds(
    lambda kind, text, details, ids: kind(text, **details, **({} if ids is None else {"ids": ids})),
    st.sampled_from(ERROR_CLASSES),
    TEXT,
    DETAILS.filter(lambda details: not {"ids", "reason"} & set(details)),
    st.none() | COLUMNS,
)


def same_bits(one: Any, other: Any) -> bool:
    """Whether two arrays hold the same bits (NaN equals itself)."""
    left, right = np.asarray(one), np.asarray(other)
    return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()


def put_hits(message: Any, results: Sequence[SearchResult], *, packed: bool) -> None:
    """Fill a message with the results of some queries, as a server does with their columns."""
    if not results:
        message.ids.texts.SetInParent()
        return
    joined: dict[str, Any] = {}
    for column in ("scores", "distances", "vectors"):
        parts = [getattr(result, column) for result in results]
        joined[column] = None if parts[0] is None else np.concatenate(parts)
    has_metadata = results[0].metadata is not None
    searches.put_columns(
        message,
        [len(result.ids) for result in results],
        SearchResult(
            ids=[record_id for result in results for record_id in result.ids],
            metadata=[item for result in results for item in result.metadata or ()] if has_metadata else None,
            **joined,
        ),
        packed=packed,
    )
