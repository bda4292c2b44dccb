"""Shows on a terminal that a command is at work, and how far it has come.

Promises: nothing is written where stderr is no terminal, and what is shown is gone when the work is done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeAlias

from vecdb.cli.output import printable

if TYPE_CHECKING:
    from rich.progress import Progress

Report: TypeAlias = Callable[[int, int], None]
"""Takes what is done and what there is to do."""


def waiting(what: str) -> AbstractContextManager[object]:
    """Say what is being done, for work that cannot say how far it has come."""
    if not _is_watched():
        return nullcontext()
    from rich.console import Console  # noqa: PLC0415 - only for a terminal

    return Console(stderr=True, highlight=False, markup=False).status(f"{printable(what)} …")


@contextmanager
def counting(what: str, *, is_shown: bool = True) -> Iterator[Report | None]:
    """Show a bar and the time left; None where there is nobody to see it."""
    if not (is_shown and _is_watched()):
        yield None
        return
    bar = _bar()
    task = bar.add_task(printable(what).replace("[", r"\["), total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _is_watched() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _bar() -> Progress:
    from rich import progress  # noqa: PLC0415 - only for a terminal
    from rich.console import Console  # noqa: PLC0415 - as above

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.completed:,}"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )
