"""Defines sources and their parts, and reads them as one stream of events for whoever keeps a collection true to them.

A source lists its parts (mostly files) in a stable order; a part has a fingerprint, by which it is skipped unread when
nothing changed, and gives its items lazily.
Promises: nothing that is wrong with one item or part ends the stream: it becomes a Problem. Each part ends with a
PartEnd and each source with a SourceEnd, so that what vanished is known, and only that.
Invariants: an id is given once in a run; whoever repeats it gets a Problem.
Concurrency: parts may be read by any thread, each by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from vecdb.errors import MissingExtraError, VecDBError
from vecdb.ingest.sources.item import Event, Item, PartEnd, Position, Problem, SourceEnd
from vecdb.ingest.sources.seen import SeenIds

Found: TypeAlias = Item | Problem
Known: TypeAlias = Callable[[str], str | None]
"""The fingerprint that is remembered of a part, by its key."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is read at once, and skipped at once. `read` may raise: the rest of the part is then a Problem."""

    key: str
    position: Position
    fingerprint: Callable[[], str | None]
    read: Callable[[], Iterator[Found]]


class Source(Protocol):
    """Where documents come from."""

    @property
    def name(self) -> str:
        """What the user called it; the keys of its parts begin with it."""
        ...

    def parts(self) -> Iterator[Part | Problem]:
        """List the parts, lazily and in a stable order, with a Problem of scope "source" for what cannot be listed."""
        ...


def nothing_known(_part: str) -> str | None:
    """For a first run, and for one that reads everything."""
    return None


def read_sources(sources: Iterable[Source], known: Known = nothing_known) -> Iterator[Event]:
    """Everything in all sources, in order. Errors: MissingExtraError alone, since nothing else would go better."""
    ids, parts = SeenIds(), SeenIds()
    for source in sources:
        yield from read_source(source, known, ids, parts)


def read_source(source: Source, known: Known, ids: SeenIds, listed: SeenIds) -> Iterator[Event]:
    """Everything in one source; see `read_sources`. `ids` and `listed` are those of items and parts given before."""
    complete = True
    parts = source.parts()
    while True:
        try:
            part = next(parts, None)
        except MissingExtraError:
            raise
        except (VecDBError, OSError) as error:
            yield _problem_of(error, "", Position(source.name), "source")
            complete = False
            break
        if part is None:
            break
        if isinstance(part, Problem):
            complete = complete and part.scope == "item"
            yield part
        elif listed.add(part.key):
            yield from read_part(part, known(part.key), ids)
        else:
            message = "was read before in this run; name it once, or tell its two sources apart by prefix="
            yield Problem(part.key, part.position, message)
    yield SourceEnd(source.name, complete)


def read_part(part: Part, known: str | None, ids: SeenIds) -> Iterator[Item | Problem | PartEnd]:
    """The items of a part and its end; nothing but the end when its fingerprint is `known`."""
    items = problems = 0
    failed = False
    before: str | None = None
    try:
        before = part.fingerprint()
        if before is not None and before == known:
            yield PartEnd(part.key, "unchanged", before)
            return
        for found in part.read():
            checked = ids.check(found)
            if isinstance(checked, Item):
                items += 1
            else:
                problems += 1
                failed = failed or checked.scope != "item"
            yield checked
        after = part.fingerprint()
    except MissingExtraError:
        raise
    except (VecDBError, OSError, RecursionError, MemoryError) as error:
        yield _problem_of(error, part.key, part.position, "part")
        yield PartEnd(part.key, "failed", None, items, problems + 1)
        return
    # what changed while it was read is of no known state; what had problems is looked at again next time
    steady = after is not None and before in {None, after} and not problems
    yield PartEnd(part.key, "failed" if failed else "read", after if steady else None, items, problems)


def _problem_of(error: BaseException, part: str, position: Position, scope: str) -> Problem:
    """A problem of everything that was still to come."""
    if isinstance(error, VecDBError):
        line = error.details.get("line")
        place = Position(position.file, line) if isinstance(line, int) else position
        return Problem(part, place, error.message, "source" if scope == "source" else "part", None, error.reason)
    message = f"cannot be read: {(error.strerror if isinstance(error, OSError) else None) or type(error).__name__}"
    return Problem(part, position, message, "source" if scope == "source" else "part")
