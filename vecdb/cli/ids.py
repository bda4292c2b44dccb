"""Turns words of the command line into record ids and finds their records.

A shell knows only words, while `"7"`, `7` and a UUID are three different ids. `auto` looks for every reading that the
word allows and takes the one that is stored; when several are, the caller must say which.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from vecdb.cli.options import IdType
from vecdb.errors import InvalidIdError

if TYPE_CHECKING:
    from vecdb.cli.places import AnyCollection
    from vecdb.types import Record, RecordId


def readings(word: str, id_type: IdType) -> list[RecordId]:
    """Every id that `word` may stand for. Errors: InvalidIdError when it cannot be read as the type asked for."""
    if id_type is IdType.STR:
        return [word]
    if id_type is IdType.INT:
        return [_as_int(word)]
    if id_type is IdType.UUID:
        return [_as_uuid(word)]
    found: list[RecordId] = [word]
    for read in (_as_int, _as_uuid):
        try:
            found.append(read(word))
        except InvalidIdError:
            continue
    return found


def find_record(collection: AnyCollection, word: str, id_type: IdType, *, with_vectors: bool = False) -> Record | None:
    """The record that `word` names, or None. Errors: InvalidIdError when two stored ids are written alike."""
    stored = collection.get(readings(word, id_type), with_vectors=with_vectors)
    found = [record for record in stored if record is not None]
    if len(found) > 1:
        kinds = ", ".join(type(record.id).__name__.lower() for record in found)
        raise InvalidIdError(f"id {word!r} is stored as several types ({kinds}); choose one with --id-type")
    return found[0] if found else None


def _as_int(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise InvalidIdError(f"id {word!r} is not a whole number; see --id-type")
    return int(word)


def _as_uuid(word: str) -> uuid.UUID:
    try:
        return uuid.UUID(word)
    except ValueError as error:
        raise InvalidIdError(f"id {word!r} is not a UUID; see --id-type") from error
