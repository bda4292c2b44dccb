"""The ways to read the records of a collection: by id, in pages, by filter, counted and summed up.

Promises: each call answers from one View; records that have expired are absent from all of them.
Concurrency: all methods may be called from any thread.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

import msgspec

from vecdb.checks.ids import is_single_id
from vecdb.checks.options import check_count
from vecdb.config import FACET_VALUES_MAX, ITERATE_PAGE_ROWS
from vecdb.engine import facets, filtered_reads, records
from vecdb.engine.filtered_reads import Place
from vecdb.engine.filtering import Matches, live_words, visible
from vecdb.engine.validate import check_lookup
from vecdb.errors import CorruptionError, InvalidRequestError, LimitExceededError
from vecdb.filters import Filter, FilterLike, parse_path, read_filter
from vecdb.kernels.native import load_kernels
from vecdb.storage import codec
from vecdb.storage.keys import id_from_key, id_key
from vecdb.types import Aggregate, Page, Record, RecordId

if TYPE_CHECKING:
    from vecdb.engine.database import Database
    from vecdb.engine.view import CollectionView, View


class RecordReads(ABC):
    """Get, count, scroll, iterate, facet and aggregate."""

    _database: Database

    @abstractmethod
    def _view(self, view: View) -> CollectionView:
        """The collection in a View."""

    @staticmethod
    def _decode(keys: Sequence[bytes], values: Sequence[memoryview]) -> Iterable[records.Decoded]:
        """What stored values hold."""
        return codec.decode_whole_records(keys, values)

    @overload  # str is a Sequence of str to the type checker; at run time a str is one id
    def get(  # type: ignore[overload-overlap]
        self, ids: RecordId, *, with_vectors: bool = False, min_seq: int | None = None
    ) -> Record | None: ...
    @overload
    def get(
        self, ids: Sequence[RecordId], *, with_vectors: bool = False, min_seq: int | None = None
    ) -> list[Record | None]: ...
    def get(
        self, ids: RecordId | Sequence[RecordId], *, with_vectors: bool = False, min_seq: int | None = None
    ) -> Record | list[Record | None] | None:
        """Return the record of an id, or a list for a list of ids; None where an id does not exist."""
        single = is_single_id(ids)
        wanted = check_lookup(ids)
        with self._database.reading(min_seq) as view:
            found = records.get_records(view, self._view(view), wanted, self._decode, with_vectors=with_vectors)
        return found[0] if single else found

    def __contains__(self, record_id: object) -> bool:
        key = id_key(record_id)  # type: ignore[arg-type]  # any object is checked there
        with self._database.reading() as view:
            return records.exists(view, self._view(view), key)

    def __len__(self) -> int:
        return self.count()

    def count(
        self,
        filter: FilterLike | None = None,  # noqa: A002 - the word for it everywhere
        *,
        strict: bool = False,
        min_seq: int | None = None,
    ) -> int:
        """Return the exact number of records that match a filter, or of all. `strict` as in `search`."""
        wanted = self._filter(filter)
        with self._database.reading(min_seq) as view:
            found = visible(view, self._view(view), wanted, strict=strict)
            return self._view(view).state.live if found is None else found.count

    def scroll(
        self,
        limit: int = 100,
        cursor: str | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        order_by: str | None = None,
        descending: bool = False,
        with_vectors: bool = False,
        strict: bool = False,
        min_seq: int | None = None,
    ) -> Page:
        """Return a page of records, all or those that match a filter, in id order or in that of an indexed path.

        Id order: ints, then strs by code point, then UUIDs. In the order of a path, equal values are in id order, and
        records whose value there the index does not hold come last. Pass `page.cursor` to continue, with the same
        filter and order. Records that exist, unchanged, during the whole scroll appear exactly once, whatever is
        written meanwhile.
        """
        limit = check_count("limit", limit)
        after = _decode_cursor(cursor)
        wanted = self._filter(filter)
        if order_by is not None:
            load_kernels(self._database.config.progress)
        with self._database.reading(min_seq) as view:
            collection = self._view(view)
            found = visible(view, collection, wanted, strict=strict)
            if order_by is not None:
                order = filtered_reads.order_by(collection, order_by, descending=descending)
                matches = found or Matches(live_words(collection), collection.state.live, ())
                page, last = filtered_reads.ordered_page(
                    view, collection, matches, order, after, limit, self._decode, with_vectors=with_vectors
                )
            elif found is None:
                start = None if after is None else after.id_key
                page, key = records.page(view, collection, start, limit, self._decode, with_vectors=with_vectors)
                last = None if key is None else Place(key)
            else:
                page, last = filtered_reads.filtered_page(
                    view, collection, found, after, limit, self._decode, with_vectors=with_vectors
                )
        return Page(records=tuple(page), cursor=None if last is None else _encode_cursor(last))

    def iterate(
        self,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        order_by: str | None = None,
        descending: bool = False,
        with_vectors: bool = False,
        strict: bool = False,
    ) -> Iterator[Record]:
        """Iterate over records as `scroll` pages through them; no snapshot is held between pages."""
        cursor: str | None = None
        while True:
            page = self.scroll(
                ITERATE_PAGE_ROWS,
                cursor,
                filter=filter,
                order_by=order_by,
                descending=descending,
                with_vectors=with_vectors,
                strict=strict,
            )
            yield from page
            cursor = page.cursor
            if cursor is None:
                return

    def facet(
        self,
        path: str,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        limit: int = 100,
        strict: bool = False,
    ) -> dict[facets.FacetValue, int]:
        """Count the records that hold each value at a path, the `limit` commonest first; a list counts for each
        element, once. True and 1 are one key of a dict, and counted together.

        Fast with a keyword, int, float, bool or datetime index of the path; without one every match is looked at.
        """
        parse_path(path)
        if not 1 <= check_count("limit", limit) <= FACET_VALUES_MAX:
            raise LimitExceededError(f"limit is {limit}; a facet returns at most {FACET_VALUES_MAX} values")
        with self._database.reading() as view:
            matches = self._matches(view, filter, strict=strict)
            return facets.facet(view, self._view(view), matches, path, limit)

    def aggregate(
        self,
        path: str,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - see count
        strict: bool = False,
    ) -> Aggregate:
        """Count, least, greatest, sum and mean of the numbers at a path; a list counts for each element.

        Fast with an int or float index of the path; without one every match is looked at.
        """
        parse_path(path)
        with self._database.reading() as view:
            return facets.aggregate(view, self._view(view), self._matches(view, filter, strict=strict), path)

    def _matches(self, view: View, wanted: FilterLike | None, *, strict: bool) -> Matches:
        collection = self._view(view)
        found = visible(view, collection, self._filter(wanted), strict=strict)
        return found or Matches(live_words(collection), collection.state.live, ())

    def _filter(self, wanted: FilterLike | None) -> Filter | None:
        """Check a filter, and ready its kernels before a View is taken, which pins what commits free."""
        checked = read_filter(wanted)
        if checked is not None:
            load_kernels(self._database.config.progress)
        return checked


def _encode_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).decode()


def _decode_cursor(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
        place = msgspec.msgpack.decode(raw, type=Place)
        id_from_key(place.id_key)
    except (TypeError, ValueError, CorruptionError, msgspec.MsgspecError) as error:
        raise InvalidRequestError("the cursor is not one that scroll returned; pass page.cursor as it is") from error
    return place
