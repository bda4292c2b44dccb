"""Turns rows (of JSON, of tables, of queries) into items: their id, text or vector, and the rest as metadata.

Promises: what a row lacks is said with the columns that it has and the option that names another.
Concurrency: pure functions.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, TypeAlias

import numpy as np

from vecdb.checks.metadata import Scalar, encode_flat
from vecdb.config import ID_BYTES_MAX
from vecdb.errors import InvalidDocumentError, VecDBError
from vecdb.ingest.sources.config import ITEM_TEXT_CHARS_MAX, SHOWN_CHARS_MAX, VECTOR_DIM_MAX
from vecdb.ingest.sources.decoding import is_sound
from vecdb.ingest.sources.file import SourceFile
from vecdb.ingest.sources.item import Item, Kind, Position, Problem, hash_of_text
from vecdb.ingest.sources.options import ROW_ID, ReadOptions
from vecdb.types import FloatArray, Metadata, RecordId

Row: TypeAlias = Mapping[str, Any]
FlatRow: TypeAlias = dict[str, Scalar | list[Scalar]]
"""A row in which nothing is nested but lists of single values, as in most."""
Placed: TypeAlias = tuple[Position, Row | VecDBError]
"""A row with its place, or what was wrong with it there."""

UINT64_HIGH: Final = 2**64 - 1
PLAIN: Final = frozenset({str, int, float, bool, type(None)})
"""Types of most values, which need no closer look."""
LISTED_COLUMNS: Final = 12


def read_rows(rows: Iterable[Placed], file: SourceFile) -> Iterator[Item | Problem]:
    """The items of rows; bad ones are problems."""
    reader = RowReader(file)
    for position, row in rows:
        yield reader.read(position, row)


class RowReader:
    """Makes an item, or a problem, of each row of a file.

    `are_plain`: rows are dicts that hold nothing but what metadata may, as JSON does.
    """

    def __init__(self, file: SourceFile, *, are_plain: bool = False) -> None:
        self._file, self._are_plain = file, are_plain
        options = file.options
        self._id_field, self._text_field = options.id_field, options.text_field
        self._takes_flat = options.vector_field is None and options.id_field not in {ROW_ID, options.text_field}
        self._number = self._ordinal = 0

    def read(self, position: Position, row: Row | VecDBError) -> Item | Problem:
        """Any row, or what was wrong with it."""
        self._number += 1
        file = self._file
        if isinstance(row, VecDBError):
            return Problem(file.part, position, row.message, "item", None, row.reason)
        try:
            item = row_item(row, position, file, self._number, self._ordinal, is_plain=self._are_plain)
        except VecDBError as error:
            return Problem(file.part, position, _without_position(error), "item", _id_or_none(row, file), error.reason)
        self._ordinal += 1
        return item

    def read_flat(self, position: Position, row: FlatRow) -> Item | Problem:
        """The same for a flat row, in half the time for what most are. The row is the reader's from now on."""
        text, record_id = row.get(self._text_field), row.get(self._id_field)
        if not (
            self._takes_flat
            and type(text) is str
            and type(record_id) is str
            and _is_short_ascii(text, ITEM_TEXT_CHARS_MAX)
            and _is_short_ascii(record_id, ID_BYTES_MAX)
        ):
            return self.read(position, row)
        del row[self._text_field], row[self._id_field]
        packed = encode_flat(row)
        if packed is None:
            return self.read(position, {**row, self._text_field: text, self._id_field: record_id})
        content_hash = hash_of_text(text.encode(), packed)
        part, ordinal = self._file.part, self._ordinal
        self._number += 1
        self._ordinal += 1
        return Item(record_id, part, ordinal, "row", position, text, None, None, row, content_hash)


def row_item(
    row: Row, position: Position, file: SourceFile, number: int, ordinal: int, *, is_plain: bool = False
) -> Item:
    """The item that a row is. `number` is that of the row, from 1."""
    options = file.options
    taken = (options.id_field, options.text_field, options.vector_field)
    vector = None if options.vector_field is None else checked_vector(_needed(row, options.vector_field, "vector"))
    text = row.get(options.text_field)
    if not _is_short_ascii(text, ITEM_TEXT_CHARS_MAX) and (vector is None or text is not None):
        text = checked_text(_needed(row, options.text_field, "text"), repr(options.text_field))
    record_id: Any = row.get(options.id_field)
    if options.id_field == ROW_ID or not _is_short_ascii(record_id, ID_BYTES_MAX):
        record_id = _row_id(row, file, number)
    if is_plain:
        metadata = {key: value for key, value in row.items() if key not in taken}
    else:
        metadata = {
            key: value if type(value) in PLAIN else plain_value(value, key)
            for key, value in row.items()
            if key not in taken
        }
    kind: Kind = "row" if vector is None else "vector"
    return Item(record_id, file.part, ordinal, kind, position, text, None, vector, metadata)


def _is_short_ascii(value: object, most: int) -> bool:
    """Whether it is what most texts and ids are, which need no closer look."""
    return type(value) is str and value.isascii() and 0 < len(value) <= most and not value.isspace()


def checked_id(value: object, what: str = "its id") -> RecordId:
    """An id as vecdb takes it."""
    if isinstance(value, (np.integer, np.str_)):
        value = value.item()
    if isinstance(value, uuid.UUID):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value <= UINT64_HIGH:
            return value
        raise InvalidDocumentError(f"{what} is {value}; a number is an id from 0 to 2^64-1, else write it as text")
    if not isinstance(value, str):
        raise InvalidDocumentError(f"{what} is {_type_name(value)}; an id is text or a whole number")
    if not value or not is_sound(value) or len(value.encode()) > ID_BYTES_MAX:
        shown = f"{value!r:.{SHOWN_CHARS_MAX}}"
        raise InvalidDocumentError(f"{what} is {shown}; an id has 1 to {ID_BYTES_MAX} bytes of valid Unicode")
    return value


def checked_text(value: object, what: str = "the text") -> str:
    """A text that can be embedded: some, valid, not too much."""
    if not isinstance(value, str):
        raise InvalidDocumentError(f"{what} is {_type_name(value)}, not text")
    if not value.strip():
        raise InvalidDocumentError(f"{what} is empty")
    if len(value) > ITEM_TEXT_CHARS_MAX:
        raise InvalidDocumentError(
            f"{what} has {len(value):,} characters; {ITEM_TEXT_CHARS_MAX:,} are the most: split it"
        )
    if not is_sound(value):
        raise InvalidDocumentError(f"{what} is not valid Unicode, or not in the encoding of its file (see encoding=)")
    return value


def checked_vector(value: object) -> FloatArray:
    """A precomputed vector: one row of finite numbers."""
    try:
        vector = np.asarray(value)
        kind, shape = vector.dtype.kind, vector.shape
    except ValueError:
        kind, shape = "O", ()
    if kind not in "fiu" or len(shape) != 1:
        raise InvalidDocumentError("its vector is no list of numbers")
    if not 1 <= shape[0] <= VECTOR_DIM_MAX:
        raise InvalidDocumentError(f"its vector has {shape[0]} numbers; 1 to {VECTOR_DIM_MAX} are possible")
    with np.errstate(over="ignore"):
        vector = np.ascontiguousarray(vector, dtype=np.float32)
    if not np.isfinite(vector).all():
        wrong = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise InvalidDocumentError(f"its vector has {vector[wrong]} as number {wrong}; all must be finite")
    return vector


def plain_value(value: Any, key: str) -> Any:
    """A value of a table as metadata can hold it; dates become instants, decimals become floats."""
    if type(value) in PLAIN or isinstance(value, (int, float, str, datetime)):
        return value
    if type(value) is list:
        return [one if type(one) in PLAIN else plain_value(one, key) for one in value]
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - metadata takes no zone as UTC
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, np.generic):
        return plain_value(value.item(), key)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: plain_value(below, key) for name, below in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [plain_value(below, key) for below in value]
    raise InvalidDocumentError(f"{key!r:.{SHOWN_CHARS_MAX}} is {_type_name(value)}, which metadata cannot hold")


def plain_metadata(row: Row) -> Metadata:
    """All of a row as metadata."""
    return {key: plain_value(value, key) for key, value in row.items()}


def missing_columns(names: Sequence[str], options: ReadOptions) -> str | None:
    """What a table lacks by its header alone, so that it is said once and not for each row."""
    wanted = {"id": options.id_field}
    wanted["text" if options.vector_field is None else "vector"] = options.vector_field or options.text_field
    if options.id_field == ROW_ID:
        del wanted["id"]
    for role, name in wanted.items():
        if name not in names:
            return f"has no column {name!r:.{SHOWN_CHARS_MAX}}; {_advice(names, role)}"
    return None


def _needed(row: Row, name: str, role: str) -> Any:
    value = row.get(name)
    if value is None:
        raise InvalidDocumentError(f"has no {name!r:.{SHOWN_CHARS_MAX}}; {_advice(list(row), role)}")
    return value


def _advice(names: Sequence[str], role: str) -> str:
    listed = ", ".join(repr(name)[:SHOWN_CHARS_MAX] for name in names[:LISTED_COLUMNS]) or "nothing"
    more = f" and {len(names) - LISTED_COLUMNS} more" if len(names) > LISTED_COLUMNS else ""
    number = f", or --{role}-field {ROW_ID} for numbers" if role == "id" else ""
    return f"it has {listed}{more}: name the one with the {role} by --{role}-field{number}"


def _row_id(row: Row, file: SourceFile, number: int) -> RecordId:
    if file.options.id_field == ROW_ID:
        return checked_id(f"{file.name}#{number}")
    return checked_id(_needed(row, file.options.id_field, "id"), repr(file.options.id_field))


def _id_or_none(row: Row, file: SourceFile) -> RecordId | None:
    try:
        return checked_id(row.get(file.options.id_field))
    except VecDBError:
        return None


def _without_position(error: VecDBError) -> str:
    """Metadata's errors count records of a batch; here the place is known better."""
    record = error.details.get("position")
    return error.message.replace(f"metadata of record {record}", "its metadata")


def _type_name(value: object) -> str:
    return type(value).__name__
