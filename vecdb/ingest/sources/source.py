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
from typing import Final, Protocol, TypeAlias

from vecdb.errors import MissingExtraError, VecDBError
from vecdb.ingest.sources.item import Event, Item, PartEnd, Position, Problem, SourceEnd
from vecdb.ingest.sources.seen import SeenIds

Found: TypeAlias = Item | Problem
Known: TypeAlias = Callable[[str], str | None]
"""What is remembered of a part, by its key: its fingerprint, or, of one that was only touched, its digest tells that it
is unchanged."""

BETWEEN: Final = "#"
"""Stands between the two in what is remembered."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is read at once, and skipped at once. `read` may raise: the rest of the part is then a Problem.

    `digest`, where there is one, is a hash of all that is read: it tells a part that was only touched (or unpacked
    again) from one that changed. Given another digest, it may be None, unread, when the two cannot be equal.
    """

    key: str
    position: Position
    fingerprint: Callable[[], str | None]
    read: Callable[[], Iterator[Found]]
    digest: Callable[[str | None], str | None] = lambda _other: None


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
    """The items of a part and its end; nothing but the end when it is as when `known` was remembered of it."""
    items = problems = 0
    failed = False
    try:
        same = _remembered_anew(part, known)
        if same is not None:
            yield PartEnd(part.key, "unchanged", same)
            return
        before = _state_of(part)
        for found in part.read():
            checked = ids.check(found)
            if isinstance(checked, Item):
                items += 1
            else:
                problems += 1
                failed = failed or checked.scope != "item"
            yield checked
        # what had problems is looked at again next time
        after = None if problems else _remembered(part, before)
    except MissingExtraError:
        raise
    except (VecDBError, OSError, RecursionError, MemoryError) as error:
        yield _problem_of(error, part.key, part.position, "part")
        yield PartEnd(part.key, "failed", None, items, problems + 1)
        return
    yield PartEnd(part.key, "failed" if failed else "read", after, items, problems)


def _state_of(part: Part) -> tuple[str | None, str | None]:
    """What tells whether a part changes while it is read: its fingerprint, or its digest where it has none now."""
    fingerprint = part.fingerprint()
    return fingerprint, part.digest(None) if fingerprint is None else None


def _remembered(part: Part, before: tuple[str | None, str | None]) -> str | None:
    """What to remember of a part that was read: fingerprint and digest. None when it changed meanwhile."""
    fingerprint, digest = part.fingerprint(), part.digest(None)
    if before[0] is None:
        return None if digest is None or digest != before[1] else _joined(fingerprint, digest)
    if fingerprint != before[0]:
        return None
    # the digest is of what was read only if nothing changed until it was taken
    return _joined(fingerprint, digest if part.fingerprint() == fingerprint else None)


def _remembered_anew(part: Part, known: str | None) -> str | None:
    """What to remember of a part that is as it was; None when it is to be read."""
    if known is None:
        return None
    now = part.fingerprint()
    fingerprint, _, digest = known.partition(BETWEEN)
    if now is not None and now == fingerprint:
        return known
    if not digest or part.digest(digest) != digest:
        return None
    return _joined(now if part.fingerprint() == now else None, digest)


def _joined(fingerprint: str | None, digest: str | None) -> str:
    return f"{fingerprint or ''}{BETWEEN}{digest or ''}"


def _problem_of(error: BaseException, part: str, position: Position, scope: str) -> Problem:
    """A problem of everything that was still to come."""
    if isinstance(error, VecDBError):
        line = error.details.get("line")
        place = Position(position.file, line) if isinstance(line, int) else position
        return Problem(part, place, error.message, "source" if scope == "source" else "part", None, error.reason)
    message = f"cannot be read: {(error.strerror if isinstance(error, OSError) else None) or type(error).__name__}"
    return Problem(part, position, message, "source" if scope == "source" else "part")
