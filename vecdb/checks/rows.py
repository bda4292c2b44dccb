"""Reads a batch that is spelt as records, and what may stand beside each record, into columns.

Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from vecdb.checks.options import check_version
from vecdb.errors import InvalidRequestError

Name = TypeVar("Name", bound="str | None")

RECORD_KEYS: Final = frozenset({"id", "vector", "vectors", "metadata", "expires_at", "if_version"})


def is_records(ids: object) -> bool:
    """Whether a batch is spelt as records, not as columns."""
    return (
        isinstance(ids, Sequence)
        and not isinstance(ids, (str, bytes, bytearray))
        and all(isinstance(item, Mapping) for item in ids)
    )


def columns_of(
    records: Any, name_of: Callable[[str | None], Name]
) -> tuple[list[Any], dict[Name, list[Any]], list[Any]]:
    """Turn records into columns: ids, {field: [vector or None]} of the fields that some record names, metadata.

    `name_of` is the field that a name means, None that of `vector`; it may refuse one.
    """
    ids, metadata = [], []
    columns: dict[Name, list[Any]] = {}
    for position, record in enumerate(records):
        unknown = set(record) - RECORD_KEYS
        if unknown or "id" not in record:
            wrong = f"has the unknown key {min(map(str, unknown))!r:.60}" if unknown else "has no 'id'"
            raise InvalidRequestError(
                f"record {position} {wrong}; a record has id, vector or vectors, metadata, expires_at and if_version"
            )
        ids.append(record["id"])
        metadata.append(record.get("metadata"))
        for name, value in named_vectors(record.get("vector"), record.get("vectors")).items():
            if value is not None:
                columns.setdefault(name_of(name), [None] * len(records))[position] = value
    return ids, columns, metadata


def option_of(records: Any, name: str, argument: object) -> object:
    """Values of an option that each record may carry or the call may give for all; None when nobody names it."""
    named = [record.get(name) for record in records]
    if all(value is None for value in named):
        return argument
    if argument is not None:
        raise InvalidRequestError(f"give {name} either in the records or as {name}=, not both")
    return named


def named_vectors(vector: object, vectors: object) -> Mapping[str | None, Any]:
    """The vectors of one record by field; None is the only field."""
    if vector is not None and vectors is not None:
        raise InvalidRequestError("give either vector (the only field) or vectors={field: vector}, not both")
    if vector is not None:
        return {None: vector}
    if vectors is None:
        return {}
    if not isinstance(vectors, Mapping):
        raise InvalidRequestError(f"vectors is {type(vectors).__name__}; give a dict of field name to vector")
    return vectors


def read_conditions(if_version: object, count: int) -> list[int | None] | None:
    """Check `if_version` of a batch: one version for all, or one (or None: any) per record."""
    if if_version is None:
        return None
    if isinstance(if_version, np.ndarray):
        if_version = if_version.tolist()
    if isinstance(if_version, (str, bytes, bytearray)) or not isinstance(if_version, Sequence):
        return [check_version(if_version)] * count
    if len(if_version) != count:
        raise InvalidRequestError(
            f"if_version has {len(if_version)} entries for {count} ids; give one (or None) per id, or one int for all"
        )
    return [None if item is None else check_version(item) for item in if_version]


def check_update(
    record_id: object,
    wanted: object,
    vector: object,
    vectors: object,
    metadata: object,
    expires_at: object,
    if_version: object,
) -> None:
    """Check that the arguments of an update go together: one record, or the metadata of all that match a filter."""
    if wanted is None:
        if vector is None and vectors is None and metadata is None and expires_at is None:
            raise InvalidRequestError("update needs vector=, vectors=, metadata= or expires_at=")
        return
    others = (record_id, vector, vectors, expires_at, if_version)
    if metadata is None or any(argument is not None for argument in others):
        raise InvalidRequestError("update with filter= takes metadata= and nothing else")


def check_delete(ids: object, wanted: object, if_version: object) -> None:
    """Check that the arguments of a deletion go together: ids, or a filter."""
    if wanted is not None and (ids is not None or if_version is not None):
        raise InvalidRequestError("delete takes ids (with if_version=, if wanted) or filter=, not both")
