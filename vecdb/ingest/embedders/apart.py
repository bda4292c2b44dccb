"""A process that embeds with the built-in model for the one that started it.

    python -m vecdb.ingest.embedders.apart FD

Promises: ends when the other side hangs up, however that came about. Signals to the group are the other's affair. What
it cannot embed it answers with no rows: the other then finds out for itself what is wrong.
Concurrency: one thread, and those of the tokenizer.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys

import numpy as np

from vecdb.errors import VecDBError
from vecdb.ingest.embedders.line import Line
from vecdb.ingest.embedders.static import builtin


def main(fd: int) -> None:
    """Embed until there is nobody to embed for."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    line, model = Line(socket.socket(fileno=fd)), builtin()
    nothing = np.empty((0, model.fingerprint.dim), dtype=np.float32)
    with contextlib.suppress(OSError, EOFError):
        line.send_rows(nothing)  # ready
        while True:
            texts = line.receive_texts()
            try:
                rows = model.embed(texts)
            except VecDBError:
                rows = nothing
            line.send_rows(rows)


if __name__ == "__main__":
    main(int(sys.argv[1]))
