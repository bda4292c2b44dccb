"""A process that embeds with the built-in model for the one that started it.

    python -m vecdb.ingest.embedders.apart FD

Promises: ends when the other side hangs up, however that came about. Signals to the group are the other's affair. What
it cannot embed it answers with no rows: the other then finds out for itself what is wrong. Answers come in the order
of what was asked.
Concurrency: HELPED_AT_ONCE threads, and those of the tokenizer: while one sums, another's texts are tokenised.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading

import numpy as np

from vecdb.errors import VecDBError
from vecdb.ingest.embedders.config import HELPED_AT_ONCE
from vecdb.ingest.embedders.line import Line
from vecdb.ingest.embedders.static import StaticEmbedder, builtin


def main(fd: int) -> None:
    """Embed until there is nobody to embed for."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    helper = Helper(Line(socket.socket(fileno=fd)), builtin())
    for _ in range(HELPED_AT_ONCE):
        threading.Thread(target=helper.work, daemon=True).start()
    helper.over.wait()


class Helper:
    """The threads that embed, each of which takes the next texts when it has answered the last.

    `over` is set when the first of them ends: the others may wait for an answer of its that will never be sent.
    """

    def __init__(self, line: Line, model: StaticEmbedder) -> None:
        self._line, self._model = line, model
        self._nothing = np.empty((0, model.fingerprint.dim), dtype=np.float32)
        self._asking = threading.Lock()
        self._changed = threading.Condition()
        self._asked = self._answered = 0
        self.over = threading.Event()
        line.send_rows(self._nothing)  # ready

    def work(self) -> None:
        """Embed until the other side hangs up."""
        try:
            with contextlib.suppress(OSError, EOFError):
                while True:
                    self._answer_one()
        finally:
            self.over.set()

    def _answer_one(self) -> None:
        with self._asking:
            texts = self._line.receive_texts()
            place = self._asked
            self._asked += 1
        try:
            rows = self._model.embed(texts)
        except VecDBError:
            rows = self._nothing
        with self._changed:
            while self._answered != place:
                self._changed.wait()
            self._line.send_rows(rows)
            self._answered += 1
            self._changed.notify_all()


if __name__ == "__main__":
    main(int(sys.argv[1]))
