"""Finds the records whose vector in the field beside is due: they have one in the field that searches use, none here.

A vector there is true for as long as it is there: `Field.follows` has the engine remove it when an update changes the
text that it was made of, and a record that is replaced comes without it. So what is missing is all that is to be done,
and the collection itself is the list of it.
Promises: every record comes with the version at which its text was read. Records that stay due during a pass come once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vecdb.errors import InvalidDocumentError, VecDBError
from vecdb.filters import F, Filter, parse_path
from vecdb.filters.paths import resolver
from vecdb.ingest.pipeline.records import SOURCE, TEXT
from vecdb.ingest.reembedding.config import PAGE_RECORDS
from vecdb.ingest.reembedding.roles import Roles
from vecdb.ingest.sources.rows import checked_text
from vecdb.types import Metadata, Record, RecordId

OWN_PATHS: Final = (f"{SOURCE}.{TEXT}", TEXT)
"""Where the ingestor keeps the text of a record: under "text", unless its metadata had a "text" of its own."""

CUT: Final = "cut"
"""What the ingestor leaves under "_source" where it stored a text in part."""


@dataclass(frozen=True, slots=True)
class DueRecord:
    """A record that wants a vector of `text`, as it was at `version`; `is_cut`: the text was stored in part."""

    id: RecordId
    version: int
    text: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Textless:
    """A record that wants a vector and has nothing to make it of."""

    id: RecordId
    problem: VecDBError


@dataclass(frozen=True, slots=True)
class DuePage:
    """Records that are due, in the order of their ids. `cursor` leads to the next page, and is None at the end."""

    records: tuple[DueRecord, ...]
    textless: tuple[Textless, ...]
    cursor: str | None


def text_paths(text_field: str) -> tuple[str, ...]:
    """Paths of the metadata where a text is looked for; the first that leads to one counts."""
    if text_field == TEXT:
        return OWN_PATHS
    parse_path(text_field)
    return (text_field,)


def due(roles: Roles) -> Filter:
    """What records that are due match."""
    return F.has_vector(roles.name) & ~F.has_vector(roles.shadow_name)


def count_due(collection: Any, roles: Roles) -> int:
    """How many records are due."""
    return int(collection.count(due(roles)))


def due_page(collection: Any, roles: Roles, paths: Sequence[str], cursor: str | None = None) -> DuePage:
    """A page of what is due; `cursor` is that of the page before. What becomes due behind it comes in the next pass."""
    page = collection.scroll(PAGE_RECORDS, cursor, filter=due(roles))
    return _page(page.records, paths, page.cursor)


def _page(records: Sequence[Record], paths: Sequence[str], cursor: str | None) -> DuePage:
    found: list[DueRecord] = []
    textless: list[Textless] = []
    for record in records:
        try:
            text = text_of(record.metadata, paths)
        except VecDBError as error:
            textless.append(Textless(record.id, error))
            continue
        found.append(DueRecord(record.id, record.version, text, _is_cut(record.metadata)))
    return DuePage(tuple(found), tuple(textless), cursor)


def text_of(metadata: Metadata, paths: Sequence[str]) -> str:
    """The text of a record; InvalidDocumentError when there is none that can be embedded."""
    for path in paths:
        values = resolver(path)(metadata)
        if values:
            return checked_text(values[0], f"what its metadata has at {path!r:.80}")
    raise InvalidDocumentError(f"its metadata has nothing at {' nor '.join(map(repr, reversed(paths)))}")


def _is_cut(metadata: Mapping[str, Any]) -> bool:
    place = metadata.get(SOURCE)
    return isinstance(place, Mapping) and place.get(CUT) is True
