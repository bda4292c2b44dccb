"""Opens the directories of journals and caches, and says of what goes wrong there what to do about it.

Concurrency: pure functions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vecdb.errors import CorruptionError, DatabaseLockedError, StoragePoisonedError
from vecdb.ingest.journal.config import OPEN_RETRY_S, OPEN_TRIES_MAX
from vecdb.storage.environment import Environment
from vecdb.storage.layout import Layout
from vecdb.types import Mode


def open_place(directory: Path, layout: Layout, mode: Mode, *, create: bool = True) -> Environment:
    """Open the directory; "rw" creates it where there is none, if `create`."""
    for attempt in range(OPEN_TRIES_MAX):
        try:
            with told(directory, layout):
                return Environment.open_directory(directory, mode, create=create, layout=layout)
        except DatabaseLockedError:
            if attempt == OPEN_TRIES_MAX - 1:
                raise
        time.sleep(OPEN_RETRY_S)
    raise AssertionError("unreachable")


@contextmanager
def told(directory: Path, layout: Layout) -> Iterator[None]:
    """Put what is to be done with a journal or cache in place of what would be done with a database."""
    try:
        yield
    except CorruptionError as error:
        raise CorruptionError(
            f"the {layout.noun} in {directory} is damaged: {_problem(error)}. {layout.remedy.capitalize()}",
            path=str(directory),
        ) from None
    except StoragePoisonedError as error:
        problem = error.message.partition(":")[0]
        raise StoragePoisonedError(
            f"the {layout.noun} in {directory} could not be written ({problem}): check the disk and run again",
            path=str(directory),
        ) from None
    except DatabaseLockedError as error:
        raise DatabaseLockedError(
            f"another run has the {layout.noun} in {directory}: {_who(error.details)}; wait until it ends, or stop it",
            path=str(directory),
            **{key: value for key, value in error.details.items() if key != "path"},
        ) from None


def _problem(error: CorruptionError) -> str:
    """What is wrong, without what follows: that is advice for a database."""
    problem = error.message.partition(";")[0]
    return problem + ")" * (problem.count("(") - problem.count(")"))


def _who(details: dict[str, object]) -> str:
    holder = details.get("holder")
    if not isinstance(holder, dict) or not holder:
        return "a process that did not say which it is"
    return f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('started')}"
