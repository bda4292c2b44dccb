"""Runs the calls of a model in threads, as many at once as suit it.

Promises: a call is finished, whatever happens; one that was not begun when the run is asked to stop, or when the model
has failed for good, is given up.
Concurrency: the threads begin with `start` and end with `close`.
"""

from __future__ import annotations

import threading

from vecdb.ingest.pipeline.asking import Asking
from vecdb.ingest.pipeline.calls import Calls
from vecdb.ingest.pipeline.control import Control, Halted


class Embedding:
    """The threads that embed."""

    def __init__(self, asking: Asking, calls: Calls, control: Control, workers: int) -> None:
        self._asking, self._calls, self._control = asking, calls, control
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"vecdb-embed-{number}", daemon=True) for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads, once the calls under way are finished."""
        for _ in self._threads:
            self._calls.ready.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (call := self._calls.ready.get()) is not None:
            try:
                self._control.check_stopping()
                if self._failure is None:
                    self._asking.fill(call)
                else:
                    call.error = self._failure
            except Halted as error:
                call.error = error
            except BaseException as error:  # noqa: BLE001  whoever waits for the call raises it
                call.error = self._failure = error
            self._calls.finished(call)
