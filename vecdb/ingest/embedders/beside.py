"""Embeds with the built-in model in processes of its own, beside the one that ingests.

Its sums are made of many small steps of numpy, and before each of them a thread waits until the others of its process,
which read, cut and journal, let it go on. In a process of its own it waits for nobody. A process takes a third of a
second to begin and 70 MB, so there is none until HELPED_AFTER_TEXTS texts were embedded here, but for those that a
command line has started ahead (`spawning`).
Promises: the same bits as from the model itself. Whatever happens to a helper, its texts are embedded here instead;
errors are those of the model. No helper outlives its owner, however that ends.
Concurrency: any number of threads.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vecdb.ingest.embedders.config import HELPED_AFTER_TEXTS, HELPED_CALLS, HELPED_TEXTS_MIN
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.line import Line
from vecdb.ingest.embedders.protocol import Embedder, EmbedderLimits, Role
from vecdb.ingest.embedders.spawning import BUILTIN, Spawned, dismiss, end, helpers_of, spawn, take_ahead


@dataclass(slots=True, eq=False)
class _Helper:
    """A process, and the line to it. `lent` to so many callers, whose answers come in the order of `asked`."""

    spawned: Spawned
    line: Line
    lent: int = 0
    asked: int = 0
    answered: int = 0
    asking: threading.Lock = field(default_factory=threading.Lock)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def rows(self, texts: Sequence[str], dim: int) -> NDArray[np.float32] | None:
        """Ask, and wait for the answer; what others asked before is answered before.

        OSError or EOFError when the process is gone, ValueError for a text that is none: nothing was asked then.
        """
        with self.asking:
            self.line.send_texts(texts)
            place = self.asked
            self.asked += 1
        with self.changed:
            while self.answered != place:
                self.changed.wait()
        try:
            return self.line.receive_rows(len(texts), dim)
        finally:
            with self.changed:
                self.answered += 1
                self.changed.notify_all()


class BesideEmbedder:
    """The built-in model, helped by so many processes of so many threads. `close` ends them, and not the model.

    `ahead` are those of them that have been started already. `callers` is how many threads keep all of them busy, while
    one more stores what came, or (once this process is `free`) embeds here.
    """

    def __init__(self, model: Embedder, helpers: int, threads: int = 1, ahead: Sequence[Spawned] = ()) -> None:
        self.fingerprint: ModelFingerprint = model.fingerprint
        self.limits: EmbedderLimits = model.limits
        self.callers = helpers * HELPED_CALLS + 1
        self._model, self._wanted, self._threads = model, helpers - len(ahead), threads
        self._changed = threading.Condition()
        self._started: list[_Helper] = []
        self._ready: list[_Helper] = []
        self._texts = 0
        self._is_free = False
        with self._changed:
            for spawned in ahead:
                self._take(spawned)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._model.count_tokens(texts)

    def embed(self, texts: Sequence[str], *, role: Role = "document") -> NDArray[np.float32]:
        """As the model does."""
        self._texts += len(texts)
        if self._wanted and self._texts >= HELPED_AFTER_TEXTS:
            self._start()
        rows = self._helped(texts) if len(texts) >= HELPED_TEXTS_MIN else None
        return self._model.embed(texts, role=role) if rows is None else rows

    def free(self) -> None:
        """Nothing else is left to do here: a call for which no helper is free is embedded here from now on."""
        with self._changed:
            self._is_free = True
            self._changed.notify_all()

    def helper_pids(self) -> list[int]:
        """The processes that were started."""
        with self._changed:
            return [helper.spawned.pid for helper in self._started]

    def helpers_idle(self) -> int:
        """Helpers that are ready, and have nothing to do just now."""
        with self._changed:
            return sum(not helper.lent for helper in self._ready)

    def close(self) -> None:
        """End all helpers; none may be at work."""
        with self._changed:
            self._wanted, started = 0, self._started
            self._started, self._ready = [], []
        for helper in started:
            end(helper.spawned)

    def _start(self) -> None:
        with self._changed:
            wanted, self._wanted = self._wanted, 0
            for _ in range(wanted):
                try:
                    self._take(spawn(self._threads))
                except OSError:
                    return  # no memory for it, or no right: what is there goes on alone

    def _take(self, spawned: Spawned) -> None:
        """Lend a process as soon as it is ready; the lock is held."""
        helper = _Helper(spawned, Line(spawned.end))
        self._started.append(helper)
        threading.Thread(target=self._wait_for, args=(helper,), name="vecdb-helper", daemon=True).start()

    def _wait_for(self, helper: _Helper) -> None:
        """Lend a helper once it is ready."""
        with contextlib.suppress(OSError, EOFError):
            helper.line.receive_rows(0, self.fingerprint.dim)
            with self._changed:
                self._ready.append(helper)

    def _helped(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Rows from a helper; None where there is none, or something went wrong."""
        helper = self._borrowed()
        if helper is None:
            return None
        try:
            return helper.rows(texts, self.fingerprint.dim)
        except (OSError, EOFError):
            with self._changed:
                self._ready = [one for one in self._ready if one is not helper]
            return None
        except ValueError:  # which one it is, the model will say
            return None
        finally:
            with self._changed:
                helper.lent -= 1
                self._changed.notify_all()

    def _borrowed(self) -> _Helper | None:
        """The helper with the least to do, waiting for one that takes another call; None where there is none.

        It waits as long as there is other work here.
        """
        with self._changed:
            while self._ready:
                helper = min(self._ready, key=lambda one: one.lent)
                if helper.lent < HELPED_CALLS:
                    helper.lent += 1
                    return helper
                if self._is_free:
                    return None
                self._changed.wait()
        return None


def beside(model: Embedder, calls: int) -> BesideEmbedder | None:
    """The model helped by processes; None where that helps nothing: another model, one CPU, or no way to start them."""
    helpers, threads = _helpers(model, calls)
    if not helpers:
        dismiss()
        return None
    return BesideEmbedder(model, helpers, threads, take_ahead(helpers))


def _helpers(model: Embedder, calls: int) -> tuple[int, int]:
    if model.fingerprint.provider != BUILTIN or not (hasattr(os, "sched_getaffinity") and sys.executable):
        return 0, 0
    from vecdb.ingest.embedders.static import builtin  # noqa: PLC0415  the model is mapped when it is wanted

    return helpers_of(len(os.sched_getaffinity(0)), calls) if model is builtin() else (0, 0)
