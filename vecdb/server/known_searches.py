"""Answers searches that were asked before, but for the vectors, from the bytes of the request to those of the reply.

What a client asks for is mostly what it asked for a moment ago, of other vectors. So of requests that came twice, all
but the bytes of the vectors is kept, with what they came to: a request with the same bytes there needs neither parsing
nor checks of its options, only a look at its vectors and at the rights of its caller.
Promises: a reply is, byte by byte, what the servicer would have sent. Whatever is out of the ordinary, errors above
all, is None and left to the servicer. Rights are asked of the principal of each call; nothing is known of principals.
Invariants: at most KNOWN_SEARCHES_MAX requests are kept of a kind, of KNOWN_SEARCH_BYTES_MAX each. They name
collections by their numbers, which are given once; what there is of them is looked up in the engine's newest state
each time.
Concurrency: any thread; of two that learn at once, one may have to learn again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from vecdb._pb.v1 import vectors_pb2
from vecdb.engine.found_hits import PackedHits
from vecdb.engine.quick_batch import quick_batch
from vecdb.engine.quick_search import Asked, asked_of, quick_search
from vecdb.server.config import (
    HITS_DEFAULT,
    KNOWN_BATCH_BYTES_MAX,
    KNOWN_BODY_BYTES_MAX,
    KNOWN_PLACES_MAX,
    KNOWN_SEARCH_BYTES_MAX,
    KNOWN_SEARCHES_MAX,
)
from vecdb.server.hit_replies import reply_of
from vecdb.wire.searches import read_options
from vecdb.wire.vector_place import Place, place_of_queries, place_of_query
from vecdb.wire.vectors import FLOAT32, LITTLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from vecdb.filters import Filter
    from vecdb.server.backing import Backing
    from vecdb.server.principals import Principal, Scope
    from vecdb.wire.writes import Arguments


class Known(NamedTuple):
    """What all of a request but its vectors came to."""

    collection: str
    number: int
    dim: int
    asked: Asked
    wanted: Filter | None
    with_metadata: bool
    min_seq: int


class KnownSearches:
    """The searches that one server knows; `scope` is what they need on their collection."""

    is_quick: ClassVar = True
    """Whether an answer takes microseconds, so that it may be made in the thread that serves all connections."""

    body_bytes_max: ClassVar = KNOWN_BODY_BYTES_MAX
    place_of: ClassVar[Callable[[bytes], Place | None]] = staticmethod(place_of_query)
    vectors_of: ClassVar[Callable[[Any], vectors_pb2.Vectors]] = staticmethod(lambda message: message.query)

    def __init__(self, backing: Backing, scope: Scope) -> None:
        self._backing, self._scope = backing, scope
        self._places: dict[int, tuple[Place, ...]] = {}
        self._known: dict[tuple[bytes, bytes], Known | None] = {}

    def knows(self, body: bytes) -> bool:
        """Whether there might be an answer to a request."""
        return any((body[:start], body[stop:]) in self._known for start, stop in self._places.get(len(body), ()))

    def answer(self, body: bytes, principal: Principal) -> bytes | None:
        """The reply to a request, None when it is for the servicer."""
        for start, stop in self._places.get(len(body), ()):
            known = self._known.get((body[:start], body[stop:]))
            if known is not None and principal.may(self._scope, known.collection):
                if known.min_seq and known.min_seq > self._backing.database.seq:  # it may take long to come
                    return None
                try:
                    return self._found(known, body, start, stop)
                except Exception:  # noqa: BLE001 - the servicer meets it again, and tells
                    return None
        return None

    def _found(self, known: Known, body: bytes, start: int, _stop: int) -> bytes | None:
        query = np.frombuffer(body, LITTLE["float32"], known.dim, start)
        searched = known.number, known.asked, query, known.wanted, None, PackedHits
        hits = quick_search(self._backing.database, *searched, with_metadata=known.with_metadata)
        if hits is None or len(hits.copied[2]) > 1:  # many records: not for the thread that serves all connections
            return None
        return reply_of(hits)

    def learn(self, body: bytes, message: Any) -> None:
        """Know a request that was answered when it comes again, if it came before and is of the plain kind."""
        place = type(self).place_of(body)
        if place is None or not self._is_plain(body, message, place) or not self._has_come(body, place):
            return
        arguments, _ = read_options(message.options)
        limit, effort = arguments.get("limit", HITS_DEFAULT), (arguments.get("ef"), arguments.get("target_recall"))
        self._known[body[: place.start], body[place.stop :]] = Known(
            collection=message.collection,
            number=self._backing.database.schema_of(message.collection).number,
            dim=type(self).vectors_of(message).dim,
            asked=asked_of(limit, *effort, arguments["exact"], arguments.get("field")),
            wanted=arguments.get("filter"),
            with_metadata=arguments["with_metadata"],
            min_seq=arguments["min_seq"] or 0,
        )

    def _has_come(self, body: bytes, place: Place) -> bool:
        """Whether a request has come before; it has from now on."""
        key = body[: place.start], body[place.stop :]
        if key in self._known:
            return True
        if len(self._known) >= KNOWN_SEARCHES_MAX:
            self._known.clear()
            self._places.clear()
        self._known[key] = None
        places = self._places.get(len(body), ())
        if place not in places:
            self._places[len(body)] = (place, *places)[:KNOWN_PLACES_MAX]
        return False

    def _is_plain(self, body: bytes, message: Any, place: Place) -> bool:
        """Whether there is nothing about a request that only the servicer knows how to answer."""
        vectors, (start, stop) = type(self).vectors_of(message), place
        are_vectors = (
            vectors.type == vectors_pb2.VECTOR_TYPE_FLOAT32
            and vectors.WhichOneof("components") == "data"
            and self._is_whole(stop - start, FLOAT32.itemsize * vectors.dim)
            and body[start:stop] == vectors.data
            and len(body) - (stop - start) <= KNOWN_SEARCH_BYTES_MAX
        )
        if not are_vectors or getattr(message, "explain", False):
            return False
        arguments, is_packed = read_options(message.options)
        is_usual = not (arguments["strict"] or arguments["with_vectors"] or "model" in arguments)
        return is_packed and is_usual and self._is_answered(arguments)

    @staticmethod
    def _is_whole(size: int, row: int) -> bool:
        """Whether so many bytes are as many vectors of `row` bytes as there may be."""
        return size == row != 0

    @staticmethod
    def _is_answered(_arguments: Arguments) -> bool:
        """Whether such a search can be answered here."""
        return True


class KnownBatches(KnownSearches):
    """The batches that one server knows."""

    is_quick: ClassVar = False
    body_bytes_max: ClassVar = KNOWN_BATCH_BYTES_MAX
    place_of: ClassVar[Callable[[bytes], Place | None]] = staticmethod(place_of_queries)
    vectors_of: ClassVar[Callable[[Any], vectors_pb2.Vectors]] = staticmethod(lambda message: message.queries)

    def _found(self, known: Known, body: bytes, start: int, stop: int) -> bytes | None:
        # cut out: whatever is in front of them, in their own bytes they are aligned
        queries = np.frombuffer(body[start:stop], LITTLE["float32"]).reshape(-1, known.dim)
        searched = known.number, known.asked, queries
        hits = quick_batch(self._backing.database, *searched, with_metadata=known.with_metadata)
        if hits is None or sum(map(len, hits.copied[2])) > self._backing.config.max_message_bytes:
            return None
        return reply_of(hits, len(queries))

    @staticmethod
    def _is_whole(size: int, row: int) -> bool:
        return row != 0 and size != 0 and size % row == 0

    @staticmethod
    def _is_answered(arguments: Arguments) -> bool:
        return arguments.get("filter") is None and not arguments["exact"]
