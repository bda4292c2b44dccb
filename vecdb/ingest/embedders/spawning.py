"""Starts the processes that embed for the one that ingests, ahead of their use where a command line says so much.

A process loads its libraries in the time in which this one loads its own, if it is started before them. So this module
needs next to nothing loaded, and `start_ahead` looks at no more than the words of a command.
Promises: what is started ahead is used by `take_ahead` or ended by `dismiss`, or ends by itself with this process.
Concurrency: one thread starts ahead; any thread takes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from vecdb.ingest.embedders.config import HELPED_AT_ONCE, HELPED_BYTES_MIN

BUILTIN: Final = "builtin"
HELPER: Final = "vecdb.ingest.embedders.apart"
MODEL_FLAG: Final = "--model"
CONFIG_FLAG: Final = "--config"
MODEL_VARIABLE: Final = "VECDB_INGEST_MODEL"
CONFIG_VARIABLE: Final = "VECDB_INGEST_CONFIG"

_TOKENIZER_THREADS: Final = "RAYON_NUM_THREADS"

_BLAS_THREADS: Final = "OPENBLAS_NUM_THREADS"
"""Of a library that numpy loads, of which the model has no use, and whose threads wait for work in circles."""

_PARALLEL: Final = "TOKENIZERS_PARALLELISM"
"""Whether the tokenizer shares out the texts of a call: where each call has a CPU, to divide it costs a tenth more."""


class Spawned(NamedTuple):
    """A process, and this end of the line to it."""

    pid: int
    end: socket.socket


_ahead: list[Spawned] = []


def helpers_of(cpus: int, calls: int) -> tuple[int, int]:
    """How many processes help where so many calls may be under way, and with how many threads each.

    One for each two CPUs, and for all of their threads: what is done with a text before and after leaves gaps.
    """
    helpers = min(calls, cpus // 2)
    return helpers, cpus // helpers if helpers else 0


def spawn(threads: int) -> Spawned:
    """Start a process. It inherits one descriptor, and the paths of modules of this one. OSError where it cannot."""
    mine, theirs = socket.socketpair()
    theirs.set_inheritable(True)
    try:
        pid = os.posix_spawn(  # this interpreter, a fixed module and a number
            sys.executable,
            [sys.executable, "-P", "-m", HELPER, str(theirs.fileno())],
            {
                **os.environ,
                "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
                _TOKENIZER_THREADS: str(threads),
                _BLAS_THREADS: "1",
                _PARALLEL: "true" if threads > HELPED_AT_ONCE else "false",
            },
            setsigmask={signal.SIGINT, signal.SIGTERM},  # until the process ignores them by itself
        )
    except OSError:
        mine.close()
        raise
    finally:
        theirs.close()
    return Spawned(pid, mine)


def start_ahead(words: Sequence[str], environ: Mapping[str, str], calls: int) -> None:
    """Start what will help a run with these words, if it is one of the built-in model with much to read."""
    if not (hasattr(os, "sched_getaffinity") and sys.executable and _is_worth_it(words, environ)):
        return
    helpers, threads = helpers_of(len(os.sched_getaffinity(0)), calls)
    with contextlib.suppress(OSError):  # no memory for it, or no right: the run finds out by itself
        _ahead.extend(spawn(threads) for _ in range(helpers))


def take_ahead(most: int) -> list[Spawned]:
    """Up to so many processes that were started ahead; they are the caller's now. Others are ended."""
    taken = [_ahead.pop() for _ in range(min(most, len(_ahead)))]
    dismiss()
    return taken


def dismiss() -> None:
    """End what was started ahead and not taken."""
    while _ahead:
        end(_ahead.pop())


def end(spawned: Spawned) -> None:
    """End a process, which loses nothing."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(spawned.pid, signal.SIGKILL)
        os.waitpid(spawned.pid, 0)
    spawned.end.close()


def _is_worth_it(words: Sequence[str], environ: Mapping[str, str]) -> bool:
    if _given(words, CONFIG_FLAG) or environ.get(CONFIG_VARIABLE):
        return False  # it may name any model
    model = _given(words, MODEL_FLAG) or environ.get(MODEL_VARIABLE) or BUILTIN
    return model == BUILTIN and sum(map(_size, words)) >= HELPED_BYTES_MIN


def _given(words: Sequence[str], flag: str) -> str:
    """The value of a flag, in either spelling; "" where it is not given."""
    found = ""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == flag:
            found = after
        elif word.startswith(f"{flag}="):
            found = word[len(flag) + 1 :]
    return found


def _size(word: str) -> int:
    """Bytes of a file of that name; 0 where there is none."""
    try:
        status = os.stat(word.partition("?")[0])  # noqa: PTH116 - pathlib is not loaded yet; "?" begins its options
    except (OSError, ValueError):
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
